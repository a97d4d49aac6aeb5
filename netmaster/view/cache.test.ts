import { randomUUID } from "node:crypto";
import { describe, expect, it } from "vitest";
import { NetError } from "../../state/errors.ts";
import { MARK_KEY, OBJECTS, objectKey } from "../../state/keys.ts";
import { openMemoryStore } from "../../state/store/memory.ts";
import type { Store, Watch, WatchConsumer } from "../../state/store/store.ts";
import { startViewCache } from "./cache.ts";
import { ChangeRing } from "./journal.ts";
import { newMark } from "./mark.ts";
import { storedObject, worldObjects } from "./testing.ts";
import type { ViewChange } from "./types.ts";

async function write(store: Store, text: string): Promise<bigint> {
  const puts = worldObjects(text).map(storedObject);
  return await commit(store, { puts, deletes: [] });
}

async function commit(
  store: Store,
  { puts, deletes }: { readonly puts: readonly { key: string; value: string }[]; readonly deletes: readonly string[] },
): Promise<bigint> {
  const result = await store.commit({ requestId: randomUUID(), guards: [], puts, deletes });
  if (!result.committed) throw new Error("not committed");
  return result.revision;
}

const LIMITS = { timeoutMs: 2_000 };

describe("view cache", () => {
  it("shows what is there, follows, and tells each step", async () => {
    await using store = openMemoryStore();
    await write(store, "tenant t");
    await using cache = startViewCache(store);
    await cache.synced;
    expect([...cache.view().records("tenant").entries()].map(([key]) => key)).toEqual(["t"]);
    const steps: ViewChange[] = [];
    cache.onChange((step) => steps.push(step));
    const revision = await write(store, "network t:a");
    const view = await cache.waitForRevision(revision, LIMITS);
    expect(view.records("network").has("t:a")).toBe(true);
    expect(steps.map(({ changes }) => changes.map(({ kind, key }) => `${kind}/${key}`))).toEqual([["network/t:a"]]);
    expect(cache.journal.since(revision - 1n)?.map(({ key }) => key)).toEqual(["t:a"]);
    expect(cache.journal.since(0n)).toBeUndefined();
  });

  it("sets an unreadable value aside, treats its object as absent, and takes it back once it is repaired", async () => {
    await using store = openMemoryStore();
    const reasons: string[] = [];
    await using cache = startViewCache(store, { onQuarantine: ({ reason }) => reasons.push(reason) });
    await cache.waitForRevision(await write(store, "tenant t"), LIMITS);
    const broken = [
      { key: objectKey("tenant", "t"), value: "{" },
      { key: objectKey("tenant", "x"), value: `{"key":"y","tenantId":1,"config":{"tenantName":"y"}}` },
      { key: objectKey("network", "t:a"), value: `{"key":"t:a"}` },
      { key: `${OBJECTS}futurekind/z`, value: "not ours" },
    ];
    await cache.waitForRevision(await commit(store, { puts: broken, deletes: [] }), LIMITS);
    expect(cache.view().records("tenant").size).toBe(0);
    expect(
      cache
        .quarantined()
        .map(({ storeKey }) => storeKey)
        .sort(),
    ).toEqual(
      broken
        .slice(0, 3)
        .map(({ key }) => key)
        .sort(),
    );
    expect(reasons).toHaveLength(3);
    await cache.waitForRevision(await write(store, "tenant t"), LIMITS);
    expect(cache.view().records("tenant").has("t")).toBe(true);
    expect(cache.quarantined()).toHaveLength(2);
  });

  it("ends a wait for a revision that does not come, and all waits when it closes", async () => {
    await using store = openMemoryStore();
    const cache = startViewCache(store);
    await cache.synced;
    await expect(cache.waitForRevision(99n, { timeoutMs: 20 })).rejects.toMatchObject({ code: "TIMEOUT" });
    const aborted = AbortSignal.abort(new NetError("CLOSED", "gone"));
    await expect(cache.waitForRevision(99n, { timeoutMs: 9_000, signal: aborted })).rejects.toMatchObject({
      code: "CLOSED",
    });
    const waiting = cache.waitForRevision(99n, { timeoutMs: 9_000 });
    await Promise.all([expect(waiting).rejects.toMatchObject({ code: "CLOSED" }), cache[Symbol.asyncDispose]()]);
  });

  it("waits for a revision of an epoch until a view of that epoch shows it", async () => {
    await using store = openMemoryStore();
    await using cache = startViewCache(store);
    const mark = (epoch: string) =>
      commit(store, { puts: [{ key: MARK_KEY, value: newMark(epoch, false).value }], deletes: [] });
    await cache.waitForRevision(await mark("1-a"), LIMITS);
    const revision = await write(store, "tenant t");
    expect((await cache.waitForRevision(revision, { ...LIMITS, epoch: "1-a" })).epoch).toBe("1-a");
    await expect(cache.waitForRevision(revision, { timeoutMs: 20, epoch: "2-b" })).rejects.toMatchObject({
      code: "TIMEOUT",
    });
    const waiting = cache.waitForRevision(revision, { timeoutMs: 9_000, epoch: "2-b" });
    await mark("2-b");
    expect((await waiting).epoch).toBe("2-b");
  });

  it("goes on when a listener throws", async () => {
    await using store = openMemoryStore();
    const errors: string[] = [];
    await using cache = startViewCache(store, { onListenerError: (error) => errors.push(error.message) });
    await cache.synced;
    cache.onChange(() => {
      throw new Error("mine");
    });
    let stepCount = 0;
    const stop = cache.onChange(() => {
      stepCount += 1;
    });
    await cache.waitForRevision(await write(store, "tenant t"), LIMITS);
    stop();
    await cache.waitForRevision(await write(store, "tenant u"), LIMITS);
    expect(stepCount).toBe(1);
    expect(errors).toHaveLength(2);
  });
});

/** A store of which only the watch is used, driven by hand. */
function handDriven(): { readonly store: Store; feed: WatchConsumer } {
  const driven = { feed: (() => undefined) as WatchConsumer };
  const watch: Watch = {
    synced: Promise.resolve(),
    close: async () => undefined,
    [Symbol.asyncDispose]: async () => undefined,
  };
  const store = {
    watch(_prefix: string, consumer: WatchConsumer) {
      driven.feed = consumer;
      return watch;
    },
  } as unknown as Store;
  return { store, feed: (events) => driven.feed(events) };
}

function putEvent(text: string, modRevision: bigint) {
  const [object] = worldObjects(text);
  if (object === undefined) throw new Error("no object");
  const value = { ...storedObject(object), modRevision, createRevision: modRevision, version: 1 };
  return { kind: "put" as const, value };
}

describe("a list after a gap", () => {
  const down = { kind: "watch-down", prefix: OBJECTS, endpoint: "e", cause: "test" } as const;
  const live = { kind: "watch-live", prefix: OBJECTS, endpoint: "e" } as const;

  it("is kept back until it is complete, so that no view claims a revision that it does not show", async () => {
    const { store, feed } = handDriven();
    const cache = startViewCache(store);
    await feed([putEvent("tenant t", 2n), { kind: "synced", revision: 5n }]);
    cache.noteReport(down);
    await feed([putEvent("tenant u", 9n)]);
    expect(cache.view().revision).toBe(5n);
    expect(cache.view().records("tenant").has("u")).toBe(false);
    await feed([putEvent("tenant u", 10n)]);
    await feed([
      { kind: "delete", key: objectKey("tenant", "t"), modRevision: 11n },
      { kind: "synced", revision: 11n },
    ]);
    expect(cache.view().revision).toBe(11n);
    expect([...cache.view().records("tenant").entries()].map(([key]) => key)).toEqual(["u"]);
    expect(cache.view().modRevision("tenant", "u")).toBe(10n);
    expect(cache.journal.since(5n)).toBeUndefined();
  });

  it("does not hold up a watch that resumes without one", async () => {
    const { store, feed } = handDriven();
    const cache = startViewCache(store);
    await feed([{ kind: "synced", revision: 5n }]);
    cache.noteReport(down);
    cache.noteReport(live);
    await feed([putEvent("tenant u", 6n)]);
    expect(cache.view().revision).toBe(6n);
    expect(cache.journal.since(5n)).toHaveLength(1);
  });
});

describe("journal", () => {
  it("remembers a bounded number of changes and says when that is not enough", () => {
    const ring = new ChangeRing(0n, 10);
    for (let revision = 1n; revision <= 30n; revision += 1n) {
      ring.push([
        { kind: "tenant", key: `t${revision}`, record: undefined, previous: undefined, modRevision: revision },
      ]);
    }
    expect(ring.since(29n)).toHaveLength(1);
    expect(ring.since(22n)).toHaveLength(8);
    expect(ring.since(10n)).toBeUndefined();
  });
});
