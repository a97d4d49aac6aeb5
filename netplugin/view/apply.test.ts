import { describe, expect, it } from "vitest";
import { worldMessages, worldView } from "../../test/fakes/world.ts";
import { applyBatch, applyMessage, beginStream, rebaseView } from "./apply.ts";
import { parseMessage, type ViewMessage } from "./messages.ts";
import { emptyView, type NodeView } from "./node-view.ts";
import {
  countOf,
  endpointAt,
  endpointsOfGroup,
  endpointsOfNetwork,
  endpointsOfNode,
  networkOf,
  networksOfTenant,
  nodesOfNetwork,
  recordOf,
} from "./query.ts";

const WORLD = `
  network t1:blue vxlan 100 10.1.1.0/24
  network t2:blue vxlan 101 10.1.1.0/24
  node n1 192.0.2.1
  endpoint a t1:blue n1 10.1.1.1 2001:db8::1 group 7
  endpoint b t1:blue n2 10.1.1.2
  endpoint b2 t1:blue n2 10.1.1.3 group 7
  endpoint c t2:blue n1 10.1.1.1
`;

const keysOf = (records: Iterable<{ readonly key: string }>) => [...records].map(({ key }) => key);
const endpoints = (view: NodeView) => [...(view.tables.get("endpoint")?.keys() ?? [])];
const synced = (revision: bigint): ViewMessage => ({ type: "synced", revision });
const bookmark = (revision: bigint): ViewMessage => ({ type: "bookmark", revision });
const gone = (key: string, modRevision: bigint): ViewMessage => ({
  type: "delete",
  kind: "endpoint",
  key,
  modRevision,
});

/** `endpoint x t1:blue …` as it comes at a revision. */
function put(line: string, modRevision: bigint): ViewMessage {
  const message = worldMessages(`network t1:blue vxlan 100 10.1.1.0/24\n${line}`).at(-1);
  if (message?.type !== "put") throw new Error(`no put: ${line}`);
  return { ...message, modRevision };
}

describe("messages", () => {
  it("sets aside what it cannot read, and goes on", () => {
    const messages = [
      { type: "put", kind: "endpoint", key: "x", modRevision: "5", object: { key: "x", ipv4: "300.1.1.1" } },
      { type: "put", kind: "hologram", key: "h", modRevision: "6", object: {} },
      {
        type: "put",
        kind: "tenant",
        key: "t1",
        modRevision: "7",
        object: { key: "t9", tenantId: 1, config: { tenantName: "t9" } },
      },
      { type: "synced", revision: "9" },
    ].map(parseMessage);
    const { view } = applyBatch(emptyView(), messages);
    expect(view.complete).toBe(true);
    expect([...view.quarantined.keys()]).toEqual(["endpoint/x", "hologram/h", "tenant/t1"]);
    expect(view.quarantined.get("endpoint/x")).toMatch(/cannot read it.*ipv4/s);
    expect(view.quarantined.get("hologram/h")).toBe('Kind "hologram" is not known to this release');
  });

  it("keeps the last good version, and forgets the reason with the next good one or with the object", () => {
    let { view } = applyMessage(
      worldView(WORLD),
      parseMessage({ type: "put", kind: "endpoint", key: "a", modRevision: "1001", object: 7 }),
    );
    expect(recordOf(view, "endpoint", "a")?.ipv4).toBe("10.1.1.1");
    expect(view.quarantined.size).toBe(1);
    expect(applyMessage(view, gone("a", 1002n)).view.quarantined.size).toBe(0);
    ({ view } = applyMessage(view, put("endpoint a t1:blue n1 10.1.1.9", 1002n)));
    expect([view.quarantined.size, recordOf(view, "endpoint", "a")?.ipv4]).toEqual([0, "10.1.1.9"]);
  });

  it.each([
    [null],
    [{}],
    [{ type: "put" }],
    [{ type: "bookmark", revision: -1 }],
    [{ type: "bookmark", revision: "1e3" }],
    [{ type: "synced", revision: "9".repeat(30) }],
  ])("refuses %j as no message at all", (json) => {
    expect(() => parseMessage(json)).toThrowError(expect.objectContaining({ code: "PROTOCOL" }));
  });
});

describe("indexes", () => {
  const view = worldView(WORLD);

  it("find endpoints by network, node, group, tenant and address", () => {
    expect(keysOf(endpointsOfNetwork(view, 11))).toEqual(["a", "b", "b2"]);
    expect(keysOf(endpointsOfNode(view, "n1"))).toEqual(["a", "c"]);
    expect(keysOf(endpointsOfGroup(view, 7))).toEqual(["a", "b2"]);
    expect([...nodesOfNetwork(view, 11)]).toEqual(["n1", "n2"]);
    expect(endpointAt(view, 12, "10.1.1.1")?.key).toBe("c");
    expect(endpointAt(view, 11, "2001:db8::1")?.key).toBe("a");
    expect(networkOf(view, 12)?.key).toBe("t2:blue");
    expect(keysOf(networksOfTenant(view, 1))).toEqual(["t1:blue"]);
  });

  it("follow an endpoint that moves, and leave the older view as it was", () => {
    const next = applyMessage(view, put("endpoint b t1:blue n3 10.1.1.2 group 8", 1001n)).view;
    expect([...nodesOfNetwork(next, 11)]).toEqual(["n1", "n2", "n3"]);
    expect(keysOf(endpointsOfGroup(next, 8))).toEqual(["b"]);
    const last = applyMessage(next, gone("b", 1002n)).view;
    expect(keysOf(endpointsOfGroup(last, 8))).toEqual([]);
    expect(endpointAt(last, 11, "10.1.1.2")).toBeUndefined();
    expect([...nodesOfNetwork(view, 11)]).toEqual(["n1", "n2"]);
    expect(endpointAt(view, 11, "10.1.1.2")?.nodeName).toBe("n2");
  });
});

describe("order", () => {
  it("ignores older versions and older deletes, and names what changed", () => {
    const start = worldView(WORLD);
    const newer = applyMessage(start, put("endpoint a t1:blue n1 10.1.1.7", 1005n));
    expect([...newer.changes.keys()]).toEqual(["endpoint/a"]);
    const older = applyMessage(newer.view, put("endpoint a t1:blue n1 10.1.1.8", 4n));
    expect(older.changes.size).toBe(0);
    expect(recordOf(older.view, "endpoint", "a")?.ipv4).toBe("10.1.1.7");
    expect(applyMessage(beginStream(newer.view), gone("a", 1004n)).changes.size).toBe(0);
    expect([...applyMessage(newer.view, gone("a", 1006n)).changes.keys()]).toEqual(["endpoint/a"]);
  });

  it("takes a delete for what has left the scope, though the object itself is old", () => {
    const { view } = applyBatch(worldView(WORLD), [bookmark(1001n), gone("b", 5n)]);
    expect(endpoints(view)).toEqual(["a", "b2", "c"]);
  });

  it("gives a released address to its new holder even before it hears of the release", () => {
    const { view, changes } = applyMessage(worldView(WORLD), put("endpoint z t1:blue n9 10.1.1.2", 1001n));
    expect(endpoints(view)).toEqual(["a", "b2", "c", "z"]);
    expect([...changes.keys()].sort()).toEqual(["endpoint/b", "endpoint/z"]);
    expect(endpointAt(view, 11, "10.1.1.2")?.key).toBe("z");
    expect(endpoints(applyMessage(beginStream(view), put("endpoint b t1:blue n2 10.1.1.2", 5n)).view)).toEqual([
      "a",
      "b2",
      "c",
      "z",
    ]);
  });
});

describe("streams", () => {
  it("removes with `synced` what the new stream did not send, and nothing before", () => {
    const again = beginStream(worldView(WORLD));
    const listing = applyBatch(again, [put("endpoint a t1:blue n1 10.1.1.1", 4n)]);
    expect(countOf(listing.view, "endpoint")).toBe(4);
    const done = applyMessage(listing.view, synced(1200n));
    expect(endpoints(done.view)).toEqual(["a"]);
    expect([countOf(done.view, "network"), done.view.revision]).toEqual([0, 1200n]);
    expect(done.changes.has("network/t1:blue")).toBe(true);
  });

  it("does not go back when the next netmaster lags: it is compared once it has caught up", () => {
    const start = applyBatch(worldView(WORLD), [put("endpoint new t1:blue n1 10.1.1.9", 1100n), bookmark(1100n)]).view;
    let { view } = applyBatch(beginStream(start), [put("endpoint a t1:blue n1 10.1.1.1", 4n), synced(1050n)]);
    expect(endpoints(view)).toEqual(["a", "b", "b2", "c", "new"]);
    expect(view.revision).toBe(1100n);
    ({ view } = applyBatch(view, [put("endpoint new t1:blue n1 10.1.1.9", 1100n), bookmark(1099n)]));
    expect(countOf(view, "endpoint")).toBe(5);
    ({ view } = applyMessage(view, bookmark(1100n)));
    expect(endpoints(view)).toEqual(["a", "new"]);
  });

  it("starts over with another store, without a gap", () => {
    const rebased = rebaseView(worldView(WORLD), "2-b");
    expect(endpoints(rebased)).toEqual(["a", "b", "b2", "c"]);
    const { view } = applyBatch(rebased, [put("endpoint a t1:blue n1 10.1.1.77", 2n), synced(3n)]);
    expect(endpoints(view)).toEqual(["a"]);
    expect(recordOf(view, "endpoint", "a")?.ipv4).toBe("10.1.1.77");
    expect(view.revision).toBe(3n);
  });
});
