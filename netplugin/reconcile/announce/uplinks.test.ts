import { describe, expect, it } from "vitest";
import { type Told, toTell } from "./uplinks.ts";

const [FIRST, SECOND] = ["02:00:00:00:00:01", "02:00:00:00:00:02"] as const;
const [A, B] = ["192.0.2.1", "192.0.2.2"] as const;
const told = (...entries: readonly (readonly [address: string, mac: string, remaining: number])[]): Told =>
  new Map(entries.map(([address, mac, remaining]) => [address, { mac, remaining }]));

describe("what the underlay is told of a node's own addresses", () => {
  it.each<readonly [what: string, before: Told | undefined, addresses: readonly string[], mac: string, after: Told]>([
    ["nothing at the first sight", undefined, [A, B], FIRST, told([A, FIRST, 0], [B, FIRST, 0])],
    ["nothing when all is as before", told([A, FIRST, 0]), [A], FIRST, told([A, FIRST, 0])],
    ["an address in another's place", told([A, FIRST, 0]), [B], FIRST, told([B, FIRST, 3])],
    ["an address that is back", told([B, FIRST, 0]), [A], FIRST, told([A, FIRST, 3])],
    ["the first address of a NIC that had none", told(), [A], FIRST, told([A, FIRST, 3])],
    [
      "every address when the MAC is another",
      told([A, FIRST, 0], [B, FIRST, 2]),
      [A, B],
      SECOND,
      told([A, SECOND, 3], [B, SECOND, 3]),
    ],
    ["what is still to be repeated", told([A, FIRST, 2]), [A], FIRST, told([A, FIRST, 2])],
    ["nothing of an address that is gone", told([A, FIRST, 2], [B, FIRST, 0]), [B], FIRST, told([B, FIRST, 0])],
  ])("%s", (_what, before, addresses, mac, after) => {
    expect(toTell(before, addresses, mac)).toEqual(after);
  });
});
