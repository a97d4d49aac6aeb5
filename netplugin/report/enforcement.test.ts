import { describe, expect, it } from "vitest";
import type { Kind } from "../../state/records.ts";
import type { ViewRevision } from "../reconcile/connections/connection-keeper.ts";
import { type Changes, emptyView, type NodeView } from "../view/node-view.ts";
import { watchEnforcement } from "./enforcement.ts";

/** A view that moves on by steps, and a switch that follows when it is let. */
function world() {
  let view: NodeView = { ...emptyView(), complete: true };
  let listener: ((changes: Changes) => void) | undefined;
  let onInForce: (() => void) | undefined;
  let at: ViewRevision = { revision: 0n, epoch: undefined };
  const failures = new Map<string, string>();
  const goingOn = new Map<string, string>();
  let told = 0;
  const enforcement = watchEnforcement({
    holder: {
      view: () => view,
      onStep: (each) => {
        listener = each;
      },
    },
    reconciler: { failures: () => failures, flowCount: 5 },
    connections: {
      get inForce() {
        return at;
      },
      failures: () => goingOn,
      onInForce: (each) => {
        onInForce = each;
      },
    },
    nodeName: "n1",
    endpointCount: () => 2,
    onNews: () => {
      told += 1;
    },
  });
  return {
    enforcement,
    failures,
    goingOn,
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
    /** The switch has what the view says now, and connections have ended. */
    enforce: () => {
      at = { revision: view.revision, epoch: view.epoch };
      onInForce?.();
    },
    /** It is another thing that could not be done. */
    failOtherwise: () => onInForce?.(),
  };
}

describe("enforcement", () => {
  it("is told once the change of an admin is in the switch", () => {
    const { step, enforce, told } = world();
    step(5n, "rule");
    expect(told()).toBe(0);
    enforce();
    expect(told()).toBe(1);
    enforce();
    expect(told()).toBe(1);
  });

  it("waits for the revision to be complete", () => {
    const { step, enforce, told } = world();
    step(4n);
    step(4n, "rule");
    enforce();
    expect(told()).toBe(0);
    step(5n);
    enforce();
    expect(told()).toBe(1);
  });

  it("says nothing of what others' endpoints and nodes do", () => {
    const { step, enforce, told } = world();
    step(5n, "endpoint", "node");
    step(6n);
    enforce();
    expect(told()).toBe(0);
  });

  it("tells of changes that come while it waits, when they are in the switch too", () => {
    const { step, enforce, told } = world();
    step(5n, "rule");
    step(6n, "policy");
    enforce();
    expect(told()).toBe(1);
    step(7n, "rule");
    enforce();
    expect(told()).toBe(2);
  });

  it("tells at once that connections go on which are not allowed any more, and that they have ended", () => {
    const { step, enforce, told, goingOn, failOtherwise, enforcement } = world();
    step(5n, "rule");
    goingOn.set("rule/t:p:r", "the switch is away");
    enforce();
    expect(told()).toBe(1);
    expect(enforcement.receipt()).toMatchObject({
      ...{ enforcedRevision: "5", failures: { "rule/t:p:r": "the switch is away" }, failureCounts: { rule: 1 } },
    });
    expect([...enforcement.failing()]).toEqual(["rule/t:p:r"]);
    failOtherwise();
    expect(told()).toBe(1);
    goingOn.clear();
    failOtherwise();
    expect(told()).toBe(2);
    expect(enforcement.receipt()).toMatchObject({ enforcedRevision: "5", failures: {} });
  });

  it("makes receipts with the time of the enforcement and bounded failures", async () => {
    const { step, enforce, enforcement, failures } = world();
    step(5n, "rule");
    enforce();
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

  it("tells of another store's revisions although they are lower, and never as enforced before they are", () => {
    const { step, enforce, replace, told, enforcement } = world();
    replace("1-a", 100n);
    enforce();
    step(101n, "rule");
    enforce();
    expect(enforcement.receipt()).toMatchObject({ enforcedRevision: "101", storeEpoch: "1-a" });
    const before = told();
    replace("2-b", 50n);
    expect(enforcement.receipt()).toMatchObject({ enforcedRevision: "101", storeEpoch: "1-a" });
    expect(told()).toBe(before);
    enforce();
    expect(told()).toBe(before + 1);
    expect(enforcement.receipt()).toMatchObject({ enforcedRevision: "50", storeEpoch: "2-b" });
    step(51n, "rule");
    enforce();
    expect(told()).toBe(before + 2);
  });
});
