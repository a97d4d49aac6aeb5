import { expect, it } from "vitest";
import { prefixLength, prefixMask } from "./mask.ts";

it("prefixes have masks", () => {
  for (let length = 0; length <= 128; length++) expect(prefixLength(prefixMask(length, 16))).toBe(length);
  expect(prefixLength(Buffer.from([255, 0, 255, 0]))).toBeUndefined();
});
