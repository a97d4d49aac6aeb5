import type { AddressFamily, AddressRange } from "../address.ts";

/** `first` has all bits after the prefix cleared. */
export interface Prefix {
  readonly first: bigint;
  readonly prefixLength: number;
}

const BITS = { 4: 32, 6: 128 } as const;

/** The fewest prefixes that hold exactly the addresses of a range, ascending. */
export function prefixesOf({ family, first, last }: AddressRange & { readonly family: AddressFamily }): Prefix[] {
  const prefixes: Prefix[] = [];
  let at = first;
  while (at <= last) {
    let hostBits = 0;
    while (hostBits < BITS[family] && fits(at, hostBits + 1, last)) hostBits += 1;
    prefixes.push({ first: at, prefixLength: BITS[family] - hostBits });
    at += 1n << BigInt(hostBits);
  }
  return prefixes;
}

function fits(at: bigint, hostBits: number, last: bigint): boolean {
  const size = 1n << BigInt(hostBits);
  return at % size === 0n && at + size - 1n <= last;
}

/** The prefix of an address as a key of a map. IPv4 addresses are numbers here: far quicker than what 128 bits need. */
export function prefixKey(address: number | bigint, prefixLength: number): string | number {
  if (typeof address === "bigint") return (address >> BigInt(BITS[6] - prefixLength)).toString(36);
  return prefixLength === 0 ? 0 : address >>> (BITS[4] - prefixLength);
}

export function prefixKeyOf(family: AddressFamily, address: bigint, prefixLength: number): string | number {
  return prefixKey(family === 4 ? Number(address) : address, prefixLength);
}
