import { isIPv6 } from "node:net";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { macText } from "../../state/address-codec.ts";
import { macToBytes } from "./hardware-address.ts";
import { bytesToIp, ipToBytes, parsePrefix } from "./ip-address.ts";

/** The URL parser of Node writes RFC 5952 text too: an independent witness. */
const canonical = (address: string) => new URL(`http://[${address}]/`).hostname.slice(1, -1);

describe("IP addresses", () => {
  it("come back as they were", () => {
    fc.assert(fc.property(fc.ipV4(), (address) => void expect(bytesToIp(ipToBytes(address))).toBe(address)));
    fc.assert(fc.property(fc.ipV6(), (address) => void expect(bytesToIp(ipToBytes(address))).toBe(canonical(address))));
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
        expect(isIPv6(bytesToIp(bytes))).toBe(true);
        expect(new Uint8Array(ipToBytes(bytesToIp(bytes)))).toEqual(bytes);
      }),
    );
  });

  it.each(["::", "::1", "1::", "fe80::1", "2001:db8::1:0:0:1", "1:0:0:2::", "::ffff:10.0.0.1", "64:ff9b::1.2.3.4"])(
    "%s is read as others read it",
    (address) => expect(bytesToIp(ipToBytes(address))).toBe(canonical(address)),
  );

  it.each(["", "10.0.0", "10.0.0.256", "01.2.3.4", "fe80::1%eth0", "1::2::3", "10.0.0.1/24", "x"])(
    "%j is refused",
    (address) => expect(() => ipToBytes(address)).toThrow(expect.objectContaining({ code: "INVALID" })),
  );

  it("of a wrong length from the kernel are PROTOCOL", () => {
    expect(() => bytesToIp(Buffer.alloc(5))).toThrow(expect.objectContaining({ code: "PROTOCOL" }));
  });
});

describe("prefixes", () => {
  it.each([
    ["10.0.0.0/8", { family: "ipv4", address: "10.0.0.0", lengthBits: 8 }],
    ["::/0", { family: "ipv6", address: "::", lengthBits: 0 }],
    ["2001:db8::2/128", { family: "ipv6", address: "2001:db8::2", lengthBits: 128 }],
  ])("%s is read", (text, prefix) => expect(parsePrefix(text)).toEqual(prefix));

  it.each(["10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "::/129", "10.0.0.0/-1", "10.0.0.0/8/8", "10.0.0.0/ 8", "/8"])(
    "%j is refused",
    (text) => expect(() => parsePrefix(text)).toThrow(expect.objectContaining({ code: "INVALID" })),
  );
});

describe("MAC addresses", () => {
  it("come back as they were", () => {
    const macs = fc.uint8Array({ minLength: 6, maxLength: 6 });
    fc.assert(fc.property(macs, (bytes) => void expect(new Uint8Array(macToBytes(macText(bytes)))).toEqual(bytes)));
    expect(macToBytes("02:0A:ff:00:00:01")).toEqual(Buffer.from("020aff000001", "hex"));
  });

  it.each(["", "02:00:00:00:00", "02-00-00-00-00-01", "02:00:00:00:00:01:02", "0g:00:00:00:00:01", "2:0:0:0:0:1"])(
    "%j is refused",
    (mac) => expect(() => macToBytes(mac)).toThrow(expect.objectContaining({ code: "INVALID" })),
  );
});
