import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { letterDistance, nearestName, nearHint } from "./near-name.ts";

const NAMES = ["tenant", "network", "net-group", "bandwidth", "mtu", "dryRun"];

describe("the name that somebody may have meant", () => {
  it.each([
    ["netgroup", "net-group"], // punctuation
    ["Net_Group", "net-group"],
    ["DRYRUN", "dryRun"],
    ["bandwith", "bandwidth"], // a letter is missing
    ["banndwidth", "bandwidth"], // one is too many
    ["bandwitdh", "bandwidth"], // two changed places
    ["tennat", "tenant"],
    ["nwtwrok", "network"], // two faults
    ["group", undefined], // only its end
    ["mut", "mtu"],
    ["mt", "mtu"],
    ["m", undefined], // too short to be near to anything
    ["umt", undefined], // of three letters only one may be wrong
    ["", undefined],
    ["-", undefined],
    ["mma", undefined],
    ["policy", undefined],
    ["netwxyz", undefined],
  ])("%j: %j", (given, near) => expect(nearestName(given, NAMES)).toBe(near));

  it("is none where there is none", () => expect(nearestName("tenant", [])).toBeUndefined());

  it("is the nearest of several", () => {
    expect(nearestName("tlscret", ["tls-key", "tls-cart", "tls-cert"])).toBe("tls-cert");
  });

  it("ends a message", () => {
    expect(nearHint("tennant", NAMES)).toBe("; did you mean tenant?");
    expect(nearHint("group", NAMES)).toBe("; did you mean net-group?");
    expect(nearHint("colour", ["a", "b"])).toBe("; there are: a, b");
  });

  it("of a text of any length costs nothing", () => {
    expect(nearestName("tenant".repeat(100_000), NAMES)).toBeUndefined();
  });
});

describe("the distance of two texts", () => {
  it.each([
    ["", "", 0],
    ["abc", "", 3],
    ["", "abc", 3],
    ["abc", "acb", 1],
    ["abcd", "badc", 2],
    ["ca", "abc", 3], // not 2: no part is changed twice
    ["kitten", "sitting", 3],
  ])("%j, %j: %i", (left, right, distance) => expect(letterDistance(left, right)).toBe(distance));

  const word = fc.string({ maxLength: 12, unit: fc.constantFrom("a", "b", "c") });

  it("is one way as the other, and 0 for equals only", () => {
    fc.assert(
      fc.property(word, word, (left, right) => {
        const distance = letterDistance(left, right);
        expect(distance).toBe(letterDistance(right, left));
        expect(distance === 0).toBe(left === right);
        expect(distance).toBeLessThanOrEqual(Math.max(left.length, right.length));
      }),
    );
  });

  it("is at most 1 for each change", () => {
    fc.assert(
      fc.property(word, fc.nat(11), fc.constantFrom("a", "b", "c"), (text, place, letter) => {
        const index = Math.min(place, text.length);
        const [head, tail] = [text.slice(0, index), text.slice(index)];
        const swapped = head + (tail[1] ?? "") + (tail[0] ?? "") + tail.slice(2);
        for (const changed of [head + letter + tail, head + tail.slice(1), head + letter + tail.slice(1), swapped]) {
          expect(letterDistance(text, changed)).toBeLessThanOrEqual(1);
        }
      }),
    );
  });
});
