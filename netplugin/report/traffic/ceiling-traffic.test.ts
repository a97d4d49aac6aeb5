import { describe, expect, it } from "vitest";
import type { MeterStats } from "../../../drivers/ovs/openflow/meter.ts";
import type { PlannedCeiling } from "../../desired/limits/ceilings.ts";
import { NO_LIMITS } from "../../desired/limits/limit-plan.ts";
import type { LimitStatus } from "../../reconcile/limits/limit-keeper.ts";
import { createCeilingMeasurer } from "./ceiling-traffic.ts";

const ceiling = (more: Partial<PlannedCeiling>): PlannedCeiling => ({
  ...{ kind: "endpointGroup", key: "t1:g7", direction: "podIngress", meterId: 1, notes: [] },
  ...{ rateBitPerSecond: 8e6, burstBits: 8e6 },
  ...more,
});
const status = (...ceilings: readonly PlannedCeiling[]): LimitStatus => ({
  ...{ plan: { ...NO_LIMITS, ceilings }, portName: "cvh1", ofport: 11, failure: undefined },
});
const stats = (id: number, bytes: bigint, dropped: bigint): readonly [number, MeterStats] => [
  id,
  {
    ...{ id, flowCount: 1, packetInCount: bytes / 100n, byteInCount: bytes, durationMs: 0 },
    bands: [{ packetCount: dropped / 100n, byteCount: dropped }],
  },
];

const GROUP = [ceiling({}), ceiling({ direction: "podEgress", meterId: 2, rateBitPerSecond: 4e6 })];
const TENANT = ceiling({ kind: "tenant", key: "t1", meterId: 3 });

describe("what passed ceilings", () => {
  it("is told once for each group and tenant, without what was dropped", () => {
    const { note, reports } = createCeilingMeasurer();
    const statuses = new Map([
      ["a", status(...GROUP, TENANT)],
      ["b", status(...GROUP, TENANT)],
      ["c", status(TENANT)],
    ]);
    note({ atMs: 0, statuses, meters: new Map([stats(1, 0n, 0n), stats(2, 0n, 0n), stats(3, 0n, 0n)]) });
    const meters = new Map([stats(1, 3_000_000n, 1_000_000n), stats(2, 500_000n, 0n), stats(3, 100n, 0n)]);
    note({ atMs: 2_000, statuses, meters });
    expect([...reports().keys()]).toEqual(["t1:g7", "t1"]);
    expect(reports().get("t1:g7")).toEqual({
      ...{ kind: "endpointGroup", key: "t1:g7", overMs: 2_000 },
      podIngress: {
        ...{ rateBitPerSecond: 8e6, burstBits: 8e6, mechanism: "meter", bitPerSecond: 8e6, totalBytes: 2_000_000 },
        ...{ droppedPackets: 10_000, droppedBytes: 1_000_000 },
      },
      podEgress: {
        ...{ rateBitPerSecond: 4e6, burstBits: 8e6, mechanism: "meter", bitPerSecond: 2e6, totalBytes: 500_000 },
        ...{ droppedPackets: 0, droppedBytes: 0 },
      },
    });
  });

  it("comes with what is wrong: no meters on this node, none in the switch, a burst that was raised", () => {
    const { note, reports } = createCeilingMeasurer();
    const complaintOf = (each: PlannedCeiling) => {
      note({ atMs: 0, statuses: new Map([["a", status(each)]]), meters: new Map() });
      return reports().get("t1:g7");
    };
    expect(complaintOf(ceiling({ meterId: undefined }))?.complaint).toMatch(
      /no meters, so the ingress ceiling of .*t1:g7/,
    );
    expect(complaintOf(ceiling({ meterId: undefined }))?.podIngress).not.toHaveProperty("mechanism");
    expect(complaintOf(ceiling({}))?.complaint).toBe("the switch has no meter for it (yet)");
    expect(complaintOf(ceiling({ notes: ["raised"] }))?.complaint).toContain(
      "ingress ceiling of endpoint group t1:g7: raised",
    );
  });

  it("is forgotten with the last pod under it", () => {
    const { note, reports } = createCeilingMeasurer();
    note({ atMs: 0, statuses: new Map([["a", status(...GROUP)]]), meters: new Map() });
    note({ atMs: 1, statuses: new Map(), meters: new Map() });
    expect(reports().size).toBe(0);
  });
});
