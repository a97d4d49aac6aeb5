import fc from "fast-check";
import { expect, test } from "vitest";
import { prefixEnd, prefixRange } from "./range.ts";

const bytes = (minLength: number) => fc.uint8Array({ minLength, maxLength: 6 }).map((array) => Buffer.from(array));

test("a key lies in the range of a prefix exactly when it begins with it", () => {
  const biased = fc.oneof(bytes(0), fc.constant(Buffer.of(255)), fc.constant(Buffer.of(255, 255, 1)));
  fc.assert(
    fc.property(bytes(1), biased, fc.boolean(), (prefix, rest, isInside) => {
      const key = isInside ? Buffer.concat([prefix, rest]) : rest;
      const end = prefixEnd(prefix);
      const isOpenEnded = end.equals(Buffer.of(0));
      const isInRange = Buffer.compare(key, prefix) >= 0 && (isOpenEnded || Buffer.compare(key, end) < 0);
      expect(isInRange).toBe(key.subarray(0, prefix.length).equals(prefix));
    }),
  );
});

test("the empty prefix means every key", () => {
  expect(prefixRange("")).toEqual({ key: Buffer.of(0), range_end: Buffer.of(0) });
  expect(prefixRange("a/")).toEqual({ key: Buffer.from("a/"), range_end: Buffer.from("a0") });
});
