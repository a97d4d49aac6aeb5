import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { NetError } from "../../state/errors.ts";
import * as codec from "./message.ts";

const message = (body: string, type = 16, flags = 0): codec.Message => ({
  deed: "test",
  type,
  flags,
  body: Buffer.from(body, "hex"),
});

const first = (hex: string): codec.Received => {
  const [one] = codec.decodeDatagram(Buffer.from(hex, "hex"));
  if (one === undefined) throw new Error("no message");
  return one;
};

describe("a batch", () => {
  it("numbers, flags and pads its messages", () => {
    const batch = codec.encodeBatch([message("0a0b0c", 16, codec.NLM_F_CREATE), message("01020304", 20)], 0xffffffff);
    expect(batch.toString("hex")).toBe(
      ["13000000", "1000", "0504", "ffffffff", "00000000", "0a0b0c00"].join("") +
        ["14000000", "1400", "0500", "00000000", "00000000", "01020304"].join(""),
    );
  });

  it("comes back as it was", () => {
    const messages = fc.record({ type: fc.nat(0xffff), flags: fc.nat(0xffff), body: fc.uint8Array({ maxLength: 50 }) });
    fc.assert(
      fc.property(fc.array(messages, { maxLength: 8 }), fc.nat(0xffffff00), (list, sequence) => {
        const batch = codec.encodeBatch(
          list.map((one) => ({ ...one, deed: "test" })),
          sequence,
        );
        const decoded = codec
          .decodeDatagram(batch)
          .map(({ type, body, ...rest }) => ({ ...rest, type, body: new Uint8Array(body) }));
        expect(decoded).toEqual(
          list.map((one, index) => ({ ...one, flags: one.flags | 5, sequence: sequence + index })),
        );
      }),
    );
  });

  it("is bounded", () => {
    const many = Array.from({ length: codec.BATCH_MAX_MESSAGES + 1 }, () => message(""));
    expect(() => codec.encodeBatch(many, 1)).toThrow(expect.objectContaining({ code: "INVALID" }));
    const large = { ...message(""), body: Buffer.alloc(codec.BATCH_MAX_BYTES) };
    expect(() => codec.encodeBatch([large], 1)).toThrow(expect.objectContaining({ code: "INVALID" }));
  });
});

describe("a datagram", () => {
  it.each([
    ["a header cut off", "1000000003000000"],
    ["a length below the header", "0f000000030000000100000000000000"],
    ["a length beyond the end", "14000000030000000100000000000000"],
    ["rest after a message", "10000000030000000100000000000000" + "ff"],
  ])("with %s is refused", (_name, hex) => {
    expect(() => codec.decodeDatagram(Buffer.from(hex, "hex"))).toThrow(expect.objectContaining({ code: "PROTOCOL" }));
  });

  it("of nothing holds nothing", () => {
    expect(codec.decodeDatagram(Buffer.alloc(0))).toEqual([]);
  });

  it("of random bytes gives messages or PROTOCOL", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          for (const one of codec.decodeDatagram(Buffer.from(bytes))) {
            codec.readAcknowledgement(one);
            codec.readDone(one);
          }
        } catch (error) {
          expect(error).toBeInstanceOf(NetError);
          expect(error).toMatchObject({ code: "PROTOCOL" });
        }
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("an acknowledgement", () => {
  it("of success has errno 0", () => {
    // recorded: RTM_SETLINK accepted by kernel 6.18, capped
    const ack = first("2400000002000001050000000100000000000000" + "20000000130005000500000000000000");
    expect(codec.readAcknowledgement(ack)).toEqual({ errno: 0, text: undefined });
  });

  it("of failure carries the kernel's text", () => {
    const echoed = "34000000100005060100000000000000";
    const text = "110001006e6f2073756368206c696e6b00000000"; // NLMSGERR_ATTR_MSG "no such link"
    const hex = `38000000020000030100000000000000edffffff${echoed}${text}`;
    expect(codec.readAcknowledgement(first(hex))).toEqual({ errno: 19, text: "no such link" });
  });

  it("adds what attribute is missing and where the fault lies", () => {
    const echoed = "34000000100005060100000000000000";
    const hints = "0800050007000000" + "0800020028000000";
    const hex = `34000000020000030100000000000000eaffffff${echoed}${hints}`;
    expect(codec.readAcknowledgement(first(hex))).toEqual({
      errno: 22,
      text: "attribute 7 is missing, at byte 40 of the request",
    });
  });

  it("that is not capped repeats the request before the text", () => {
    const echoed = "1800000010000506010000000000000011111111" + "22222222";
    const text = "0700010061620000";
    const hex = `34000000020000020100000000000000edffffff${echoed}${text}`;
    expect(codec.readAcknowledgement(first(hex))).toEqual({ errno: 19, text: "ab" });
  });

  it.each([
    ["too short", "1400000002000000010000000000000000000000"],
    ["positive", "2400000002000001050000000100000001000000" + "20000000130005000500000000000000"],
  ])("that is %s is refused", (_name, hex) => {
    expect(() => codec.readAcknowledgement(first(hex))).toThrow(expect.objectContaining({ code: "PROTOCOL" }));
  });
});

describe("the end of a dump", () => {
  it("may carry a failure", () => {
    expect(codec.readDone(first("1400000003000200010000000000000000000000"))).toEqual({ errno: 0, text: undefined });
    expect(codec.readDone(first("14000000030002000100000000000000eaffffff"))).toEqual({ errno: 22, text: undefined });
  });
});
