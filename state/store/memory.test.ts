import { expect, test } from "vitest";
import { manualClock } from "../waiting/clock.ts";
import { nextTurn } from "../waiting/pause.ts";
import { eventually, newCommit, newRecorder, testStoreContract } from "./contract.ts";
import { openMemoryStore } from "./memory.ts";
import { MemoryBackend } from "./memory-backend.ts";

testStoreContract("memory", async () => {
  const backend = new MemoryBackend();
  return {
    open: async () => openMemoryStore({ backend }),
    compact: async () => backend.compact(),
    [Symbol.asyncDispose]: async () => undefined,
  };
});

test("a watch behind a compaction lists anew and synthesises deletes", async () => {
  const backend = new MemoryBackend();
  await using writer = openMemoryStore({ backend });
  await using store = openMemoryStore({ backend });
  const puts = ["a", "b", "c"].map((key) => ({ key, value: "1" }));
  await writer.commit(newCommit({ puts }));
  const { state, events, consumer } = newRecorder();
  await using watch = store.watch("", consumer);
  await watch.synced;
  store.setReachable(false);
  await writer.commit(newCommit({ puts: [{ key: "b", value: "2" }], deletes: ["a"] }));
  backend.compact();
  store.setReachable(true);
  await eventually(() => events.filter((event) => event.kind === "synced").length === 2);
  expect(state).toEqual(
    new Map([
      ["b", "2"],
      ["c", "1"],
    ]),
  );
  expect(events.slice(4).map((event) => event.kind)).toEqual(["put", "delete", "synced"]);
});

test("a leader cut off fences itself before the store gives its place away", async () => {
  const clock = manualClock();
  const backend = new MemoryBackend(clock);
  await using store = openMemoryStore({ backend });
  await using other = openMemoryStore({ backend });
  const leadership = await store.campaign({ key: "leader", value: "one", ttlS: 4 });
  const next = other.campaign({ key: "leader", value: "two", ttlS: 4 });
  for (let step = 0; step < 20; step += 1) {
    clock.advance(500);
    await nextTurn();
  }
  expect(leadership.valid()).toBe(true);
  store.setReachable(false);
  clock.advance(2_500);
  await nextTurn();
  expect(leadership.valid()).toBe(false);
  expect(leadership.lost.reason).toMatchObject({ code: "TIMEOUT" });
  expect(backend.get("leader")).toMatchObject({ value: "one" });
  clock.advance(1_000);
  const second = await next;
  expect(second.epoch).toBeGreaterThan(leadership.epoch);
});
