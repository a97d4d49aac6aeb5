import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BandwidthText, parseBandwidth } from "./notation.ts";

describe("bandwidth in the contract's notation", () => {
  it.each([
    ["", undefined],
    ["10kbps", 10_000],
    ["10 mbps", 10_000_000],
    ["10Mbps", 10_000_000],
    ["10 gb", 10_000_000_000],
    ["1m", 1_000_000],
    ["1K", 1_000],
    ["25Gb", 25_000_000_000],
    ["1000000gbps", 1e15],
  ])("%j is %s bit/s", (text, bitPerSecond) => {
    expect(BandwidthText.safeParse(text).success).toBe(true);
    expect(parseBandwidth(text)).toBe(bitPerSecond);
  });

  it.each([
    "0mbps",
    "10tbps",
    "10mBps",
    "10  mbps",
    "-10mbps",
    "NaN",
    "10",
    "1.5mbps",
    "010mbps",
    " 10mbps",
    "10mbps ",
    "10mbps\n",
    "10 000mbps",
    "1e3mbps",
    "10000000g", // 10 Pbit/s
    "1000001gbps",
    `${"9".repeat(400)}g`,
  ])("refuses %j", (text) => expect(BandwidthText.safeParse(text).success).toBe(false));

  it("is decimal, whatever the spelling of the unit", () => {
    const unit = fc.constantFrom("k", "K", "m", "M", "g", "G");
    const tail = fc.constantFrom("", "b", "bps");
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1_000_000 }), unit, tail, fc.boolean(), (count, prefix, rest, blank) => {
        const text = `${count}${blank ? " " : ""}${prefix}${rest}`;
        const factor = { k: 1e3, m: 1e6, g: 1e9 }[prefix.toLowerCase()] ?? 0;
        expect(BandwidthText.parse(text)).toBe(text);
        expect(parseBandwidth(text)).toBe(count * factor);
      }),
    );
  });
});
