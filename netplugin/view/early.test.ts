import { describe, expect, it } from "vitest";
import type { EndpointReply } from "../../state/node-api.ts";
import { worldMessages, worldView } from "../../test/fakes/world.ts";
import { applyBatch, applyMessage, beginStream, rebaseView } from "./apply.ts";
import { applyEndpointReply, releaseEarly } from "./early.ts";
import type { PutMessage, ViewMessage } from "./messages.ts";
import type { NodeView } from "./node-view.ts";
import { networkOf, recordOf } from "./query.ts";

const NETWORK = "network t1:blue vxlan 100 10.1.1.0/24";
const LEASE = "endpoint p t1:blue n1 10.1.1.1";

const bookmark = (revision: bigint): ViewMessage => ({ type: "bookmark", revision });
const synced = (revision: bigint): ViewMessage => ({ type: "synced", revision });
const gone = (kind: string, key: string, modRevision: bigint): ViewMessage => ({
  type: "delete",
  kind,
  key,
  modRevision,
});
const has = (view: NodeView) => recordOf(view, "endpoint", "p") !== undefined;

function put(line: string, modRevision: bigint): PutMessage {
  const message = worldMessages(`${NETWORK}\n${line}`).at(-1);
  if (message?.type !== "put") throw new Error(`no put: ${line}`);
  return { ...message, modRevision };
}

function onWire({ type, kind, key, modRevision, record }: PutMessage) {
  return { type, kind, key, modRevision: String(modRevision), object: record };
}

/** The reply of revision R: the network, which is older, and the lease. */
function reply(revision: bigint, line = LEASE): EndpointReply {
  const lease = put(line, revision);
  return {
    endpoint: lease.record as EndpointReply["endpoint"],
    ipv4: { address: "10.1.1.1/24" },
    routes: [],
    mtuBytes: 1450,
    revision: String(revision),
    objects: [onWire(put(NETWORK, 5n)), onWire(lease)],
  };
}

/** A node that has heard everything up to 1000 and has nothing in its scope. */
const idle = worldView("");

describe("an endpoint reply", () => {
  it("is in the view before the stream tells it, and stays when it does", () => {
    const early = applyEndpointReply(idle, reply(1010n));
    expect([...early.changes.keys()]).toEqual(["network/t1:blue", "endpoint/p"]);
    expect(networkOf(early.view, 11)?.key).toBe("t1:blue");
    const later = applyBatch(early.view, [bookmark(1009n), put(NETWORK, 5n), put(LEASE, 1010n), bookmark(1010n)]);
    expect([has(later.view), later.changes.size]).toEqual([true, 0]);
  });

  it("brings nothing back that the stream has taken away since", () => {
    const stream = applyBatch(idle, [
      put(LEASE, 1010n),
      bookmark(1010n),
      gone("endpoint", "p", 1020n),
      bookmark(1020n),
    ]);
    const late = applyEndpointReply(stream.view, reply(1010n));
    expect([has(late.view), late.changes.size]).toEqual([false, 0]);
  });

  it("brings nothing back in the middle of a group either", () => {
    const { view } = applyBatch(idle, [put(LEASE, 1010n), gone("endpoint", "p", 1020n)]);
    expect(has(applyEndpointReply(view, reply(1010n)).view)).toBe(false);
  });

  it("is not undone by older news: a scope that ended before it, a list from before it", () => {
    const before = applyBatch(idle, [put(NETWORK, 5n), bookmark(1001n)]).view;
    const early = applyEndpointReply(before, reply(1010n)).view;
    const older = applyMessage(early, gone("network", "t1:blue", 1008n)).view;
    expect(networkOf(older, 11)).toBeDefined();
    const listed = applyBatch(beginStream(older), [synced(1009n)]).view;
    expect([has(listed), networkOf(listed, 11) !== undefined]).toEqual([true, true]);
    const caughtUp = applyBatch(listed, [
      gone("endpoint", "p", 1011n),
      gone("network", "t1:blue", 5n),
      bookmark(1011n),
    ]).view;
    expect([has(caughtUp), networkOf(caughtUp, 11)]).toEqual([false, undefined]);
  });

  it("outlives a word that may be older than it, until the stream has told everything up to it", () => {
    const early = applyEndpointReply(idle, reply(1010n)).view;
    const doubted = applyMessage(early, gone("network", "t1:blue", 5n)).view;
    expect(networkOf(doubted, 11)).toBeDefined();
    const before = applyMessage(doubted, bookmark(1009n)).view;
    expect(networkOf(before, 11)).toBeDefined();
    expect(networkOf(applyMessage(before, bookmark(1011n)).view, 11)).toBeUndefined();
    const again = applyBatch(before, [put(NETWORK, 5n), put(LEASE, 1010n), bookmark(1011n)]).view;
    expect([networkOf(again, 11) !== undefined, has(again)]).toEqual([true, true]);
  });

  it("ends with a list from after it that does not hold it", () => {
    const early = applyEndpointReply(beginStream(idle), reply(1010n)).view;
    expect(has(early)).toBe(true);
    expect(has(applyMessage(early, synced(1010n)).view)).toBe(false);
  });

  it("needs no lease among its objects, and sets aside what it cannot read", () => {
    const { view } = applyEndpointReply(idle, {
      ...reply(1010n),
      objects: [{ type: "put", kind: "network", key: "t1:blue", modRevision: "5", object: { key: "t1:blue" } }],
    });
    expect([has(view), [...view.quarantined.keys()]]).toEqual([true, ["network/t1:blue"]]);
  });
});

describe("an early release", () => {
  const attached = applyEndpointReply(idle, reply(1010n)).view;
  const released = releaseEarly(attached, "p", "e1").view;

  it("takes the endpoint out at once and remembers the lease", () => {
    expect(has(released)).toBe(false);
    expect([...released.released.keys()]).toEqual(["p"]);
    expect(releaseEarly(attached, "p", "other").changes.size).toBe(0);
    expect(releaseEarly(attached, "q", "e1").changes.size).toBe(0);
  });

  it("is not undone by the stream, nor by a new list, until netmaster knows", () => {
    const told = applyBatch(released, [put(LEASE, 1010n), bookmark(1010n)]).view;
    const listed = applyBatch(beginStream(told), [put(LEASE, 1010n), synced(1100n)]).view;
    expect([has(listed), listed.released.size]).toEqual([false, 1]);
    const ended = applyBatch(listed, [gone("endpoint", "p", 1101n), bookmark(1101n)]).view;
    expect([has(ended), ended.released.size]).toEqual([false, 0]);
    const relisted = applyBatch(beginStream(listed), [synced(1200n)]).view;
    expect([has(relisted), relisted.released.size]).toEqual([false, 0]);
  });

  it("gives way to a new lease of the same key", () => {
    const { view } = applyBatch(released, [put(`${LEASE} epoch e2`, 1030n), bookmark(1030n)]);
    expect([recordOf(view, "endpoint", "p")?.epoch, view.released.size]).toEqual(["e2", 0]);
    expect(applyEndpointReply(released, reply(1030n, `${LEASE} epoch e2`)).view.released.size).toBe(0);
  });

  it("is taken back when netmaster hands out the same lease again, even by a reply that is already old", () => {
    const ahead = applyBatch(released, [put(LEASE, 1010n), bookmark(1050n)]).view;
    const { view, changes } = applyEndpointReply(ahead, reply(1010n));
    expect([has(view), view.released.size, [...changes.keys()]]).toEqual([true, 0, ["endpoint/p"]]);
  });
});

describe("a reply of another epoch of the store", () => {
  const old = { ...worldView(NETWORK), epoch: "1-a" };

  it("is not taken into the list of the store that came after, whatever its revision is", () => {
    const rebased = rebaseView(old, "2-b");
    const late = applyEndpointReply(rebased, { ...reply(9_000n), storeEpoch: "1-a" }).view;
    const listed = applyBatch(late, [put(NETWORK, 10n), synced(50n)]).view;
    expect([has(late), has(listed), listed.epoch]).toEqual([false, false, "2-b"]);
    const next = applyEndpointReply(rebased, { ...reply(60n), storeEpoch: "2-b" }).view;
    expect(has(next)).toBe(true);
  });
});
