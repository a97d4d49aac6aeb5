import { describe, expect, it } from "vitest";
import vswitchSchema from "../../../test/fakes/vswitch.schema.json" with { type: "json" };
import { decodeUpdates, decodeUpdates2, type MonitoredTables, type TableChanges } from "./changes.ts";
import { applyUpdate, emptyMirror } from "./mirror.ts";
import { parseSchema, pickColumns, tableOf } from "./schema.ts";
import { parseUuid } from "./values.ts";

const schema = parseSchema(vswitchSchema);
const A = parseUuid("550e8400-e29b-41d4-a716-44665544000a");
const B = parseUuid("550e8400-e29b-41d4-a716-44665544000b");
const columns: MonitoredTables = new Map([["Port", pickColumns(tableOf(schema, "Port"), ["name", "tag", "trunks"])]]);

function mirrorOf(changes: TableChanges) {
  const mirror = emptyMirror(["Port"]);
  applyUpdate(mirror, columns, update("snapshot", changes));
  return mirror;
}

function update(kind: "snapshot" | "delta", changes: TableChanges) {
  return { kind, changes, method: "monitor_cond", transactionId: undefined } as const;
}

const two = {
  Port: { [A]: { initial: { name: "a", trunks: ["set", [1, 2]] } }, [B]: { initial: { name: "b", tag: 7 } } },
};

describe("applyUpdate", () => {
  it("fills in what the server leaves out, and freezes", () => {
    const rows = mirrorOf(decodeUpdates2(columns, two)).get("Port");
    expect(rows?.get(A)).toEqual({ name: "a", tag: undefined, trunks: [1, 2] });
    expect(rows?.get(B)).toEqual({ name: "b", tag: 7, trunks: [] });
    expect(Object.isFrozen(rows?.get(A))).toBe(true);
  });

  it("applies differences and tells which rows changed", () => {
    const mirror = mirrorOf(decodeUpdates2(columns, two));
    const changes = decodeUpdates2(columns, {
      Port: { [A]: { modify: { trunks: ["set", [2, 3]], tag: 9 } }, [B]: { delete: null } },
    });
    expect(applyUpdate(mirror, columns, update("delta", changes))).toEqual(new Map([["Port", new Set([A, B])]]));
    expect(mirror.get("Port")).toEqual(new Map([[A, { name: "a", tag: 9, trunks: [1, 3] }]]));
  });

  it("reads the updates of RFC 7047", () => {
    const mirror = mirrorOf(
      decodeUpdates(columns, { Port: { [A]: { new: { name: "a", tag: ["set", []], trunks: 1 } } } }),
    );
    const changes = decodeUpdates(columns, {
      Port: { [A]: { old: { tag: ["set", []] }, new: { name: "a", tag: 4, trunks: 1 } }, [B]: { old: { name: "b" } } },
    });
    expect(applyUpdate(mirror, columns, update("delta", changes))).toEqual(new Map([["Port", new Set([A])]]));
    expect(mirror.get("Port")?.get(A)).toEqual({ name: "a", tag: 4, trunks: [1] });
  });

  it("keeps equal rows as the same objects over a snapshot", () => {
    const mirror = mirrorOf(decodeUpdates2(columns, two));
    const before = mirror.get("Port")?.get(A);
    const again = decodeUpdates2(columns, { Port: { [A]: { initial: { name: "a", trunks: ["set", [2, 1]] } } } });
    expect(applyUpdate(mirror, columns, update("snapshot", again))).toEqual(new Map([["Port", new Set([B])]]));
    expect(mirror.get("Port")?.get(A)).toBe(before);
    expect(mirror.get("Port")?.size).toBe(1);
  });

  it("changes nothing when a part cannot be applied", () => {
    const mirror = mirrorOf(decodeUpdates2(columns, { Port: { [A]: { initial: { name: "a" } } } }));
    const changes = decodeUpdates2(columns, { Port: { [A]: { modify: { tag: 1 } }, [B]: { modify: { tag: 1 } } } });
    expect(() => applyUpdate(mirror, columns, update("delta", changes))).toThrow(/never sent/);
    expect(mirror.get("Port")?.get(A)?.tag).toBeUndefined();
  });
});

describe("decodeUpdates2", () => {
  it.each<[string, unknown, RegExp]>([
    ["no object", [], /an update wrongly/],
    ["a table unasked", { Bridge: {} }, /table "Bridge" unasked/],
    ["a row without uuid", { Port: { x: { delete: null } } }, /under "x"/],
    ["a column unasked", { Port: { [A]: { modify: { mac: "x" } } } }, /Port\.mac unasked/],
    ["an unknown kind", { Port: { [A]: { replace: {} } } }, /Port wrongly/],
    ["a wrong value", { Port: { [A]: { insert: { tag: "x" } } } }, /Port\.tag/],
    ["a wrong difference", { Port: { [A]: { modify: { trunks: ["map", []] } } } }, /Port\.trunks/],
  ])("refuses %s", (_title, wire, message) => {
    expect(() => decodeUpdates2(columns, wire)).toThrow(message);
  });
});
