import { createServer, type RequestListener, type Server } from "node:http";
import { createServer as createTlsServer, type ServerOptions as TlsServerOptions } from "node:https";
import type { AddressInfo } from "node:net";
import { asNetError } from "../../state/errors.ts";
import { pause } from "../../state/waiting/pause.ts";
import { formatListenAddress, type ListenAddress } from "./listen-address.ts";

/** A server that listens. */
export interface Listener {
  /** The address it really has: the port is known here when 0 was asked for. */
  readonly address: string;
  /** Takes no more connections, lets running requests end for a while, then ends all. */
  close(graceMs: number): Promise<void>;
}

/** Longest time for a request to arrive completely, in milliseconds. */
const REQUEST_TIMEOUT_MS = 30_000;
/** Longest time for its headers, and for the handshake of TLS. */
const HEADERS_TIMEOUT_MS = 15_000;
/** How often connections are looked through for such that take too long; Node's own 30 s would double the limits above. */
const LATE_CHECK_INTERVAL_MS = 5_000;
/** How long an idle connection is kept; longer than our own clients keep theirs. */
const KEEP_ALIVE_MS = 75_000;

/** Serves HTTP, or HTTPS with `tls`, on one address. Throws a NetError that names the address when that cannot be had. */
export async function listen(
  address: ListenAddress,
  handler: RequestListener,
  tls?: TlsServerOptions,
): Promise<Listener> {
  const limits = {
    requestTimeout: REQUEST_TIMEOUT_MS,
    headersTimeout: HEADERS_TIMEOUT_MS,
    connectionsCheckingInterval: LATE_CHECK_INTERVAL_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    noDelay: true,
  };
  const handshakeTimeout = HEADERS_TIMEOUT_MS;
  const server =
    tls === undefined
      ? createServer(limits, handler)
      : createTlsServer({ ...limits, handshakeTimeout, ...tls }, handler);
  await listening(server, address).catch((error: unknown) => {
    throw asNetError(error, `listen on ${formatListenAddress(address)}`, "INVALID");
  });
  return { address: formatBound(server, address), close: (graceMs) => close(server, graceMs) };
}

function listening(server: Server, address: ListenAddress): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(address.is === "inherited" ? { fd: address.fd } : { host: address.host, port: address.port }, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

function formatBound(server: Server, address: ListenAddress): string {
  const bound = server.address() as AddressInfo | string | null;
  if (bound === null || typeof bound === "string" || address.is === "inherited") return formatListenAddress(address);
  return formatListenAddress({ ...address, port: bound.port });
}

async function close(server: Server, graceMs: number): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeIdleConnections();
  await Promise.race([closed, pause(graceMs)]);
  server.closeAllConnections();
  await closed;
}
