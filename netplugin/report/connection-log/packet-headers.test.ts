import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readHeaders } from "./packet-headers.ts";

const MACS = "0202 0a01 0101 0202 0a01 0102";
const V4 = "0a01 0102 0a01 0101";
const V6 = "2001 0db8 0001 0000 0000 0000 0000 0002 fe80 0000 0000 0000 0000 0aff fe01 0101";
const IN_V4 = { family: 4, source: "10.1.1.2", destination: "10.1.1.1" };
const IN_V6 = { family: 6, source: "2001:db8:1::2", destination: "fe80::aff:fe01:101" };

function read(...words: readonly string[]) {
  return readHeaders(Buffer.from([MACS, ...words].join("").replaceAll(" ", ""), "hex"));
}

const ipv4 = (protocol: string, flags = "0000") => `0800 4500 0054 0001 ${flags} 40${protocol} 0000 ${V4}`;
const ipv6 = (next: string) => `86dd 6000 0000 0040 ${next}40 ${V6}`;

describe("headers of a frame", () => {
  it.each([
    ["TCP", [ipv4("06"), "b4a2 0050"], { ...IN_V4, protocol: 6, sourcePort: 46_242, port: 80 }],
    ["UDP", [ipv4("11"), "0035 14e9"], { ...IN_V4, protocol: 17, sourcePort: 53, port: 5_353 }],
    ["ICMP", [ipv4("01"), "0800"], { ...IN_V4, protocol: 1, icmpType: 8 }],
    ["a protocol without ports", [ipv4("2f"), "0000 0800"], { ...IN_V4, protocol: 47 }],
    ["the first fragment", [ipv4("11", "2000"), "0035 14e9"], { ...IN_V4, protocol: 17, sourcePort: 53, port: 5_353 }],
    ["a later fragment", [ipv4("11", "00b9"), "0035 14e9"], { ...IN_V4, protocol: 17 }],
    ["a cut-off TCP header", [ipv4("06"), "b4a2 00"], { ...IN_V4, protocol: 6 }],
    [
      "IPv4 options",
      [`0800 4600 0054 0001 0000 4006 0000 ${V4} 9404 0000`, "b4a2 0050"],
      { ...IN_V4, protocol: 6, sourcePort: 46_242, port: 80 },
    ],
    ["TCP over IPv6", [ipv6("06"), "b4a2 0050"], { ...IN_V6, protocol: 6, sourcePort: 46_242, port: 80 }],
    ["ICMPv6", [ipv6("3a"), "8000"], { ...IN_V6, protocol: 58, icmpType: 128 }],
    [
      "IPv6 extension headers",
      [ipv6("00"), "3c00 0502 0000 0000", "1101 0104 0000 0000 0000 0000 0000 0000", "0035 14e9"],
      { ...IN_V6, protocol: 17, sourcePort: 53, port: 5_353 },
    ],
    [
      "the first IPv6 fragment",
      [ipv6("2c"), "1100 0001 0000 0001", "0035 14e9"],
      { ...IN_V6, protocol: 17, sourcePort: 53, port: 5_353 },
    ],
    ["a later IPv6 fragment", [ipv6("2c"), "1100 0b51 0000 0001", "0035 14e9"], { ...IN_V6, protocol: 17 }],
    ["ARP", ["0806 0001 0800 0604 0001"], undefined],
    ["an IPv4 header that ends too early", ["0800 4500 0054"], undefined],
    ["an IPv4 header that says it is shorter than it can be", ["0800 4400 0054 0001 0000 4006 0000", V4], undefined],
    ["an IPv6 header that ends too early", ["86dd 6000 0000 0040 0640"], undefined],
  ])("of %s", (_, words, expected) => expect(read(...words)).toEqual(expected));

  it("of anything are read without an error", () => {
    const payload = fc.uint8Array({ maxLength: 200 });
    const etherType = fc.constantFrom("0800", "86dd", "0806");
    fc.assert(
      fc.property(etherType, payload, (type, bytes) => {
        const found = read(type, Buffer.from(bytes).toString("hex"));
        if (found !== undefined) expect(found.family === 4 || found.family === 6).toBe(true);
        readHeaders(bytes);
      }),
      { numRuns: 2_000 },
    );
  });
});
