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

/** The prefix of an address as a key of a map: numbers for IPv4, which are far quicker than what 128 bits need. */
export function prefixKey(family: AddressFamily, address: bigint, prefixLength: number): string | number {
  const prefix = address >> BigInt(BITS[family] - prefixLength);
  return family === 4 ? Number(prefix) : prefix.toString(36);
}
