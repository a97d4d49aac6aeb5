import { isIPv4, isIPv6 } from "node:net";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  formatIpv4,
  formatIpv6,
  formatRange,
  hostRange,
  overlaps,
  parseIpv4,
  parseIpv6,
  parseSubnet,
  type Subnet,
} from "./address.ts";

function subnet(text: string): Subnet {
  const parsed = parseSubnet(text.includes(":") ? 6 : 4, text);
  if (parsed === undefined) throw new Error(`"${text}" is no subnet`);
  return parsed;
}

describe("IPv4", () => {
  it.each([
    ["0.0.0.0", 0n],
    ["10.1.1.254", 0x0a0101fen],
    ["255.255.255.255", 0xffffffffn],
  ])("reads and writes %s", (text, value) => {
    expect(parseIpv4(text)).toBe(value);
    expect(formatIpv4(value)).toBe(text);
  });

  it.each([
    "",
    "1.2.3",
    "1.2.3.4.5",
    "01.2.3.4",
    "1.2.3.256",
    "1.2.3.4 ",
    " 1.2.3.4",
    "1.2.3.-4",
    "a.b.c.d",
    "1.2.3.4\n",
  ])("refuses %j", (text) => expect(parseIpv4(text)).toBeUndefined());

  it("returns every address unchanged", () => {
    fc.assert(fc.property(fc.bigInt(0n, 0xffffffffn), (value) => parseIpv4(formatIpv4(value)) === value));
  });

  it("agrees with node about any text", () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.string()), (text) => (parseIpv4(text) !== undefined) === isIPv4(text)),
    );
  });
});

describe("IPv6", () => {
  // RFC 5952 §4 and §5
  it.each([
    ["2001:0db8::0001", "2001:db8::1"],
    ["2001:db8:0:0:0:0:2:1", "2001:db8::2:1"],
    ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
    ["2001:0:0:1:0:0:0:1", "2001:0:0:1::1"],
    ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
    ["2001:DB8::ABCD", "2001:db8::abcd"],
    ["::", "::"],
    ["::1", "::1"],
    ["1::", "1::"],
    ["::ffff:10.0.0.1", "::ffff:a00:1"],
    ["1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"],
  ])("writes %s as %s", (text, canonical) => {
    expect(formatIpv6(parseIpv6(text) ?? -1n)).toBe(canonical);
  });

  it.each([
    "",
    ":",
    ":::",
    "1::2::3",
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9",
    "12345::",
    "g::",
    "::1%eth0",
    "1.2.3.4",
    "::1.2.3.256",
  ])("refuses %j", (text) => expect(parseIpv6(text)).toBeUndefined());

  it("returns every address unchanged", () => {
    fc.assert(fc.property(fc.bigInt(0n, 2n ** 128n - 1n), (value) => parseIpv6(formatIpv6(value)) === value));
  });

  it("agrees with node about any text", () => {
    const text = fc.oneof(fc.ipV6(), fc.string(), fc.string({ unit: fc.constantFrom(":", "0", "f", "1", ".") }));
    fc.assert(
      fc.property(text, (candidate) => (parseIpv6(candidate) !== undefined) === isIPv6(candidate)),
      { numRuns: 2_000 },
    );
  });
});

describe("subnets", () => {
  it.each([
    ["10.1.1.77/24", "10.1.1.0-10.1.1.255", "10.1.1.1-10.1.1.254"],
    ["10.1.1.1/31", "10.1.1.0-10.1.1.1", "10.1.1.0-10.1.1.1"],
    ["10.1.1.1/30", "10.1.1.0-10.1.1.3", "10.1.1.1-10.1.1.2"],
    ["10.0.0.0/8", "10.0.0.0-10.255.255.255", "10.0.0.1-10.255.255.254"],
    ["2001:db8::5/126", "2001:db8::4-2001:db8::7", "2001:db8::5-2001:db8::7"],
    ["2001:db8::/127", "2001:db8::-2001:db8::1", "2001:db8::-2001:db8::1"],
  ])("%s holds %s, hosts %s", (text, whole, hosts) => {
    const parsed = subnet(text);
    expect(formatRange(parsed.family, parsed)).toBe(whole);
    expect(formatRange(parsed.family, hostRange(parsed))).toBe(hosts);
  });

  it.each(["10.1.1.0", "10.1.1.0/33", "10.1.1.0/-1", "10.1.1.0/024", "/24", "10.1.1.0/24/1", "::/129", "10.1.1.0/ 4"])(
    "refuses %s",
    (text) => expect(parseSubnet(text.includes(":") ? 6 : 4, text)).toBeUndefined(),
  );

  it("tells overlap", () => {
    expect(overlaps(subnet("10.0.0.0/8"), subnet("10.1.1.0/24"))).toBe(true);
    expect(overlaps(subnet("10.1.0.0/24"), subnet("10.1.1.0/24"))).toBe(false);
  });
});
