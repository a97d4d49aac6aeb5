import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { NetError } from "../../state/errors.ts";
import * as codec from "./attributes.ts";

const leaf = fc.record({ type: fc.integer({ min: 0, max: 0x3fff }), payload: fc.uint8Array({ maxLength: 40 }) });
const { tree } = fc.letrec<{ tree: codec.Attribute; branch: codec.Attribute }>((tie) => ({
  tree: fc.oneof({ maxDepth: 3 }, leaf, tie("branch")),
  branch: fc.record({ type: fc.integer({ min: 0, max: 0x3fff }), payload: fc.array(tie("tree"), { maxLength: 5 }) }),
}));

function decodeLike(shape: readonly codec.Attribute[], data: Uint8Array): readonly codec.Attribute[] {
  return codec.listAttributes(data).map(([type, payload], index) => {
    const original = shape[index]?.payload;
    const isBytes = original instanceof Uint8Array || original === undefined;
    return { type, payload: isBytes ? new Uint8Array(payload) : decodeLike(original, payload) };
  });
}

describe("attributes", () => {
  it("come back as they were", () => {
    fc.assert(
      fc.property(fc.array(tree, { maxLength: 6 }), (list) => {
        const encoded = codec.encodeAttributes(list);
        expect(encoded.length % 4).toBe(0);
        expect(decodeLike(list, encoded)).toEqual(list);
      }),
    );
  });

  it.each([
    ["u8", codec.u8(1, 0xfe), "05000100fe000000"],
    ["u16", codec.u16(2, 0x1234), "0600020034120000"],
    ["u16 in network order", codec.u16be(2, 0x1234), "0600020012340000"],
    ["u32", codec.u32(3, 0x12345678), "0800030078563412"],
    ["u64", codec.u64(4, 0x0102030405060708n), "0c0004000807060504030201"],
    ["text", codec.text(5, "eth0"), "090005006574683000000000"],
    ["flag", codec.flag(6), "04000600"],
    ["nested", codec.nested(7, [codec.u8(1, 2), codec.flag(3)]), "100007800500010002000000" + "04000300"],
    ["nothing nested", codec.nested(7, []), "04000780"],
  ])("%s is these bytes", (_name, attribute, hex) => {
    expect(codec.encodeAttributes([attribute]).toString("hex")).toBe(hex);
  });

  it("start after a header of any length", () => {
    const body = codec.encodeBody(Buffer.from([1, 2, 3, 4, 5]), [codec.u8(9, 1)]);
    expect(body.toString("hex")).toBe("0102030405000000" + "0500090001000000");
    expect(codec.readU8(codec.readAttributes(body, 8), 9)).toBe(1);
  });

  it.each([
    ["a length below the header", "03000100"],
    ["a length of zero", "00000100"],
    ["a length beyond the end", "0900010061000000"],
    ["a header cut off", "040001000400"],
    ["one byte", "04"],
  ])("refuse %s", (_name, hex) => {
    expect(() => codec.listAttributes(Buffer.from(hex, "hex"))).toThrow(expect.objectContaining({ code: "PROTOCOL" }));
  });

  it("may lack the padding of the last", () => {
    expect(codec.listAttributes(Buffer.from("0500010061", "hex"))).toEqual([[1, Buffer.from("a")]]);
  });

  it("refuse payloads that are too short for what they hold", () => {
    const short = codec.readAttributes(codec.encodeAttributes([codec.u16(1, 5), codec.flag(2)]));
    for (const read of [codec.readU32, codec.readI32, codec.readU64]) expect(() => read(short, 1)).toThrow(NetError);
    for (const read of [codec.readU8, codec.readU16]) expect(() => read(short, 2)).toThrow(NetError);
    expect(codec.readU32(short, 99)).toBeUndefined();
  });

  it("read text with and without its closing zero", () => {
    const map = codec.readAttributes(codec.encodeAttributes([codec.text(1, "ä"), codec.bytes(2, Buffer.from("xy"))]));
    expect([codec.readText(map, 1), codec.readText(map, 2), codec.readText(map, 3)]).toEqual(["ä", "xy", undefined]);
  });

  it("refuse to grow beyond their length field", () => {
    expect(() => codec.encodeAttributes([codec.bytes(1, Buffer.alloc(65_532))])).toThrow(/longer than 65535/);
    expect(() => codec.encodeAttributes([codec.bytes(1, Buffer.alloc(65_531))])).not.toThrow();
  });
});
