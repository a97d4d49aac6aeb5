import { isIPv4, isIPv6 } from "node:net";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  formatIpv4,
  formatIpv6,
  formatMac,
  parseIpv4,
  parseIpv6,
  parseMac,
  prefixLength,
  prefixMask,
} from "./address.ts";

const bytes = (count: number) =>
  fc.uint8Array({ minLength: count, maxLength: count }).map((array) => Buffer.from(array));
/** Groups of zeros are what `::` is about. */
const sparse = fc
  .array(fc.oneof(fc.constant(0), fc.nat(0xffff)), { minLength: 8, maxLength: 8 })
  .map((groups) => Buffer.from(groups.flatMap((group) => [group >> 8, group & 255])));

describe("addresses", () => {
  it.each([
    ["MAC", bytes(6), formatMac, parseMac],
    ["IPv4", bytes(4), formatIpv4, parseIpv4],
    ["IPv6", sparse, formatIpv6, parseIpv6],
  ] as const)("are read as they are written: %s", (_, values, format, parse) => {
    fc.assert(
      fc.property(values, (value) => {
        const parsed = parse(format(value));
        expect(typeof parsed === "number" ? parsed : parsed?.toString("hex")).toEqual(
          value.length <= 6 ? value.readUIntBE(0, value.length) : value.toString("hex"),
        );
      }),
    );
  });

  it("of MAC form are read from exactly six pairs of hexadecimal digits", () => {
    const digits = fc
      .array(fc.constantFrom(..."09afAFgG:.- @`"), { minLength: 15, maxLength: 18 })
      .map((all) => all.join(""));
    const nearly = fc
      .tuple(bytes(6).map(formatMac), fc.nat(16), fc.constantFrom(..."0fFgG:.-/@`"))
      .map(([mac, at, letter]) => mac.slice(0, at) + letter + mac.slice(at + 1));
    fc.assert(
      fc.property(fc.oneof(digits, nearly), (text) => {
        expect(parseMac(text) !== undefined).toBe(/^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$/.test(text));
      }),
      { numRuns: 2000 },
    );
  });

  it("are read from exactly the texts that Node takes for addresses", () => {
    const text = fc.oneof(
      fc.ipV4(),
      fc.ipV6(),
      fc.ipV6().map((each) => each.replace("::", ":")),
      fc.string(),
    );
    fc.assert(
      fc.property(text, (each) => {
        expect(parseIpv4(each) !== undefined).toBe(isIPv4(each));
        expect(parseIpv6(each) !== undefined).toBe(isIPv6(each) && !each.includes("%"));
      }),
      { numRuns: 2000 },
    );
  });

  it.each([
    ["::", "::"],
    ["0:0:1::", "0:0:1::"],
    ["1:0:0:2:0:0:0:3", "1:0:0:2::3"],
    ["fd00:0:0:0:1:0:0:1", "fd00::1:0:0:1"],
    ["1:0:2:3:4:5:6:7", "1:0:2:3:4:5:6:7"],
    ["::ffff:10.0.0.1", "::ffff:a00:1"],
    ["1.2.3.4::", undefined],
    ["1::2::3", undefined],
    ["1:2:3:4:5:6:7::8:9", undefined],
  ])("IPv6 %s is %s", (text, expected) => {
    const parsed = parseIpv6(text);
    expect(parsed && formatIpv6(parsed)).toBe(expected);
  });

  it("have prefix masks", () => {
    for (let length = 0; length <= 128; length++) expect(prefixLength(prefixMask(length, 16))).toBe(length);
    expect(prefixLength(Buffer.from([255, 0, 255, 0]))).toBeUndefined();
  });
});
