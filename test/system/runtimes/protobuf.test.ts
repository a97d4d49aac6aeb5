import { describe, expect, it } from "vitest";
import { integer, mapFields, message, nested, parse, text } from "./protobuf.ts";

describe("protocol buffers", () => {
  it("encodes as the specification's examples", () => {
    expect(message([1, 150]).toString("hex")).toBe("089601");
    expect(message([2, "testing"]).toString("hex")).toBe("120774657374696e67");
    expect(message([3, message([1, 150])]).toString("hex")).toBe("1a03089601");
  });

  it("reads back what it wrote, absent fields as empty", () => {
    const fields = parse(message([1, "a"], [16, 300], [5, message([2, "inner"])], ...mapFields(7, { k: "v" })));
    expect([text(fields, 1), integer(fields, 16), text(nested(fields, 5), 2)]).toEqual(["a", 300, "inner"]);
    expect(text(nested(fields, 7), 2)).toBe("v");
    expect([text(fields, 99), integer(fields, 99), nested(fields, 99).size]).toEqual(["", 0, 0]);
  });

  it("refuses what it does not know", () => {
    expect(() => parse(Buffer.from("0d00000000", "hex"))).toThrow("wire type 5");
  });
});
