import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatIpv4, parseIpv4, subnetOf } from "../address.ts";
import { prefixesOf } from "./prefix.ts";

function prefixes(first: string, last: string): string[] {
  const range = { family: 4, first: parseIpv4(first) ?? 0n, last: parseIpv4(last) ?? 0n } as const;
  return prefixesOf(range).map((prefix) => `${formatIpv4(prefix.first)}/${prefix.prefixLength}`);
}

describe("prefixes of a range", () => {
  it.each([
    ["10.1.1.1", "10.1.1.1", "10.1.1.1/32"],
    ["10.1.1.0", "10.1.1.255", "10.1.1.0/24"],
    ["10.1.1.10", "10.1.1.20", "10.1.1.10/31 10.1.1.12/30 10.1.1.16/30 10.1.1.20/32"],
    ["0.0.0.0", "255.255.255.255", "0.0.0.0/0"],
  ])("%s to %s", (first, last, wanted) => expect(prefixes(first, last).join(" ")).toBe(wanted));

  it("hold exactly the range, without overlap, in at most 62 pieces", () => {
    fc.assert(
      fc.property(fc.bigInt(0n, 0xffffffffn), fc.bigInt(0n, 0xffffffffn), (one, other) => {
        const [first, last] = one < other ? [one, other] : [other, one];
        const pieces = prefixesOf({ family: 4, first, last }).map((prefix) =>
          subnetOf(4, prefix.first, prefix.prefixLength),
        );
        expect(pieces.length).toBeLessThanOrEqual(62);
        let next = first;
        for (const piece of pieces) {
          expect(piece.first).toBe(next);
          next = piece.last + 1n;
        }
        expect(next).toBe(last + 1n);
      }),
    );
  });
});
