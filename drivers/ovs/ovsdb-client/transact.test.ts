import { describe, expect, it } from "vitest";
import { NetError } from "../../../state/errors.ts";
import vswitchSchema from "../../../test/fakes/vswitch.schema.json" with { type: "json" };
import type { Operation } from "./operations.ts";
import * as ops from "./operations.ts";
import { parseSchema } from "./schema.ts";
import { decodeResults, encodeOperations, insertedUuid, selectedRows } from "./transact.ts";
import { named, parseUuid, ZERO_UUID } from "./values.ts";

const schema = parseSchema(vswitchSchema);
const U = parseUuid("550e8400-e29b-41d4-a716-446655440000");

describe("encodeOperations", () => {
  it.each<[string, Operation, unknown]>([
    [
      "insert",
      ops.insert("Interface", { name: "v0", external_ids: { owner: "us" }, ofport_request: undefined }),
      {
        op: "insert",
        table: "Interface",
        row: { name: "v0", external_ids: ["map", [["owner", "us"]]], ofport_request: ["set", []] },
      },
    ],
    [
      "insert with a name",
      ops.insert("Port", { name: "v0", interfaces: [named("i")] }, { as: "p" }),
      {
        op: "insert",
        table: "Port",
        row: { name: "v0", interfaces: ["set", [["named-uuid", "i"]]] },
        "uuid-name": "p",
      },
    ],
    ["select all", ops.select("Bridge", []), { op: "select", table: "Bridge", where: [] }],
    [
      "select some",
      ops.select("Bridge", ops.byColumn("name", "br0"), ["_uuid", "ports"]),
      { op: "select", table: "Bridge", where: [["name", "==", "br0"]], columns: ["_uuid", "ports"] },
    ],
    [
      "update",
      ops.update("Port", ops.byUuid(U), { tag: 5 }),
      { op: "update", table: "Port", where: [["_uuid", "==", ["uuid", U]]], row: { tag: 5 } },
    ],
    [
      "mutate",
      ops.mutate(
        "Bridge",
        [],
        [
          ["ports", "insert", [named("p")]],
          ["external_ids", "delete", ["a"]],
          ["external_ids", "delete", { b: "c" }],
        ],
      ),
      {
        op: "mutate",
        table: "Bridge",
        where: [],
        mutations: [
          ["ports", "insert", ["set", [["named-uuid", "p"]]]],
          ["external_ids", "delete", ["set", ["a"]]],
          ["external_ids", "delete", ["map", [["b", "c"]]]],
        ],
      },
    ],
    [
      "count up",
      ops.mutate("Open_vSwitch", [], [["next_cfg", "+=", 1]]),
      { op: "mutate", table: "Open_vSwitch", where: [], mutations: [["next_cfg", "+=", 1]] },
    ],
    [
      "delete",
      ops.deleteRows("QoS", [["external_ids", "includes", { owner: "us" }]]),
      { op: "delete", table: "QoS", where: [["external_ids", "includes", ["map", [["owner", "us"]]]]] },
    ],
    [
      "guard",
      ops.wait("Bridge", [], { columns: ["name"], until: "==", rows: [{ name: "br0" }] }),
      { op: "wait", table: "Bridge", where: [], columns: ["name"], until: "==", rows: [{ name: "br0" }], timeout: 0 },
    ],
    ["comment", ops.comment("why"), { op: "comment", comment: "why" }],
    ["assert", ops.assertLock("agent"), { op: "assert", lock: "agent" }],
    ["commit", ops.commit({ durable: true }), { op: "commit", durable: true }],
    ["abort", ops.abort(), { op: "abort" }],
  ])("encodes %s", (_title, operation, wire) => {
    expect(encodeOperations(schema, [operation])).toEqual([wire]);
  });

  it.each<[string, Operation, string, RegExp]>([
    [
      "a table that is not",
      ops.insert("Nope", {}),
      "UNSUPPORTED",
      /operation 2 of 2 \(insert Nope\): Database Open_vSwitch 8\.\d\.\d has no table "Nope"/,
    ],
    ["a column that is not", ops.insert("Port", { nope: 1 }), "UNSUPPORTED", /Table Port has no column "nope"/],
    ["a column asked for that is not", ops.select("Port", [], ["nope"]), "UNSUPPORTED", /no column "nope"/],
    [
      "a wrong value",
      ops.update("Port", [], { tag: "5" }),
      "INVALID",
      /operation 2 of 2 \(update Port\): Port\.tag wants integer/,
    ],
    ["a wrong sum", ops.mutate("Open_vSwitch", [], [["next_cfg", "+=", "1"]]), "INVALID", /next_cfg wants integer/],
    ["a wrong condition", ops.deleteRows("Port", [["tag", "==", "x"]]), "INVALID", /Port\.tag wants integer/],
    ["a wrong name", ops.insert("Port", {}, { as: "a-b" }), "INVALID", /"a-b" is no name for the new row/],
    ["a wrong lock", ops.assertLock("a b"), "INVALID", /"a b" is no lock/],
    ["a wrong comment", ops.comment("\0"), "INVALID", /NUL/],
  ])("refuses %s", (_title, operation, code, message) => {
    const error = thrownBy(() => encodeOperations(schema, [ops.comment("first"), operation]));
    expect(error).toMatchObject({ code });
    expect(error.message).toMatch(message);
  });
});

describe("decodeResults", () => {
  const three = [ops.insert("Port", {}), ops.update("Port", [], {}), ops.select("Port", [], ["name", "tag"])];

  it("tags each result by its operation", () => {
    const results = decodeResults(schema, three, [
      { uuid: ["uuid", U] },
      { count: 3 },
      { rows: [{ name: "v0", tag: ["set", []], _uuid: ["uuid", ZERO_UUID] }] },
    ]);
    expect(results).toEqual([
      { op: "insert", uuid: U },
      { op: "update", count: 3 },
      { op: "select", rows: [{ name: "v0", tag: undefined, _uuid: ZERO_UUID }] },
    ]);
    expect(insertedUuid(results, 0)).toBe(U);
    expect(selectedRows(results, 2)).toHaveLength(1);
    expect(() => insertedUuid(results, 1)).toThrow(/Operation 2 is no insert but update/);
    expect(() => selectedRows(results, 3)).toThrow(/Operation 4 is no select but absent/);
  });

  it.each<[string, unknown, string, RegExp]>([
    [
      "a refused operation",
      [{ uuid: ["uuid", U] }, { error: "constraint violation", details: "70000 is not in the valid range" }, null],
      "REJECTED",
      /refused operation 2 of 3 \(update Port\): constraint violation: 70000 is not in the valid range$/,
    ],
    [
      "a refused commit",
      [{ uuid: ["uuid", U] }, { count: 0 }, { rows: [] }, { error: "referential integrity violation", details: "d" }],
      "REJECTED",
      /refused the commit of 3 operations: referential integrity violation: d/,
    ],
    ["no array", {}, "PROTOCOL", /no array/],
    ["too few results", [{}], "PROTOCOL", /3 operations with 1 results/],
    ["too many results", [{}, {}, {}, {}], "PROTOCOL", /3 operations with 4 results/],
    ["another's result", [{ count: 1 }, { count: 1 }, { rows: [] }], "PROTOCOL", /answered "insert" wrongly/],
    ["null for a result", [null, { count: 1 }, { rows: [] }], "PROTOCOL", /answered "insert" wrongly/],
    ["a wrong value", [{ uuid: ["uuid", U] }, { count: 1 }, { rows: [{ tag: "x" }] }], "PROTOCOL", /Port\.tag/],
    ["a negative count", [{ uuid: ["uuid", U] }, { count: -1 }, { rows: [] }], "PROTOCOL", /answered "update" wrongly/],
  ])("refuses %s", (_title, answer, code, message) => {
    const error = thrownBy(() => decodeResults(schema, three, answer));
    expect(error.message).toMatch(message);
    expect(error).toMatchObject({ code });
  });

  it("makes the server's error the reason", () => {
    const answer = [{ error: "timed out", details: '"where" clause test failed' }];
    const guard = [ops.wait("Port", [], { columns: [], until: "==", rows: [] })];
    expect(thrownBy(() => decodeResults(schema, guard, answer)).reason).toBe("timed-out");
  });
});

function thrownBy(run: () => unknown): NetError {
  try {
    run();
  } catch (thrown) {
    if (thrown instanceof NetError) return thrown;
    throw thrown;
  }
  throw new Error("nothing was thrown");
}
