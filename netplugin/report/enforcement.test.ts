import { describe, expect, it } from "vitest";
import type { Kind } from "../../state/records.ts";
import { type Changes, emptyView, type NodeView } from "../view/node-view.ts";
import { watchEnforcement } from "./enforcement.ts";

/** A view that moves on by steps, and a switch that follows when it is let. */
function world() {
  const ending = new AbortController();
  let view: NodeView = { ...emptyView(), complete: true };
  let listener: ((changes: Changes) => void) | undefined;
  let rounds: (() => void)[] = [];
  let enforcedRevision = 0n;
  let enforcedEpoch: string | undefined;
  const failures = new Map<string, string>();
  let told = 0;
  const enforcement = watchEnforcement({
    holder: {
      view: () => view,
      onStep: (each) => {
        listener = each;
      },
    },
    reconciler: {
      get enforcedRevision() {
        return enforcedRevision;
      },
      get enforcedEpoch() {
        return enforcedEpoch;
      },
      failures: () => failures,
      flowCount: 5,
    },
    loop: { done: () => new Promise((resolve) => rounds.push(resolve)) },
    nodeName: "n1",
    endpointCount: () => 2,
    onEnforced: () => {
      told += 1;
    },
    signal: ending.signal,
  });
  return {
    enforcement,
    failures,
    told: () => told,
    step: (revision: bigint, ...kinds: Kind[]) => {
      view = { ...view, revision };
      listener?.(new Map(kinds.map((kind) => [`${kind}/x` as never, { kind, key: "x" }])));
    },
    /** The store is another one from now on. */
    replace: (epoch: string, revision: bigint) => {
      view = { ...view, epoch, revision };
      listener?.(new Map());
    },
    /** A round ends that began by now. */
    enforce: async () => {
      enforcedRevision = view.revision;
      enforcedEpoch = view.epoch;
      const served = rounds;
      rounds = [];
      for (const serve of served) serve();
      await new Promise((resolve) => setImmediate(resolve));
    },
  };
}

describe("enforcement", () => {
  it("is told once the change of an admin is in the switch", async () => {
    const { step, enforce, told } = world();
    step(5n, "rule");
    expect(told()).toBe(0);
    await enforce();
    expect(told()).toBe(1);
    await enforce();
    expect(told()).toBe(1);
  });

  it("waits for the revision to be complete", async () => {
    const { step, enforce, told } = world();
    step(4n);
    step(4n, "rule");
    await enforce();
    expect(told()).toBe(0);
    step(5n);
    await enforce();
    expect(told()).toBe(1);
  });

  it("says nothing of what others' endpoints and nodes do", async () => {
    const { step, enforce, told } = world();
    step(5n, "endpoint", "node");
    step(6n);
    await enforce();
    expect(told()).toBe(0);
  });

  it("tells of changes that come while it waits, when they are in the switch too", async () => {
    const { step, enforce, told } = world();
    step(5n, "rule");
    step(6n, "policy");
    await enforce();
    expect(told()).toBe(1);
    step(7n, "rule");
    await enforce();
    expect(told()).toBe(2);
  });

  it("makes receipts with the time of the enforcement and bounded failures", async () => {
    const { step, enforce, enforcement, failures } = world();
    step(5n, "rule");
    await enforce();
    for (let index = 0; index < 150; index += 1) failures.set(`endpoint/e${index}`, "no port");
    failures.set("rule/t:p:r", "no group");
    const { enforcedAt, failures: shown, ...receipt } = enforcement.receipt();
    expect(receipt).toEqual({
      ...{ enforcedRevision: "5", endpointCount: 2, flowCount: 5 },
      failureCounts: { endpoint: 150, rule: 1 },
    });
    expect(Object.keys(shown)).toHaveLength(100);
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(enforcement.receipt().enforcedAt).toBe(enforcedAt);
  });

  it("tells of another store's revisions although they are lower, and never as enforced before they are", async () => {
    const { step, enforce, replace, told, enforcement } = world();
    replace("1-a", 100n);
    await enforce();
    step(101n, "rule");
    await enforce();
    expect(enforcement.receipt()).toMatchObject({ enforcedRevision: "101", storeEpoch: "1-a" });
    const before = told();
    replace("2-b", 50n);
    expect(enforcement.receipt()).toMatchObject({ enforcedRevision: "101", storeEpoch: "1-a" });
    expect(told()).toBe(before);
    await enforce();
    expect(told()).toBe(before + 1);
    expect(enforcement.receipt()).toMatchObject({ enforcedRevision: "50", storeEpoch: "2-b" });
    step(51n, "rule");
    await enforce();
    expect(told()).toBe(before + 2);
  });
});
