import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { NetError } from "../../state/errors.ts";
import { parseBody } from "./body.ts";

const bytes = (text: string) => Buffer.from(text);

/** The value without members named `__proto__`, at any depth. */
function withoutPrototypes(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutPrototypes);
  if (typeof value !== "object" || value === null) return value;
  const members = Object.entries(value).filter(([name]) => name !== "__proto__");
  return Object.fromEntries(members.map(([name, member]) => [name, withoutPrototypes(member)]));
}

describe("parseBody", () => {
  it.each<[string, string]>([
    ["", "The body is empty"],
    ["{", "The body is not JSON"],
    ["[1,]", "The body is not JSON"],
    ["\ufeff{", "The body is not JSON"],
    [`${"[".repeat(33)}${"]".repeat(33)}`, "nested deeper than 32"],
    [`${'{"a":'.repeat(40)}1${"}".repeat(40)}`, "nested deeper than 32"],
  ])("refuses %j", (text, message) => expect(() => parseBody(bytes(text))).toThrow(message));

  it.each<[string, unknown]>([
    [`${"[".repeat(32)}${"]".repeat(32)}`, JSON.parse(`${"[".repeat(32)}${"]".repeat(32)}`)],
    ['{"a":"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\"{{{"}', { a: `${"[".repeat(40)}"{{{` }],
    ['{"__proto__":{"x":1},"a":{"__proto__":2,"b":3}}', { a: { b: 3 } }],
    ['{"\\u005f\\u005fproto__":{"x":1}}', {}],
  ])("reads %j", (text, value) => expect(parseBody(bytes(text))).toEqual(value));

  it("reads all JSON as JSON.parse does but for __proto__, and refuses the rest with one kind of error", () => {
    const read = fc.property(fc.json({ maxDepth: 5 }), (text) => {
      expect(parseBody(bytes(text))).toEqual(withoutPrototypes(JSON.parse(text)));
    });
    fc.assert(read, { examples: [['[{"a":{"__proto__":[1],"b":2}}]'], ['{"__proto__":null}']] });
    fc.assert(
      fc.property(fc.uint8Array(), (data) => {
        try {
          parseBody(data);
        } catch (error) {
          expect(error).toBeInstanceOf(NetError);
          expect(error).toMatchObject({ code: "INVALID", reason: "malformed-body" });
        }
      }),
    );
  });
});
