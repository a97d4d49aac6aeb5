import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  jsonChunks,
  omitEmpty,
  type Rendered,
  repeatable,
  StreamedList,
  StreamedObject,
  StreamedText,
} from "./streamed.ts";

function text(value: Rendered): string {
  return [...jsonChunks(value)].join("");
}

/** Replaces lists and objects by their streamed forms. */
function streamed(value: fc.JsonValue | undefined): Rendered {
  if (Array.isArray(value)) return new StreamedList(value.map(streamed));
  if (typeof value !== "object" || value === null) return value;
  return new StreamedObject(
    Object.fromEntries(Object.entries(value).map(([name, member]) => [name, streamed(member)])),
  );
}

describe("streamed JSON", () => {
  it("is the same text as JSON.stringify makes", () => {
    fc.assert(
      fc.property(fc.jsonValue({ noUnicodeString: false }), (value) => text(streamed(value)) === JSON.stringify(value)),
    );
  });

  it.each<[Rendered, string]>([
    [new StreamedText([]), '""'],
    [new StreamedText(["1-9", "300"]), '"1-9, 300"'],
    [new StreamedObject({ a: undefined, b: new StreamedList([]) }), '{"b":[]}'],
    [undefined, "null"],
  ])("%o → %s", (value, expected) => expect(text(value)).toBe(expected));
});

describe("omitEmpty", () => {
  it("leaves out what the contract leaves out", () => {
    const empty = {
      a: 0,
      b: "",
      c: [],
      d: {},
      e: undefined,
      f: null,
      g: new StreamedList([]),
      h: new StreamedText([]),
    };
    expect(omitEmpty(empty)).toEqual({});
    const kept = { a: 1, b: "x", c: [0], d: { x: 0 }, g: new StreamedList([1]) };
    expect(omitEmpty(kept)).toEqual(kept);
  });

  it("looks into a stream without using it up", () => {
    const list = new StreamedList(repeatable(() => [1, 2].values()));
    expect(text(new StreamedObject(omitEmpty({ list })))).toBe('{"list":[1,2]}');
  });
});
