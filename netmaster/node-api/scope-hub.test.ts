import { randomUUID } from "node:crypto";
import { describe, expect, it } from "vitest";
import { NetError } from "../../state/errors.ts";
import { openMemoryStore } from "../../state/store/memory.ts";
import type { Store } from "../../state/store/store.ts";
import { startViewCache, type ViewCache } from "../view/cache.ts";
import { storedObject, worldObjects } from "../view/testing.ts";
import { type LineSink, ScopeHub } from "./scope-hub.ts";

interface Line {
  readonly type: string;
  readonly key?: string;
  readonly revision?: string;
}

/** A peer that reads when it is told to. */
function slowSink() {
  const lines: Line[] = [];
  let isReading = true;
  let go: () => void = () => undefined;
  const sink: LineSink = {
    async write(text) {
      lines.push(
        ...text
          .trim()
          .split("\n")
          .map((line) => JSON.parse(line) as Line),
      );
      if (!isReading) await new Promise<void>((resolve) => (go = resolve));
    },
  };
  return {
    sink,
    lines,
    stop: () => {
      isReading = false;
    },
    resume: () => {
      isReading = true;
      go();
    },
  };
}

async function write(store: Store, cache: ViewCache, text: string): Promise<bigint> {
  const puts = worldObjects(text).map(storedObject);
  const result = await store.commit({ requestId: randomUUID(), guards: [], puts, deletes: [] });
  if (!result.committed) throw new Error("not committed");
  await cache.waitForRevision(result.revision, { timeoutMs: 2_000 });
  return result.revision;
}

async function until(holds: () => boolean): Promise<void> {
  const deadlineMs = Date.now() + 3_000;
  while (!holds()) {
    if (Date.now() > deadlineMs) throw new Error("it does not come");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

async function ground(bookmarkIntervalMs = 60_000) {
  const store = openMemoryStore();
  const cache = startViewCache(store);
  await cache.synced;
  const hub = new ScopeHub(cache, { bookmarkIntervalMs });
  await write(store, cache, "global bridge\ntenant t\nnetwork t:a\nnetwork t:b\nnode n1\nnode n2\nendpoint own t:a n1");
  return { store, cache, hub };
}

describe("hub", () => {
  it("tells a node that reads slowly only the latest of each object, and marks the end once", async () => {
    const { store, cache, hub } = await ground();
    const { sink, lines, stop, resume } = slowSink();
    const ended = new AbortController();
    const served = hub.serve("n1", sink, ended.signal);
    await until(() => lines.some(({ type }) => type === "synced"));
    stop();
    await write(store, cache, "endpoint far t:a n2");
    await until(() => lines.some(({ key }) => key === "far"));
    const seen = lines.length;
    for (let round = 0; round < 50; round += 1) await write(store, cache, "endpoint far t:a n2");
    const last = await write(store, cache, "endpoint far t:a n1");
    expect(lines).toHaveLength(seen);
    resume();
    await until(() => lines.at(-1)?.revision === String(last));
    const news = lines.slice(seen);
    expect(news.filter(({ key }) => key === "far")).toHaveLength(1);
    expect(news.filter(({ type }) => type === "bookmark")).toHaveLength(1);
    ended.abort();
    await served;
    expect(hub.streamCount).toBe(0);
  });

  it("sends bookmarks when nothing happens, and nothing of what does not concern the node", async () => {
    const { store, cache, hub } = await ground(20);
    const { sink, lines } = slowSink();
    const ended = new AbortController();
    const served = hub.serve("n1", sink, ended.signal);
    await until(() => lines.filter(({ type }) => type === "bookmark").length >= 2);
    const revision = await write(store, cache, "endpoint far t:b n2");
    await until(() => lines.at(-1)?.revision === String(revision));
    expect(lines.some(({ key }) => key === "far" || key === "n2")).toBe(false);
    ended.abort();
    await served;
  });

  it("replaces the oldest of too many streams of one node", async () => {
    const { hub } = await ground();
    const ended = new AbortController();
    const states = Array.from({ length: 4 }, () => ({ isOver: false }));
    for (const state of states) {
      void hub.serve("n1", slowSink().sink, ended.signal).then(() => {
        state.isOver = true;
      });
    }
    await until(() => states[0]?.isOver === true);
    expect(states.map(({ isOver }) => isOver)).toEqual([true, false, false, false]);
    ended.abort();
  });

  it("ends the stream of a peer that is gone", async () => {
    const { hub } = await ground();
    const sink: LineSink = { write: () => Promise.reject(new NetError("CLOSED", "gone")) };
    await expect(hub.serve("n1", sink, new AbortController().signal)).rejects.toMatchObject({ code: "CLOSED" });
    expect(hub.streamCount).toBe(0);
  });
});
