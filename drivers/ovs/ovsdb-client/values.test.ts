import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { NetError } from "../../../state/errors.ts";
import { difference, parseDatum, toWire } from "../../../test/fakes/ovsdb-datum.ts";
import type { ColumnType } from "./schema.ts";
import * as values from "./values.ts";
import { named, type Value, type ValueInput } from "./values.ts";

const U1 = values.parseUuid("550e8400-e29b-41d4-a716-446655440000");
const U2 = values.parseUuid("550E8400-E29B-41D4-A716-446655440001");

const integer: ColumnType = { key: { type: "integer" }, min: 1, max: 1 };
const text: ColumnType = { key: { type: "string" }, min: 1, max: 1 };
const flag: ColumnType = { key: { type: "boolean" }, min: 1, max: 1 };
const reference: ColumnType = { key: { type: "uuid" }, min: 1, max: 1 };
const optional: ColumnType = { key: { type: "integer" }, min: 0, max: 1 };
const set: ColumnType = { key: { type: "string" }, min: 0, max: Number.POSITIVE_INFINITY };
const references: ColumnType = { key: { type: "uuid" }, min: 0, max: Number.POSITIVE_INFINITY };
const map: ColumnType = { key: { type: "string" }, value: { type: "string" }, min: 0, max: Number.POSITIVE_INFINITY };
const queues: ColumnType = { key: { type: "integer" }, value: { type: "uuid" }, min: 0, max: Number.POSITIVE_INFINITY };

describe("encodeValue", () => {
  it.each<[string, ColumnType, ValueInput, unknown]>([
    ["integer", integer, 42, 42],
    ["string", text, 'a "b" \\ é 🙂', 'a "b" \\ é 🙂'],
    ["boolean", flag, false, false],
    ["uuid", reference, U1, ["uuid", U1]],
    ["row of the same transaction", reference, named("row_1"), ["named-uuid", "row_1"]],
    ["optional present", optional, 7, 7],
    ["optional absent", optional, undefined, ["set", []]],
    ["set", set, ["a", "b"], ["set", ["a", "b"]]],
    ["set of one", set, "a", "a"],
    ["empty set", set, [], ["set", []]],
    [
      "mixed references",
      references,
      [U1, named("x")],
      [
        "set",
        [
          ["uuid", U1],
          ["named-uuid", "x"],
        ],
      ],
    ],
    ["map", map, new Map([["k", "v"]]), ["map", [["k", "v"]]]],
    ["object as map", map, { k: "v" }, ["map", [["k", "v"]]]],
    ["object as map with a treacherous key", map, { named: "v" }, ["map", [["named", "v"]]]],
    ["map with numbers", queues, new Map([[0, named("q")]]), ["map", [[0, ["named-uuid", "q"]]]]],
  ])("writes %s", (_title, type, value, wire) => {
    expect(values.encodeValue(type, value, "T.c")).toEqual(wire);
  });

  it.each<[string, ColumnType, ValueInput, RegExp]>([
    ["a string as integer", integer, "42", /^T\.c wants integer, not "42"$/],
    ["a fraction as integer", integer, 1.5, /wants integer/],
    ["an integer beyond 2^53", integer, 2 ** 53, /wants integer/],
    ["not a number", { ...integer, key: { type: "real" } }, Number.NaN, /wants real/],
    ["nothing for a mandatory column", text, undefined, /wants string, not undefined/],
    ["a number as string", text, 1, /wants string/],
    ["NUL", text, "a\0b", /NUL/],
    ["half a surrogate pair", text, "a\ud800b", /surrogate/],
    ["text as uuid", reference, "br0", /wants a uuid, not "br0"/],
    ["a name that is none", reference, named("a-b"), /not an identifier/],
    ["a wrong member", set, ["a", 1], /wants string, not 1/],
    ["an array as map", map, ["a"], /wants a Map or an object/],
    ["nothing as map", map, undefined, /wants a Map or an object/],
    ["a wrong value in a map", map, { k: 1 } as never, /T\.c\[k\] wants string/],
    ["an object with number keys", queues, { 0: U1 }, /wants integer, not "0"/],
  ])("refuses %s", (_title, type, value, message) => {
    expect(() => values.encodeValue(type, value, "T.c")).toThrow(message);
    expect(codeOf(() => values.encodeValue(type, value, "T.c"))).toBe("INVALID");
  });
});

describe("decodeValue", () => {
  it.each<[string, ColumnType, unknown, Value]>([
    ["scalar", integer, -5, -5],
    ["scalar as set of one", integer, ["set", [3]], 3],
    ["optional absent", optional, ["set", []], undefined],
    ["optional present", optional, 4, 4],
    ["set of one without its tag", set, "a", ["a"]],
    ["set", set, ["set", ["a", "b"]], ["a", "b"]],
    ["uuid", reference, ["uuid", U1], U1],
    [
      "references",
      references,
      [
        "set",
        [
          ["uuid", U1],
          ["uuid", U2],
        ],
      ],
      [U1, U2],
    ],
    [
      "map",
      map,
      [
        "map",
        [
          ["k", "v"],
          ["__proto__", "x"],
        ],
      ],
      new Map([
        ["k", "v"],
        ["__proto__", "x"],
      ]),
    ],
    ["map to references", queues, ["map", [[0, ["uuid", U1]]]], new Map([[0, U1]])],
    ["integer beyond 2^53, rounded", integer, 2 ** 60, 2 ** 60],
  ])("reads %s", (_title, type, wire, value) => {
    expect(values.decodeValue(type, wire, "T.c")).toEqual(value);
  });

  it.each<[string, ColumnType, unknown]>([
    ["string for integer", integer, "1"],
    ["fraction for integer", integer, 1.5],
    ["null", text, null],
    ["object", text, {}],
    ["two for one", integer, ["set", [1, 2]]],
    ["none for one", integer, ["set", []]],
    ["two for at most one", optional, ["set", [1, 2]]],
    ["none where one must be", { ...set, min: 1 }, ["set", []]],
    ["more than the most", { ...set, max: 2 }, ["set", ["a", "b", "c"]]],
    ["a set where a map must be", map, ["set", []]],
    ["a pair of three", map, ["map", [["a", "b", "c"]]]],
    ["a map of no pairs", map, ["map", ["a"]]],
    ["a uuid without tag", reference, U1],
    ["a uuid in capitals", reference, ["uuid", U1.toUpperCase()]],
    ["a name for a uuid", reference, ["named-uuid", "x"]],
    ["a set without elements", set, ["set"]],
  ])("refuses %s", (_title, type, wire) => {
    expect(codeOf(() => values.decodeValue(type, wire, "T.c"))).toBe("PROTOCOL");
  });

  it("freezes sets", () => {
    expect(Object.isFrozen(values.decodeValue(set, ["set", ["a"]], "T.c"))).toBe(true);
  });
});

const plainText = fc.string({ unit: "grapheme" }).filter((each) => !each.includes("\0"));
const atoms: Record<string, fc.Arbitrary<values.Atom>> = {
  integer: fc.maxSafeInteger().map((n) => n + 0), // the wire knows no −0
  real: fc.double({ noNaN: true, noDefaultInfinity: true }).map((n) => (n === 0 ? 0 : n)),
  boolean: fc.boolean(),
  string: plainText,
  uuid: fc.uuid().map(values.parseUuid),
};

const keyTypes = fc.constantFrom("integer", "real", "boolean", "string", "uuid");

/** A column type with a value that fits it. */
const typedValue = fc
  .tuple(keyTypes, fc.constantFrom("scalar", "optional", "set", "map"), keyTypes)
  .chain(([key, shape, value]): fc.Arbitrary<{ type: ColumnType; value: Value }> => {
    const atom = atoms[key] as fc.Arbitrary<values.Atom>;
    const of = { type: key };
    switch (shape) {
      case "scalar":
        return atom.map((each) => ({ type: { key: of, min: 1, max: 1 }, value: each }));
      case "optional":
        return fc.option(atom, { nil: undefined }).map((each) => ({ type: { key: of, min: 0, max: 1 }, value: each }));
      case "set":
        return fc
          .uniqueArray(atom)
          .map((each) => ({ type: { key: of, min: 0, max: Number.POSITIVE_INFINITY }, value: each }));
      default:
        return fc.array(fc.tuple(atom, atoms[value] as fc.Arbitrary<values.Atom>)).map((pairs) => ({
          type: { key: of, value: { type: value }, min: 0, max: Number.POSITIVE_INFINITY },
          value: new Map(pairs),
        }));
    }
  });

describe("properties", () => {
  it("what is written reads back the same, through JSON", () => {
    fc.assert(
      fc.property(typedValue, ({ type, value }) => {
        const wire = JSON.parse(JSON.stringify(values.encodeValue(type, value as ValueInput, "T.c")));
        expect(values.equalValues(values.decodeValue(type, wire, "T.c"), value)).toBe(true);
      }),
    );
  });

  it("decoding any JSON gives a value or a PROTOCOL error, nothing else", () => {
    fc.assert(
      fc.property(typedValue, fc.jsonValue(), ({ type }, wire) => {
        expect([undefined, "PROTOCOL"]).toContain(codeOf(() => values.decodeValue(type, wire, "T.c")));
      }),
    );
  });

  it("a difference as the server computes it leads from the old value to the new", () => {
    const small = fc.uniqueArray(fc.constantFrom("a", "b", "c", "d", "e"));
    const smallMap = fc.dictionary(fc.constantFrom("a", "b", "c", "d"), fc.constantFrom("1", "2"));
    fc.assert(fc.property(small, small, (before, after) => leads(set, before, after)));
    fc.assert(
      fc.property(smallMap, smallMap, (a, b) => leads(map, new Map(Object.entries(a)), new Map(Object.entries(b)))),
    );
    fc.assert(
      fc.property(fc.option(fc.nat(), { nil: undefined }), fc.option(fc.nat(), { nil: undefined }), (a, b) =>
        leads(optional, a, b),
      ),
    );
  });
});

/** Checked against the independent codec of the fake server. */
function leads(type: ColumnType, before: Value, after: Value): void {
  const resolve = (name: string) => name;
  const datum = (value: Value) =>
    parseDatum(type as never, values.encodeValue(type, value as ValueInput, "T.c"), { resolve });
  const wire = toWire(type as never, difference(type as never, datum(before), datum(after)));
  const result = values.applyDifference(type, before, values.decodeDifference(type, wire, "T.c"));
  expect(values.equalValues(result, after)).toBe(true);
}

describe("equalValues", () => {
  it.each<[Value, Value, boolean]>([
    [1, 1, true],
    [1, "1", false],
    [undefined, undefined, true],
    [undefined, [], false],
    [["a", "b"], ["b", "a"], true],
    [["a", "b"], ["a", "c"], false],
    [["a"], ["a", "b"], false],
    [new Map([["a", "1"]]), new Map([["a", "1"]]), true],
    [new Map([["a", "1"]]), new Map([["a", "2"]]), false],
    [new Map([["a", "1"]]), new Map([["b", "1"]]), false],
  ])("%j and %j: %s", (a, b, expected) => {
    expect(values.equalValues(a, b)).toBe(expected);
  });
});

function codeOf(run: () => unknown): string | undefined {
  try {
    run();
    return undefined;
  } catch (thrown) {
    return thrown instanceof NetError ? thrown.code : `no NetError: ${String(thrown)}`;
  }
}
