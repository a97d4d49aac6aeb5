import { createSocket, type SocketOptions } from "node:dgram";
import { isIP } from "node:net";
import { addressOf } from "../../state/address.ts";
import { nameLookup } from "../../state/name-lookup.ts";
import { specialUseOf } from "../../state/special-addresses.ts";

/**
 * This machine's address on the way to the first of these URLs that has a way; no packet is sent. Undefined when there is none, or when
 * other machines cannot use it, like 127.0.0.1.
 */
export async function addressTowards(urls: readonly string[]): Promise<string | undefined> {
  for (const url of urls) {
    const host = new URL(url).hostname.replace(/^\[(.*)\]$/, "$1");
    const families = isIP(host) === 0 ? ([4, 6] as const) : ([isIP(host) as 4 | 6] as const);
    for (const family of families) {
      const address = await localAddress(host, family);
      if (address !== undefined && isUsable(address, family)) return address;
    }
  }
  return undefined;
}

/** Any port: connecting a datagram socket only chooses the source address. */
const ANY_PORT = 9;

function localAddress(host: string, family: 4 | 6): Promise<string | undefined> {
  const socket = createSocket({ type: family === 6 ? "udp6" : "udp4", lookup: lookupOne });
  return new Promise<string | undefined>((resolve) => {
    socket.once("error", () => resolve(undefined)); // no such name, or no route
    socket.once("connect", () => resolve(socket.address().address));
    socket.connect(ANY_PORT, host);
  }).finally(() => socket.close());
}

function isUsable(address: string, family: 4 | 6): boolean {
  if (address.includes("%")) return false; // of the link only
  const number = addressOf(family, address);
  return specialUseOf(family, { first: number, last: number }) === undefined;
}

function lookupOne(...[hostname, options, callback]: Parameters<NonNullable<SocketOptions["lookup"]>>): void {
  nameLookup(hostname, { ...options, all: false }, (error, address, family = 0) =>
    callback(error, String(address), family),
  );
}
