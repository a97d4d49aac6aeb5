import type { IncomingMessage } from "node:http";
import { TLSSocket } from "node:tls";
import { CLIENT_HEADER, FORWARDED_HEADER, PROOF_HEADER } from "../peers/forward.ts";
import { isProven } from "../peers/forward-proof.ts";

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

/** The same, and behind which other netmaster when one forwarded it, which it must prove: anybody can send the headers. */
export function auditedClient(request: IncomingMessage, proofKey: string | undefined): string {
  const own = clientName(request);
  const [client, self, proof] = [CLIENT_HEADER, FORWARDED_HEADER, PROOF_HEADER].map((name) => request.headers[name]);
  if (typeof client !== "string" || typeof self !== "string" || typeof proof !== "string") return own;
  const claim = { method: request.method ?? "", url: request.url ?? "", self, client };
  if (proofKey === undefined || !isProven(proofKey, claim, proof)) return own;
  return `${decodeURIComponent(client).slice(0, MAX_NAME_LENGTH)} via ${own}`;
}
