import type { IncomingMessage } from "node:http";
import { TLSSocket } from "node:tls";
import { NetError } from "../../state/errors.ts";
import { FORWARDED_HEADER } from "../peers/forward.ts";

/** Common name in the certificates of netmasters: they may speak for any node when they forward its requests. */
export const NETMASTER_COMMON_NAME = "netmaster";

const nameBySocket = new WeakMap<TLSSocket, string>();

/** Refuses a peer whose certificate does not entitle it to speak for the node. In plain mode everybody on the loopback may. */
export function authorize(request: IncomingMessage, nodeName: string): void {
  const { socket } = request;
  if (!(socket instanceof TLSSocket)) return;
  const commonName = commonNameOf(socket);
  if (commonName === nodeName) return;
  if (commonName === NETMASTER_COMMON_NAME && request.headers[FORWARDED_HEADER] !== undefined) return;
  const message = `A certificate of "${commonName}" does not entitle to speak for node "${nodeName}"`;
  throw new NetError("FORBIDDEN", message, { reason: "wrong-certificate" });
}

/** The socket's handshake has verified the certificate already. */
function commonNameOf(socket: TLSSocket): string {
  const known = nameBySocket.get(socket);
  if (known !== undefined) return known;
  const subject = socket.getPeerCertificate().subject as { CN?: string | string[] } | undefined;
  const commonName = typeof subject?.CN === "string" ? subject.CN : "";
  nameBySocket.set(socket, commonName);
  return commonName;
}
