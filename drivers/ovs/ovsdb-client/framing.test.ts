import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createFramer } from "./framing.ts";

function bytes(text: string): Buffer {
  return Buffer.from(text, "utf8");
}

function frame(chunks: readonly Uint8Array[], maxMessageBytes = 1_000_000): unknown[] {
  const framer = createFramer(maxMessageBytes);
  return chunks.flatMap((chunk) => [...framer.push(chunk)]);
}

describe("createFramer", () => {
  it.each<[string, readonly string[], unknown[]]>([
    ["one object", ['{"a":1}'], [{ a: 1 }]],
    ["two in one chunk", ['{"a":1}{"b":2}'], [{ a: 1 }, { b: 2 }]],
    ["white space between", [' {"a":1}\r\n\t {"b":2} '], [{ a: 1 }, { b: 2 }]],
    ["one over three chunks", ['{"a', '":{"b"', ":[1]}}"], [{ a: { b: [1] } }]],
    ["braces in strings", ['{"a":"}{\\"}"}{"b":"\\\\"}'], [{ a: '}{"}' }, { b: "\\" }]],
    ["an escape cut in two", ['{"a":"\\', '""}'], [{ a: '"' }]],
    ["an incomplete one", ['{"a":1'], []],
    ["nothing", ["", " "], []],
  ])("cuts %s", (_title, chunks, objects) => {
    expect(frame(chunks.map(bytes))).toEqual(objects);
  });

  it("joins characters whose bytes come apart", () => {
    const whole = bytes('{"é":"🙂"}');
    expect(frame([...whole].map((byte) => Uint8Array.of(byte)))).toEqual([{ é: "🙂" }]);
  });

  it.each(["[1]", "1", '"x"', "x", "}", '{"a":1}x', "\0"])("refuses %j between objects", (text) => {
    expect(() => frame([bytes(text)])).toThrow(/between two messages/);
  });

  it.each(["{]}", '{"a":}', "{a:1}", "{'a':1}", '{"a":1,}'])("refuses %s, which is not JSON", (text) => {
    expect(() => frame([bytes(text)])).toThrow(/not JSON/);
  });

  it("refuses an object that is too long, complete or not", () => {
    expect(() => frame([bytes('{"a":"12345"}')], 12)).toThrow(/more than 12 bytes/);
    expect(() => frame([bytes('{"a":'), bytes('"1234567')], 12)).toThrow(/more than 12 bytes/);
    expect(frame([bytes('{"a":"1234"}{"a":"1234"}')], 12)).toHaveLength(2);
  });

  it("gives the same objects however the bytes are cut", () => {
    const objects = fc.array(fc.dictionary(fc.string({ unit: "binary" }), fc.jsonValue()), { maxLength: 8 });
    fc.assert(
      fc.property(objects, fc.infiniteStream(fc.integer({ min: 1, max: 40 })), (wanted, sizes) => {
        const whole = bytes(wanted.map((each) => JSON.stringify(each)).join(""));
        const chunks: Uint8Array[] = [];
        for (let at = 0; at < whole.length; ) {
          const end = at + (sizes.next().value as number);
          chunks.push(whole.subarray(at, end));
          at = end;
        }
        expect(frame(chunks)).toEqual(JSON.parse(JSON.stringify(wanted)));
      }),
    );
  });

  it("takes time in proportion to the bytes, however small the pieces", () => {
    const timeFor = (length: number) => {
      const piece = bytes("x".repeat(16));
      const framer = createFramer(64 * 1024 * 1024);
      const start = performance.now();
      framer.push(bytes('{"a":"'));
      for (let i = 0; i < length; i += piece.length) framer.push(piece);
      expect(framer.push(bytes('"}'))).toHaveLength(1);
      return performance.now() - start;
    };
    timeFor(1_000_000);
    // Quadratic would be 64 times as long for 8 times the bytes.
    expect(timeFor(8_000_000)).toBeLessThan(40 * Math.max(1, timeFor(1_000_000)));
  });
});
