import { isIP } from "node:net";
import { NetError } from "../../state/errors.ts";

/** Where to listen: a host and port, or a listening socket that the process inherited. */
export type ListenAddress =
  | { readonly is: "tcp"; readonly host: string; readonly port: number }
  | { readonly is: "inherited"; readonly fd: number };

/** Reads `host:port`, `[v6]:port`, `:port` (all addresses) or `fd:N`. Throws INVALID. */
export function parseListenAddress(text: string): ListenAddress {
  const inherited = /^fd:(\d{1,4})$/.exec(text);
  if (inherited) return { is: "inherited", fd: Number(inherited[1]) };
  const [, bracketed, plain, digits] = /^(?:\[([^\]]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  const isWrong = digits === undefined || port > 65_535 || (bracketed !== undefined && isIP(bracketed) !== 6);
  if (isWrong) {
    throw new NetError("INVALID", `"${text}" is not an address to listen on: host:port, [v6 address]:port or fd:3`);
  }
  return { is: "tcp", host: bracketed ?? (plain === "" ? "::" : (plain ?? "")), port };
}

/** True when only this machine can reach the address. An inherited socket counts as someone else's decision. */
export function isLoopback(address: ListenAddress): boolean {
  if (address.is === "inherited") return true;
  const { host } = address;
  return host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}

/** `host:port`, for logs and URLs. */
export function formatListenAddress(address: ListenAddress): string {
  if (address.is === "inherited") return `fd:${address.fd}`;
  return `${address.host.includes(":") ? `[${address.host}]` : address.host}:${address.port}`;
}
