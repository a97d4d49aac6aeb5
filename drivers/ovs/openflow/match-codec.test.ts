import { describe, expect, it } from "vitest";
import { createWriter, readerOf, written } from "./bytes.ts";
import type { Match } from "./match.ts";
import { getMatch, getMatchFields, putMatch, putMatchFields } from "./match-codec.ts";
import { completeMatch } from "./match-entries.ts";
import { hex } from "./testing/hex.ts";
import { MATCH_CASES } from "./testing/print-cases.ts";

function encode(match: Match): string {
  const writer = createWriter();
  putMatchFields(writer, match);
  return written(writer).toString("hex");
}

describe("match on the wire", () => {
  it.each<[Match, string]>([
    [{}, ""],
    [{ inPort: 3 }, "80000004 00000003"],
    [{ inPort: "local" }, "80000004 fffffffe"],
    [{ ethDst: "01:00:00:00:00:00/01:00:00:00:00:00" }, "8000070c 010000000000 010000000000"],
    [{ vlanVid: 7 }, "80000c02 1007"],
    [{ vlanVid: "none" }, "80000c02 0000"],
    [{ vlanVid: "any" }, "80000d04 1000 1000"],
    [{ tcpDst: 80, ethType: 0x86dd }, "80000a02 86dd 80001401 06 80001c02 0050"],
    [{ ipv4Src: "10.9.9.9/8" }, "80000a02 0800 80001708 0a000000 ff000000"],
    [{ ndTll: "02:02:0a:00:00:01" }, "80000a02 86dd 80001401 3a 80003a01 88 80004206 02020a000001"],
    [{ reg1: 5, reg2: { value: 0xff, mask: 0xf0 } }, "00010204 00000005 00010508 000000f0 000000f0"],
    [{ ctState: "+trk-new" }, "0001d308 00000020 00000021"],
    [{ ctLabel: 1n << 64n }, "0001d810 0000000000000001 0000000000000000"],
    [{ ethType: 0x0800, ipFrag: "later" }, "80000a02 0800 00013401 03"],
    [{ reg0: { value: 1, mask: 0 } }, ""],
    [{ unknown: "8000580400000008" }, "80005804 00000008"],
  ])("%o", (match, expected) => {
    expect(encode(match)).toBe(hex(expected).toString("hex"));
  });

  it("has a header and padding around its fields", () => {
    const writer = createWriter();
    putMatch(writer, { inPort: 3 });
    expect(written(writer)).toEqual(hex("0001 000c 80000004 00000003 00000000"));
    expect(getMatch(readerOf(written(writer)))).toEqual({ inPort: 3 });
  });

  it.each(MATCH_CASES)("decodes %o", (match) => {
    const decoded = getMatchFields(readerOf(hex(encode(match))));
    expect(encode(decoded)).toBe(encode(match));
    if (match.ctState === undefined) expect(decoded).toEqual(completeMatch(match));
  });

  it.each<[string, string, Match]>([
    ["two registers as one field of 64 bits", "80010110 00000005 00000000 ffffffff 00000000", { reg0: 5 }],
    ["both of them", "80010208 00000005 00000006", { reg2: 5, reg3: 6 }],
    ["some bits of the second", "80010110 00000000 00000010 00000000 000000f0", { reg1: { value: 0x10, mask: 0xf0 } }],
    ["an old code", "00000e04 0a000001", { ipv4Src: "10.0.0.1" }],
    ["a mask of all ones", "80000708 020202020202 ffffffffffff".replace("08", "0c"), { ethDst: "02:02:02:02:02:02" }],
    ["a mask of zeros", "00010108 00000000 00000000", {}],
    ["an experimenter's field", "ffff5608 00002320 00000001", { unknown: "ffff56080000232000000001" }],
    ["a known field of another length", "80000a01 08", { unknown: "80000a0108" }],
    ["bits that a field has not", "80001001 ff", { unknown: "80001001ff" }],
  ])("decodes %s", (_, text, expected) => {
    expect(getMatchFields(readerOf(hex(text)))).toEqual(expected);
  });

  it.each([
    ["ends within a header", "8000"],
    ["ends within a value", "80000004 0000"],
    ["has an odd length with a mask", "80000105 0000000000"],
    ["names a field twice", "80000004 00000001 80000004 00000001"],
  ])("is refused when it %s", (_, text) => {
    expect(() => getMatchFields(readerOf(hex(text)))).toThrow(expect.objectContaining({ code: "PROTOCOL" }));
  });
});

describe("match that cannot be", () => {
  it.each<[string, Match, RegExp]>([
    ["a port out of range", { ethType: 0x0800, tcpDst: 70_000 }, /tcpDst: 70000 does not fit in 16 bits/],
    ["a fraction", { reg0: 1.5 }, /reg0: 1\.5 is not a whole number/],
    ["a negative", { tunId: -1n }, /tunId: -1 does not fit in 64 bits/],
    ["not an address", { ipv4Src: "10.0.0" }, /ipv4Src: "10\.0\.0" is not an address of kind ipv4/],
    ["an octet with a leading zero", { ipv4Src: "10.0.0.01" }, /is not an address/],
    ["a prefix too long", { ipv4Src: "10.0.0.0/33" }, /prefix length 33 exceeds 32/],
    ["not a MAC", { ethSrc: "02:02" }, /is not an address of kind mac/],
    ["IPv6 with two gaps", { ipv6Src: "fd00::1::2" }, /is not an address of kind ipv6/],
    ["an unknown conntrack state", { ctState: "+trk+foo" }, /"\+foo" is not \+ or - and one of new/],
    ["a state without sign", { ctState: "trk" }, /"trk" is not/],
    ["a mask where none can be", { ethType: 0x0800, ipProto: { value: 1, mask: 1 } } as unknown as Match, /in part/],
    ["a fragment word", { ethType: 0x0800, ipFrag: "maybe" } as unknown as Match, /"maybe" is not one of/],
    ["ports of nothing", { tcpDst: 80 }, /Cannot match tcpDst where ethType is neither/],
    ["ports of ARP", { ethType: 0x0806, udpDst: 80 }, /Cannot match udpDst where ethType is neither/],
    [
      "TCP ports of UDP",
      { ethType: 0x0800, ipProto: 17, tcpDst: 80 },
      /Cannot match tcpDst where ipProto is 17: it needs 6/,
    ],
    ["IPv6 addresses of IPv4", { ethType: 0x0800, ipv6Src: "::1" }, /Cannot match ipv6Src where ethType is 2048/],
    ["a neighbour of nobody", { ndTarget: "fd00::1" }, /Cannot match ndTarget where icmpv6Type is neither 135 nor 136/],
    ["an unknown field", { colour: 5 } as unknown as Match, /Cannot match field "colour"/],
    ["a field for actions", { xreg0: 5n } as unknown as Match, /Cannot match field "xreg0"/],
    ["no port", { inPort: "north" } as unknown as Match, /"north" is not a port/],
    ["a VLAN id of 13 bits", { vlanVid: 9000 }, /9000 does not fit in 13 bits/],
  ])("is refused: %s", (_, match, message) => {
    expect(() => encode(match)).toThrow(expect.objectContaining({ code: "INVALID" }));
    expect(() => encode(match)).toThrow(message);
  });
});
