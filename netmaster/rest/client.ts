import type { IncomingMessage } from "node:http";
import { TLSSocket } from "node:tls";
import { CLIENT_HEADER, FORWARDED_HEADER } from "./forward.ts";

/** Longest name of a client that the log takes, in characters. */
const MAX_NAME_LENGTH = 200;

/** Who sent the request: the common name of the certificate that was verified, or the address. */
export function clientName(request: IncomingMessage): string {
  const { socket } = request;
  const address = socket.remoteAddress ?? "unknown";
  const commonName =
    socket instanceof TLSSocket && socket.authorized ? socket.getPeerCertificate().subject?.CN : undefined;
  return [commonName ?? address].flat().join(",").slice(0, MAX_NAME_LENGTH);
}

/** The same, and behind which other netmaster when one forwarded it. */
export function auditedClient(request: IncomingMessage): string {
  const own = clientName(request);
  const [first, via] = [request.headers[CLIENT_HEADER], request.headers[FORWARDED_HEADER]];
  if (typeof first !== "string" || via === undefined) return own;
  return `${first.slice(0, MAX_NAME_LENGTH)} via ${own}`;
}
