import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { NetError } from "../errors.ts";
import type { Commit, Guard, Store, StoredValue, WatchEvent } from "./store.ts";

/** What a backend must give to be tested: handles on one and the same state. */
export interface ContractGround extends AsyncDisposable {
  open(): Promise<Store>;
  /** Forgets the history of all revisions up to now. */
  compact(): Promise<void>;
}

let prefixCount = 0;

function newPrefix(): string {
  prefixCount += 1;
  return `/contract-${prefixCount}-${randomUUID().slice(0, 8)}/`;
}

export function newCommit(parts: Partial<Commit>): Commit {
  return { requestId: randomUUID(), guards: [], puts: [], deletes: [], ...parts };
}

async function put(store: Store, key: string, value: string, guards: readonly Guard[] = []): Promise<bigint> {
  const result = await store.commit(newCommit({ guards, puts: [{ key, value }] }));
  if (!result.committed) throw new Error(`put of ${key} was not committed`);
  return result.revision;
}

async function mustGet(store: Store, key: string): Promise<StoredValue> {
  const found = await store.get(key);
  if (found === undefined) throw new Error(`${key} is absent`);
  return found;
}

/** A consumer that keeps everything it is told, and the state that follows from it. */
export function newRecorder(): {
  readonly events: WatchEvent[];
  readonly state: Map<string, string>;
  readonly consumer: (events: readonly WatchEvent[]) => void;
} {
  const events: WatchEvent[] = [];
  const state = new Map<string, string>();
  function consumer(batch: readonly WatchEvent[]): void {
    events.push(...batch);
    for (const event of batch) {
      if (event.kind === "put") state.set(event.value.key, event.value.value);
      if (event.kind === "delete") state.delete(event.key);
    }
  }
  return { events, state, consumer };
}

/** Polls until the condition holds. */
export async function eventually(condition: () => boolean | Promise<boolean>, timeoutMs = 10_000): Promise<void> {
  const deadlineMs = Date.now() + timeoutMs;
  while (!(await condition())) {
    if (Date.now() > deadlineMs) throw new Error(`not so within ${timeoutMs} ms: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** The behaviour that every store has; run by the tests of each backend. */
export function testStoreContract(name: string, makeGround: () => Promise<ContractGround>): void {
  describe(`store contract: ${name}`, () => {
    let ground: ContractGround;
    let store: Store;
    let other: Store;
    beforeAll(async () => {
      ground = await makeGround();
      store = await ground.open();
      other = await ground.open();
    });
    afterAll(async () => {
      await store[Symbol.asyncDispose]();
      await other[Symbol.asyncDispose]();
      await ground[Symbol.asyncDispose]();
    });
    const stores = () => ({ store, other, ground });
    testReads(stores);
    testCommits(stores);
    testWatches(stores);
    testLeases(stores);
    testElections(stores);
    testClosing(stores);
  });
}

type Stores = () => { readonly store: Store; readonly other: Store; readonly ground: ContractGround };

function testReads(stores: Stores): void {
  test("an absent key is undefined and an empty prefix an empty list", async () => {
    const { store } = stores();
    const prefix = newPrefix();
    expect(await store.get(`${prefix}a`)).toBeUndefined();
    expect((await store.list(prefix)).values).toEqual([]);
  });

  test("a value is read with its revisions, by every handle, also serializable", async () => {
    const { store, other } = stores();
    const key = `${newPrefix()}schlüssel ⟨ü⟩`;
    const first = await put(store, key, "ä1");
    const second = await put(other, key, "ä2");
    const expected = { key, value: "ä2", createRevision: first, modRevision: second, version: 2 };
    expect(second).toBeGreaterThan(first);
    expect(await other.get(key)).toEqual(expected);
    expect(await store.get(key)).toEqual(expected);
    expect(await other.get(key, { serializable: true })).toEqual(expected);
  });

  test("a list holds exactly the keys with the prefix, in byte order, at one revision", async () => {
    const { store } = stores();
    const prefix = newPrefix();
    const names = ["b", "a", "a/1", "ä", "z", "\u{10000}", "\u{ffee}"];
    const puts = names.map((name) => ({ key: prefix + name, value: name }));
    const result = await store.commit(newCommit({ puts: [...puts, { key: prefix.slice(0, -1), value: "outside" }] }));
    if (!result.committed) throw new Error("not committed");
    const { values, revision } = await store.list(prefix);
    expect(values.map((value) => value.value)).toEqual(["a", "a/1", "b", "z", "ä", "\u{ffee}", "\u{10000}"]);
    expect(revision).toBeGreaterThanOrEqual(result.revision);
    expect(new Set(values.map((value) => value.modRevision))).toEqual(new Set([result.revision]));
  });

  test("a list of thousands of keys is complete", async () => {
    const { store } = stores();
    const prefix = newPrefix();
    for (let start = 0; start < 5_000; start += 100) {
      const puts = Array.from({ length: 100 }, (_, index) => ({ key: `${prefix}${start + index}`, value: "x" }));
      await store.commit(newCommit({ puts }));
    }
    const { values } = await store.list(prefix);
    expect(new Set(values.map((value) => value.key)).size).toBe(5_000);
  });

  test("an aborted read ends with CLOSED or TIMEOUT", async () => {
    const { store } = stores();
    await expect(store.get("/x", { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: "CLOSED" });
    const late = new DOMException("late", "TimeoutError");
    await expect(store.list("/x", { signal: AbortSignal.abort(late) })).rejects.toMatchObject({ code: "TIMEOUT" });
  });
}

function testCommits(stores: Stores): void {
  test("guards: absent, present, at, created-at", async () => {
    const { store } = stores();
    const key = `${newPrefix()}k`;
    const attempt = (guard: Guard) => store.commit(newCommit({ guards: [guard], puts: [{ key, value: "v" }] }));
    expect(await attempt({ key, is: "present" })).toEqual({ committed: false, failed: [{ key, is: "present" }] });
    expect(await attempt({ key, is: "absent" })).toMatchObject({ committed: true });
    expect(await attempt({ key, is: "absent" })).toEqual({ committed: false, failed: [{ key, is: "absent" }] });
    expect(await attempt({ key, is: "present" })).toMatchObject({ committed: true });
    const { modRevision, createRevision } = await mustGet(store, key);
    expect(await attempt({ key, is: "at", modRevision: modRevision - 1n })).toMatchObject({ committed: false });
    expect(await attempt({ key, is: "at", modRevision })).toMatchObject({ committed: true });
    expect(await attempt({ key, is: "at", modRevision })).toMatchObject({ committed: false });
    expect(await attempt({ key, is: "created-at", createRevision })).toMatchObject({ committed: true });
    expect(await attempt({ key, is: "created-at", createRevision: createRevision - 1n })).toMatchObject({
      committed: false,
    });
    expect((await mustGet(store, key)).version).toBe(4);
  });

  test("a commit is all or nothing, and names only the guards that failed", async () => {
    const { store } = stores();
    const prefix = newPrefix();
    await put(store, `${prefix}taken`, "1");
    const good: Guard = { key: `${prefix}free`, is: "absent" };
    const bad: Guard = { key: `${prefix}taken`, is: "absent" };
    const puts = [
      { key: `${prefix}free`, value: "2" },
      { key: `${prefix}taken`, value: "2" },
    ];
    const result = await store.commit(newCommit({ guards: [good, bad], puts, deletes: [`${prefix}x`] }));
    expect(result).toEqual({ committed: false, failed: [bad] });
    expect((await store.list(prefix)).values.map((value) => value.value)).toEqual(["1"]);
  });

  test("puts and deletes of one commit share its revision; deleting the absent succeeds", async () => {
    const { store } = stores();
    const prefix = newPrefix();
    await put(store, `${prefix}old`, "1");
    const puts = [{ key: `${prefix}new`, value: "2" }];
    const result = await store.commit(newCommit({ puts, deletes: [`${prefix}old`, `${prefix}never`] }));
    const { values } = await store.list(prefix);
    expect(result).toEqual({ committed: true, revision: values[0]?.modRevision });
    expect(values.map((value) => value.key)).toEqual([`${prefix}new`]);
  });

  test("100 operations with 100 guards pass; what no backend can do is INVALID", async () => {
    const { store } = stores();
    const prefix = newPrefix();
    const puts = Array.from({ length: 100 }, (_, index) => ({ key: `${prefix}${index}`, value: "x" }));
    const guards = puts.map(({ key }): Guard => ({ key, is: "absent" }));
    expect(await store.commit(newCommit({ puts, guards }))).toMatchObject({ committed: true });
    const key = `${prefix}k`;
    const bad = [
      newCommit({ puts: [...puts, { key, value: "one more" }] }),
      newCommit({ guards }),
      newCommit({ puts: [{ key, value: "1" }], deletes: [key] }),
      newCommit({ puts: [{ key: "", value: "1" }] }),
      newCommit({ requestId: "", puts: [{ key, value: "1" }] }),
    ];
    for (const commit of bad) await expect(store.commit(commit)).rejects.toMatchObject({ code: "INVALID" });
  });

  test("of many concurrent creations exactly one wins", async () => {
    const { store, other } = stores();
    const key = `${newPrefix()}k`;
    const create = (handle: Store, value: string) =>
      handle.commit(newCommit({ guards: [{ key, is: "absent" }], puts: [{ key, value }] }));
    const results = await Promise.all(
      Array.from({ length: 40 }, (_, index) => create(index % 2 ? store : other, `${index}`)),
    );
    expect(results.filter((result) => result.committed)).toHaveLength(1);
    expect((await mustGet(store, key)).version).toBe(1);
  });

  test("concurrent compare loops count exactly", async () => {
    const { store, other } = stores();
    const key = `${newPrefix()}counter`;
    await put(store, key, "0");
    async function increment(handle: Store): Promise<void> {
      for (;;) {
        const present = await mustGet(handle, key);
        const guards: Guard[] = [{ key, is: "at", modRevision: present.modRevision }];
        const puts = [{ key, value: String(Number(present.value) + 1) }];
        if ((await handle.commit(newCommit({ guards, puts }))).committed) return;
        await new Promise((resolve) => setTimeout(resolve, Math.random() * 10));
      }
    }
    await Promise.all(Array.from({ length: 30 }, (_, index) => increment(index % 2 ? store : other)));
    expect((await mustGet(store, key)).value).toBe("30");
  });
}

function testWatches(stores: Stores): void {
  test("a watch lists, says synced, then follows every change in order, once", async () => {
    const { store, other } = stores();
    const prefix = newPrefix();
    const before = await put(store, `${prefix}a`, "1");
    const { events, consumer } = newRecorder();
    await using watch = store.watch(prefix, consumer);
    await watch.synced;
    expect(events[0]).toMatchObject({ kind: "put", value: { key: `${prefix}a`, value: "1", modRevision: before } });
    expect(events[1]).toMatchObject({ kind: "synced" });
    for (let index = 0; index < 50; index += 1) await put(index % 2 ? store : other, `${prefix}a`, `${index}`);
    await store.commit(newCommit({ deletes: [`${prefix}a`], puts: [{ key: `${prefix}b`, value: "end" }] }));
    await put(store, newPrefix(), "not ours");
    await eventually(() => events.length >= 54);
    const values = events.slice(2, 52).map((event) => (event.kind === "put" ? event.value.value : event.kind));
    expect(values).toEqual(Array.from({ length: 50 }, (_, index) => `${index}`));
    const last = events.slice(52).sort((a, b) => a.kind.localeCompare(b.kind));
    expect(last).toMatchObject([
      { kind: "delete", key: `${prefix}a` },
      { kind: "put", value: { key: `${prefix}b`, version: 1 } },
    ]);
    expect(events).toHaveLength(54);
  });

  test("events of one commit come in one batch", async () => {
    const { store } = stores();
    const prefix = newPrefix();
    const sizes: number[] = [];
    await using watch = store.watch(prefix, (events) => void sizes.push(events.length));
    await watch.synced;
    const puts = Array.from({ length: 100 }, (_, index) => ({ key: `${prefix}${index}`, value: "x" }));
    await store.commit(newCommit({ puts }));
    await eventually(() => sizes.length >= 2);
    expect(sizes).toEqual([1, 100]);
  });

  test("a consumer that throws gets the same again, and other watches go on", async () => {
    const { store } = stores();
    const prefix = newPrefix();
    const good = newRecorder();
    const seen = newRecorder();
    let throws = 4;
    async function consumer(events: readonly WatchEvent[]): Promise<void> {
      await Promise.resolve();
      if (throws > 0 && events.some((event) => event.kind !== "synced")) {
        throws -= 1;
        throw new Error("the consumer is at fault");
      }
      seen.consumer(events);
    }
    await put(store, `${prefix}a`, "1");
    await using bad = store.watch(prefix, consumer);
    await using other = store.watch(prefix, good.consumer);
    await Promise.all([bad.synced, other.synced]);
    throws = 2;
    await put(store, `${prefix}a`, "2");
    await put(store, `${prefix}b`, "3");
    const expected = new Map([
      [`${prefix}a`, "2"],
      [`${prefix}b`, "3"],
    ]);
    await eventually(() => good.state.size === 2 && seen.state.size === 2);
    expect(seen.state).toEqual(expected);
    expect(good.state).toEqual(expected);
    const puts = seen.events.filter((event) => event.kind === "put");
    expect(puts.map((event) => (event.kind === "put" ? event.value.value : ""))).toEqual(["1", "2", "3"]);
  });

  test("never two batches at a time, and a slow consumer ends at the present state", async () => {
    const { store } = stores();
    const prefix = newPrefix();
    const seen = newRecorder();
    let inside = 0;
    let most = 0;
    async function consumer(events: readonly WatchEvent[]): Promise<void> {
      inside += 1;
      most = Math.max(most, inside);
      await new Promise((resolve) => setTimeout(resolve, 20));
      seen.consumer(events);
      inside -= 1;
    }
    await using watch = store.watch(prefix, consumer);
    for (let index = 0; index < 40; index += 1) await put(store, `${prefix}${index % 3}`, `${index}`);
    await eventually(() => seen.state.get(`${prefix}0`) === "39");
    await watch.synced;
    expect([...seen.state.values()].sort()).toEqual(["37", "38", "39"]);
    expect(most).toBe(1);
  });

  test("close ends the calls; synced of an unsynced watch rejects with CLOSED", async () => {
    const { store } = stores();
    const prefix = newPrefix();
    const { events, consumer } = newRecorder();
    const watch = store.watch(prefix, consumer);
    await watch.synced;
    await watch.close();
    await put(store, `${prefix}a`, "1");
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(events.map((event) => event.kind)).toEqual(["synced"]);
    const aborted = store.watch(prefix, consumer, { signal: AbortSignal.abort() });
    await expect(aborted.synced).rejects.toMatchObject({ code: "CLOSED" });
    await aborted.close();
  });

  test("a watch opened after a compaction lists as ever", async () => {
    const { store, ground } = stores();
    const prefix = newPrefix();
    await put(store, `${prefix}a`, "1");
    await ground.compact();
    const { state, consumer } = newRecorder();
    await using watch = store.watch(prefix, consumer);
    await watch.synced;
    await put(store, `${prefix}b`, "2");
    await eventually(() => state.size === 2);
  });
}

function testLeases(stores: Stores): void {
  test("keys of a lease live while it is kept and vanish when it is revoked", async () => {
    const { store, other } = stores();
    const key = `${newPrefix()}k`;
    const lease = await store.lease({ ttlS: 2 });
    await store.commit(newCommit({ puts: [{ key, value: "v", lease: lease.id }] }));
    await new Promise((resolve) => setTimeout(resolve, 3_500));
    expect(await other.get(key)).toMatchObject({ value: "v" });
    expect(lease.valid()).toBe(true);
    await lease.revoke();
    expect(lease.valid()).toBe(false);
    expect(lease.lost.reason).toMatchObject({ code: "CLOSED" });
    expect(await other.get(key)).toBeUndefined();
    const late = store.commit(newCommit({ puts: [{ key, value: "v", lease: lease.id }] }));
    await expect(late).rejects.toMatchObject({ code: "PRECONDITION", reason: "lease-gone" });
    expect(await other.get(key)).toBeUndefined();
  });
}

function testElections(stores: Stores): void {
  test("one leader; resign hands over at once; the epoch grows and fences the old leader", async () => {
    const { store, other } = stores();
    const prefix = newPrefix();
    const key = `${prefix}leader`;
    const first = await store.campaign({ key, value: "one" });
    expect(first.valid()).toBe(true);
    expect(await other.get(key)).toMatchObject({ value: "one", createRevision: first.epoch });
    const waiting = other.campaign({ key, value: "two" });
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(await other.get(key)).toMatchObject({ value: "one" });
    const asLeader = (guard: Guard, value: string) =>
      store.commit(newCommit({ guards: [guard], puts: [{ key: `${prefix}x`, value }] }));
    expect(await asLeader(first.guard, "by one")).toMatchObject({ committed: true });
    const startedMs = performance.now();
    await first.resign();
    const second = await waiting;
    expect(performance.now() - startedMs).toBeLessThan(500);
    expect(first.valid()).toBe(false);
    expect(first.lost.aborted).toBe(true);
    expect(second.epoch).toBeGreaterThan(first.epoch);
    expect(await asLeader(first.guard, "late")).toEqual({ committed: false, failed: [first.guard] });
    expect(await asLeader(second.guard, "by two")).toMatchObject({ committed: true });
    await second.resign();
    expect(await store.get(key)).toBeUndefined();
  });

  test("of many candidates one leads at a time, each in its turn", async () => {
    const { store, other } = stores();
    const key = `${newPrefix()}leader`;
    let leading = 0;
    const epochs: bigint[] = [];
    async function stand(handle: Store, value: string): Promise<void> {
      await using leadership = await handle.campaign({ key, value });
      leading += 1;
      expect(leading).toBe(1);
      epochs.push(leadership.epoch);
      await new Promise((resolve) => setTimeout(resolve, 20));
      leading -= 1;
    }
    await Promise.all(Array.from({ length: 6 }, (_, index) => stand(index % 2 ? store : other, `${index}`)));
    expect(epochs).toHaveLength(6);
    expect(epochs).toEqual([...epochs].sort((a, b) => (a < b ? -1 : 1)));
  });

  test("a leader whose key is taken away knows at once", async () => {
    const { store, other } = stores();
    const key = `${newPrefix()}leader`;
    const leadership = await store.campaign({ key, value: "one" });
    await new Promise((resolve) => setTimeout(resolve, 100));
    await other.commit(newCommit({ deletes: [key] }));
    await eventually(() => leadership.lost.aborted, 500);
    expect(leadership.lost.reason).toBeInstanceOf(NetError);
    expect(leadership.valid()).toBe(false);
  });

  test("an aborted candidacy ends with CLOSED and leaves nothing", async () => {
    const { store, other } = stores();
    const key = `${newPrefix()}leader`;
    await using leadership = await store.campaign({ key, value: "one" });
    const abort = new AbortController();
    const waiting = other.campaign({ key, value: "two", signal: abort.signal });
    setTimeout(() => abort.abort(), 50);
    await expect(waiting).rejects.toMatchObject({ code: "CLOSED" });
    expect(leadership.valid()).toBe(true);
    await leadership.resign();
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(await other.get(key)).toBeUndefined();
  });
}

function testClosing(stores: Stores): void {
  test("a closed store frees its leadership and refuses with CLOSED", async () => {
    const { store, ground } = stores();
    const key = `${newPrefix()}leader`;
    const closing = await ground.open();
    const leadership = await closing.campaign({ key, value: "one" });
    const watch = closing.watch(key, () => undefined);
    await watch.synced;
    await closing[Symbol.asyncDispose]();
    expect(leadership.valid()).toBe(false);
    expect(await store.get(key)).toBeUndefined();
    await expect(closing.get(key)).rejects.toMatchObject({ code: "CLOSED" });
    await expect(closing.list(key)).rejects.toMatchObject({ code: "CLOSED" });
    await expect(closing.campaign({ key, value: "x" })).rejects.toMatchObject({ code: "CLOSED" });
    const late = newCommit({ puts: [{ key, value: "x" }] });
    await expect(closing.commit(late)).rejects.toMatchObject({ code: "CLOSED" });
    await expect(closing.watch(key, () => undefined).synced).rejects.toMatchObject({ code: "CLOSED" });
  });
}
