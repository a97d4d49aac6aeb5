import { expect, it } from "vitest";
import { LEADER_KEY } from "../../state/keys.ts";
import type { Store, WatchConsumer } from "../../state/store/store.ts";
import { followLeader } from "./leader-info.ts";

const LEADER = { id: "m1-1", restUrl: "http://10.0.0.1:9999", nodeApiUrl: "http://10.0.0.1:9001", version: "1" };

it("knows no leader any more when the store was replaced by one without", async () => {
  let tell: WatchConsumer = () => undefined;
  const ended = {
    synced: Promise.resolve(),
    close: async () => undefined,
    [Symbol.asyncDispose]: async () => undefined,
  };
  const store: Pick<Store, "watch"> = {
    watch: (_prefix, consumer) => {
      tell = consumer;
      return ended;
    },
  };
  const told: unknown[] = [];
  await using directory = followLeader(store, (leader) => told.push(leader?.id));
  const value = { key: LEADER_KEY, value: JSON.stringify(LEADER), modRevision: 5n, createRevision: 5n, version: 1 };
  await tell([{ kind: "put", value }]);
  expect(directory.current()).toEqual(LEADER);
  const term = directory.term();
  await tell([
    { kind: "reset", cause: "restored" },
    { kind: "synced", revision: 3n },
  ]);
  expect(directory.current()).toBeUndefined();
  expect(term.aborted).toBe(true);
  expect(told).toEqual([LEADER.id, undefined]);
});
