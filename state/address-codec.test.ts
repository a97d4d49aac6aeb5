import { isIP, isIPv4, isIPv6 } from "node:net";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  canonicalIpv6,
  groupsOfBits,
  ipBytes,
  ipFamily,
  ipText,
  ipv4Number,
  ipv4Text,
  ipv4TextOf,
  ipv6Bits,
  ipv6Bytes,
  ipv6Groups,
  ipv6Text,
  ipv6TextOf,
  macBytes,
  macNumber,
  macText,
  parsePrefix,
} from "./address-codec.ts";

const bytes = (count: number) =>
  fc.uint8Array({ minLength: count, maxLength: count }).map((array) => Buffer.from(array));
/** Groups of zeros are what `::` is about. */
const sparse = fc
  .array(fc.oneof(fc.constant(0), fc.nat(0xffff)), { minLength: 8, maxLength: 8 })
  .map((groups) => Buffer.from(groups.flatMap((group) => [group >> 8, group & 255])));

describe("addresses", () => {
  it.each([
    ["MAC", bytes(6), macText, macNumber],
    ["IPv4", bytes(4), ipv4TextOf, ipv4Number],
    ["IPv6", sparse, ipv6TextOf, ipv6Bytes],
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
      .tuple(bytes(6).map(macText), fc.nat(16), fc.constantFrom(..."0fFgG:.-/@`"))
      .map(([mac, at, letter]) => mac.slice(0, at) + letter + mac.slice(at + 1));
    fc.assert(
      fc.property(fc.oneof(digits, nearly), (text) => {
        expect(macNumber(text) !== undefined).toBe(/^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$/.test(text));
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
        expect(ipv4Number(each) !== undefined).toBe(isIPv4(each));
        expect(ipv6Bytes(each) !== undefined).toBe(isIPv6(each) && !each.includes("%"));
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
    const parsed = ipv6Bytes(text);
    expect(parsed && ipv6TextOf(parsed)).toBe(expected);
  });
});

describe("IPv6 against Node's own", () => {
  /** The URL standard's serializer (https://url.spec.whatwg.org/#concept-ipv6-serializer) is RFC 5952's but for dotted tails. */
  const canonical = (text: string) => new URL(`http://[${text}]/`).hostname.slice(1, -1);
  const groups = fc.array(fc.oneof(fc.constant(0), fc.nat(0xffff)), { minLength: 8, maxLength: 8 });

  it("has the same canonical text", () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV6(), groups.map(longText)), (text) => {
        expect(canonicalIpv6(text)).toBe(canonical(text));
        expect(ipText(ipBytes(text) ?? Buffer.alloc(0))).toBe(canonical(text));
      }),
      { numRuns: 2000 },
    );
  });

  it("takes the same texts for addresses, made of what addresses are made of", () => {
    const parts = fc.constantFrom(..."0:1:f:A:::10.0.0.1:255:.:%:g:12345:00ff".split(/(?=:)|(?<=:)/));
    fc.assert(
      fc.property(
        fc.array(parts, { maxLength: 16 }).map((all) => all.join("")),
        (text) => {
          const family = text.includes("%") ? 0 : isIP(text);
          expect(ipFamily(text) ?? 0).toBe(family);
          expect(ipBytes(text)?.length).toBe({ 0: undefined, 4: 4, 6: 16 }[family]);
        },
      ),
      { numRuns: 5000 },
    );
  });

  it("is the same as groups, bytes and bits", () => {
    fc.assert(
      fc.property(groups, (all) => {
        const bits = ipv6Bits(all);
        expect(groupsOfBits(bits)).toEqual(all);
        expect(bits).toBe(BigInt(`0x${ipv6Bytes(longText(all))?.toString("hex")}`));
        expect(ipv6Groups(ipv6Text(all))).toEqual(all);
      }),
    );
  });

  function longText(all: readonly number[]): string {
    return all.map((group) => group.toString(16).padStart(4, "0").toUpperCase()).join(":");
  }
});

describe("IPv4 numbers and MAC bytes", () => {
  it("come back as they were", () => {
    fc.assert(fc.property(fc.nat(0xffffffff), (bits) => ipv4Number(ipv4Text(bits)) === bits));
    fc.assert(fc.property(bytes(6), (mac) => macBytes(macText(mac))?.equals(mac) === true));
  });

  it("of links that have other addresses are shown whole", () => {
    expect(macText(Buffer.alloc(0))).toBe("");
    expect(macText(Buffer.from([10, 0, 0, 255]))).toBe("0a:00:00:ff");
    expect(macBytes("0a:00:00:ff")).toBeUndefined();
  });

  it("of a wrong number of bytes are no IP address", () => {
    for (const count of [0, 3, 5, 15, 17]) expect(ipText(Buffer.alloc(count))).toBeUndefined();
  });
});

describe("prefixes", () => {
  it.each([
    ["10.1.2.3/24", { family: 4, address: "10.1.2.3", prefixLength: 24 }],
    ["10.1.2.3", { family: 4, address: "10.1.2.3", prefixLength: undefined }],
    ["FD00::5/128", { family: 6, address: "FD00::5", prefixLength: 128 }],
    ["::/0", { family: 6, address: "::", prefixLength: 0 }],
    ["10.1.2.3/33", undefined],
    ["fd00::5/129", undefined],
    ["10.1.2.3/", undefined],
    ["10.1.2.3/ 8", undefined],
    ["10.1.2.3/8/8", undefined],
    ["10.1.2.3/-1", undefined],
    ["/8", undefined],
    ["fe80::1%eth0/64", undefined],
  ])("%s is %j", (text, prefix) => expect(parsePrefix(text)).toEqual(prefix));
});
