import { describe, expect, it } from "vitest";
import { type Action, loadBits } from "./action.ts";
import { decodeActions } from "./action-decode.ts";
import { putActions } from "./action-encode.ts";
import { createWriter, written } from "./bytes.ts";
import { hex } from "./testing/hex.ts";
import { ACTION_CASES } from "./testing/print-cases.ts";

function encode(actions: readonly Action[]): Buffer {
  const writer = createWriter();
  putActions(writer, actions);
  return written(writer);
}

describe("actions on the wire", () => {
  it.each<[Action, string]>([
    [{ kind: "output", port: 1 }, "0000 0010 00000001 0000 000000000000"],
    [{ kind: "output", port: "controller" }, "0000 0010 fffffffd ffff 000000000000"],
    [{ kind: "setField", field: "reg1", value: 5 }, "0019 0010 00010204 00000005 00000000"],
    [{ kind: "setField", field: "reg1", value: 0xff, mask: 0x38 }, "0019 0010 00010308 00000038 00000038"],
    [{ kind: "setField", field: "vlanVid", value: 9 }, "0019 0010 80000c02 1009 000000000000"],
    [{ kind: "setField", field: "inPort16", value: 0 }, "0019 0010 00000002 0000 000000000000"],
    [
      { kind: "move", src: { field: "reg0" }, dst: { field: "reg1" } },
      "001c 0018 0020 0000 0000 0000 00010004 00010204 00000000",
    ],
    [{ kind: "resubmit", table: 4 }, "ffff 0010 00002320 000e fff8 04 000000"],
    [{ kind: "resubmit", inPort: 4 }, "ffff 0010 00002320 0001 0004 00000000"],
    [{ kind: "ctClear" }, "ffff 0010 00002320 002b 000000000000"],
    [
      { kind: "checkPktLarger", lengthBytes: 256, dst: { field: "reg0", startBit: 3, bitCount: 1 } },
      "ffff 0018 00002320 0031 0100 0003 00010004 000000000000",
    ],
    [
      {
        kind: "ct",
        commit: true,
        table: 4,
        zone: { field: "reg2", startBit: 0, bitCount: 16 },
        nat: { direction: "src", addressMin: "1.1.1.1", addressMax: "1.1.1.5", portMin: 5, portMax: 9 },
        exec: [{ kind: "setField", field: "ctMark", value: 5 }],
      },
      `ffff 0048 00002320 0023 0001 00010404 000f 04 000000 0000
       ffff 0020 00002320 0024 0000 0001 0033 01010101 01010105 0005 0009 00000000
       0019 0010 0001d604 00000005 00000000`,
    ],
    [
      { kind: "controller", maxLenBytes: 99, userdata: Uint8Array.of(1, 2, 3), pause: true },
      "ffff 0028 00002320 0025 000000000000 0000 0006 0063 0000 0003 0007 010203 00 0004 0004 00000000",
    ],
    [{ kind: "controller", maxLenBytes: 99, controllerId: 2 }, "ffff 0010 00002320 0014 0063 0002 01 00"],
    [{ kind: "conjunction", id: 7, clause: 1, clauseCount: 3 }, "ffff 0010 00002320 0022 00 03 00000007"],
    [
      {
        kind: "learn",
        table: 9,
        priority: 0x8000,
        cookie: 0n,
        specs: [{ kind: "match", dst: { field: "ethDst" }, src: { field: "ethSrc" } }],
      },
      `ffff 0030 00002320 0010 0000 0000 8000 0000000000000000 0000 09 00 0000 0000
       0030 00000406 0000 00000206 0000 0000`,
    ],
  ])("%o", (action, expected) => {
    expect(encode([action]).toString("hex")).toBe(hex(expected).toString("hex"));
    expect(encode(decodeActions(hex(expected))).toString("hex")).toBe(hex(expected).toString("hex"));
  });

  it.each(ACTION_CASES)("decodes, with %o, %o", (_, actions) => {
    expect(decodeActions(encode(actions))).toEqual(actions);
  });

  it("loads bits of a register", () => {
    const load = loadBits("reg1", { startBit: 3, bitCount: 3 }, 3);
    expect(decodeActions(encode([load]))).toEqual([{ kind: "setField", field: "reg1", value: 0x18, mask: 0x38 }]);
  });

  it.each([
    ["a type that this library does not know", "000b 0008 00000000"],
    ["another experimenter", "ffff 0010 00004f4e 0001 000000000000"],
    ["a subtype that this library does not know", "ffff 0010 00002320 0013 0001 00000000"],
    ["a field that this library does not know", "0019 0010 80004404 00000005 00000000"],
    ["bits that a field has not", "ffff 0018 00002320 000f ffff 00010204 ffff 000000000000"],
    ["a value that does not fit", "0019 0010 80001001 ff 00000000000000"],
    ["a mask that does not fit", "0019 0010 80001102 01 c1 000000000000"],
    ["a mask of zeros", "0019 0010 00010108 00000000 00000000"],
    [
      "an application helper that this library does not know",
      "ffff 0018 00002320 0023 0001 00000000 0000 ff 000000 0009",
    ],
  ])("keeps as it is: %s", (_, text) => {
    const bytes = hex(text);
    expect(decodeActions(bytes)).toEqual([{ kind: "raw", bytes: Uint8Array.from(bytes) }]);
    expect(encode(decodeActions(bytes))).toEqual(bytes);
  });

  it.each([
    ["a length of 4", "0012 0004 00000000"],
    ["a length that is no multiple of 8", "0012 000c 00000000 00000000"],
    ["a length beyond the end", "0012 0010 00000000"],
    ["half a header", "0012"],
    ["a clone of clones of clones", nestedClones(20)],
  ])("refuses %s", (_, text) => {
    expect(() => decodeActions(hex(text))).toThrow(expect.objectContaining({ code: "PROTOCOL" }));
  });
});

function nestedClones(depth: number): string {
  let bytes = Buffer.alloc(0);
  for (let level = 0; level < depth; level++) {
    const header = hex("ffff 0000 00002320 002a 000000000000");
    header.writeUInt16BE(header.length + bytes.length, 2);
    bytes = Buffer.concat([header, bytes]);
  }
  return bytes.toString("hex");
}

describe("actions that cannot be", () => {
  it.each<[string, Action, RegExp]>([
    ["a field that cannot be set", { kind: "setField", field: "ctState", value: 1 }, /ctState: it cannot be set/],
    ["the 32-bit port", { kind: "setField", field: "inPort", value: 1 }, /inPort: it cannot be set/],
    ["a mask of zeros", { kind: "setField", field: "reg0", value: 1, mask: 0 }, /its mask is zero/],
    ["a value too large", { kind: "setField", field: "ipDscp", value: 64 }, /64 does not fit in 6 bits/],
    ["text for a number", { kind: "setField", field: "reg0", value: "1" }, /"1" is not a number/],
    [
      "a move between sizes",
      { kind: "move", src: { field: "reg0" }, dst: { field: "ethDst" } },
      /Cannot move 32 bits of reg0 to 48 of ethDst/,
    ],
    [
      "bits beyond the end",
      { kind: "outputField", src: { field: "reg0", startBit: 20, bitCount: 16 } },
      /reg0\[20, 16 bits\]: it has 32 bits/,
    ],
    [
      "a length into several bits",
      { kind: "checkPktLarger", lengthBytes: 9, dst: { field: "reg0", startBit: 0, bitCount: 2 } },
      /one bit/,
    ],
    ["no bits", { kind: "outputField", src: { field: "reg0", startBit: 0, bitCount: 0 } }, /no such bits/],
    ["a zone of 8 bits", { kind: "ct", zone: { field: "reg0", startBit: 0, bitCount: 8 } }, /it has 16/],
    ["a zone too large", { kind: "ct", zone: 65_536 }, /ct zone 65536/],
    ["a translation to nowhere", { kind: "ct", nat: { direction: "src", addressMin: "here" } }, /"here" is not an IP/],
    ["clause 0", { kind: "conjunction", id: 1, clause: 0, clauseCount: 2 }, /clause index -1/],
    ["a port of 16 bits too large", { kind: "resubmit", inPort: 65_280 }, /65279 is the highest/],
    [
      "a learnt value too large",
      {
        kind: "learn",
        table: 1,
        priority: 1,
        cookie: 0n,
        specs: [{ kind: "load", dst: { field: "ipTtl" }, src: 256n }],
      },
      /Cannot learn 256: it does not fit in 8 bits/,
    ],
  ])("are refused: %s", (_, action, message) => {
    expect(() => encode([action])).toThrow(expect.objectContaining({ code: "INVALID" }));
    expect(() => encode([action])).toThrow(message);
  });
});
