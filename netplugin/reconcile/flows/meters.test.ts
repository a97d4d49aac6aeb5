import { describe, expect, it } from "vitest";
import type { Flow } from "../../../drivers/ovs/openflow/flow.ts";
import type { Meter, MeterMod } from "../../../drivers/ovs/openflow/meter.ts";
import { NetError } from "../../../state/errors.ts";
import { MeterUse, meterId, meterUseOf } from "../../desired/pipeline/meter-ids.ts";
import { createMeterKeeper, metersOf } from "./meters.ts";

const signal = new AbortController().signal;
const meter = (id: number, rate = 1_000): Meter => ({
  ...{ id, rateUnit: "kbit/s", hasBurst: true, keepsStats: true, bands: [{ kind: "drop", rate, burst: 100 }] },
});
const flow = (...ids: number[]): Flow => ({
  ...{ table: 0, priority: 1, cookie: 0n, match: {} },
  actions: ids.map((id) => ({ kind: "meter", meter: id }) as const),
});

/** A switch that refuses what the real one refuses. */
function world(wanted: Map<number, Meter>) {
  const table = new Map<number, Meter>();
  const told: string[] = [];
  /** The only meters that it can make; any when empty. */
  const room = new Set<number>();
  const apply = (mod: MeterMod) => {
    const id = mod.kind === "meter-delete" ? mod.id : mod.meter.id;
    told.push(`${mod.kind} ${id}`);
    if (mod.kind === "meter-add" && room.size > 0 && !room.has(mod.meter.id))
      throw new NetError("REJECTED", "OUT_OF_METERS");
    if (mod.kind === "meter-add" && table.has(mod.meter.id)) throw new NetError("REJECTED", "METER_EXISTS");
    if (mod.kind === "meter-modify" && !table.has(mod.meter.id)) throw new NetError("REJECTED", "UNKNOWN_METER");
    if (mod.kind === "meter-delete") table.delete(Number(id));
    else table.set(mod.meter.id, mod.meter);
  };
  const connection = () => ({
    /** Carries out what it can, then tells of the first that it cannot. */
    meterMods: async (mods: readonly MeterMod[]) => {
      await Promise.resolve();
      const errors = mods.flatMap((mod) => {
        try {
          apply(mod);
          return [];
        } catch (error) {
          return [error];
        }
      });
      for (const error of errors) throw error;
    },
    dumpMeters: async () => [...table.values()],
  });
  const keeper = createMeterKeeper({
    connection,
    wanted: () => ({
      meterOf: (id) => wanted.get(id),
      isPutAhead: (id) => meterUseOf(id) === MeterUse.podEgress && wanted.has(id),
    }),
  });
  return { keeper, table, told, room };
}

describe("meters", () => {
  it("are found in flows", () => {
    expect(metersOf([flow(1, 2), flow(), flow(2)])).toEqual([1, 2]);
    expect(metersOf([{ ...flow(), meter: 3 }])).toEqual([3]);
    expect(metersOf([{ ...flow(), actions: [{ kind: "clone", actions: flow(4, 5).actions }] }])).toEqual([4, 5]);
  });

  it("are made before the flows that name them, once, and changed in place", async () => {
    const wanted = new Map([[1, meter(1)]]);
    const { keeper, told } = world(wanted);
    await keeper.prepare([flow(1), flow(9)], signal);
    await keeper.prepare([flow(1)], signal);
    await keeper.put([meter(1, 2_000)], signal);
    expect(told).toEqual(["meter-add 1", "meter-modify 1"]);
  });

  it("that the switch refuses are named, and the others made", async () => {
    const { keeper, table, room } = world(new Map([1, 2, 3].map((id) => [id, meter(id)])));
    room.add(1).add(3);
    const refused = await keeper.prepare([flow(1, 2, 3)], signal);
    expect([...refused.keys()]).toEqual([2]);
    expect([...table.keys()]).toEqual([1, 3]);
    room.add(2);
    expect((await keeper.prepare([flow(1, 2, 3)], signal)).size).toBe(0);
  });

  it("that somebody else has made meanwhile are corrected", async () => {
    const { keeper, table } = world(new Map([[1, meter(1)]]));
    table.set(1, meter(1, 7));
    expect((await keeper.prepare([flow(1)], signal)).size).toBe(0);
    expect(table.get(1)).toEqual(meter(1));
  });

  it("are not made twice by two callers at once", async () => {
    const { keeper, told } = world(new Map([[1, meter(1)]]));
    await Promise.all([
      keeper.prepare([flow(1)], signal),
      keeper.put([meter(1)], signal),
      keeper.put([meter(1)], signal),
    ]);
    expect(told).toEqual(["meter-add 1"]);
  });

  it("go with the last flow that names them, though they are wanted, unless they are put ahead of their flows", async () => {
    const [limit, beginnings] = [meter(meterId(MeterUse.podEgress, 5)), meter(meterId(MeterUse.newConnections, 5))];
    const { keeper, table } = world(new Map([limit, beginnings].map((each) => [each.id, each])));
    const flows = new Map([["f", flow(limit.id, beginnings.id)]]);
    await keeper.prepare(flows.values(), signal);
    await keeper.settle({ put: flows, remove: [] }, signal);
    expect([...table.keys()]).toEqual([limit.id, beginnings.id]);
    await keeper.settle({ put: new Map(), remove: ["f"] }, signal);
    expect([...table.keys()]).toEqual([limit.id]);
  });

  it("go when nobody wants them, whoever made them", async () => {
    const wanted = new Map([[1, meter(1)]]);
    const { keeper, table } = world(wanted);
    table.set(7, meter(7));
    const orphan = meterId(MeterUse.sample, 1); // nobody wants one
    table.set(orphan, meter(orphan));
    await keeper.refresh(signal);
    await keeper.put([meter(1)], signal);
    await keeper.settleAll(new Map(), signal);
    expect([...table.keys()]).toEqual([1]);
  });

  it("stay while a flow names them, and go with the last one", async () => {
    const wanted = new Map([[1, meter(1)]]);
    const { keeper, table } = world(wanted);
    const [first, second] = [flow(1), flow(1)];
    await keeper.prepare([first, second], signal);
    await keeper.settleAll(new Map(Object.entries({ first, second, other: flow() })), signal);
    wanted.clear();
    await keeper.settle({ put: new Map(), remove: ["first"] }, signal);
    expect([...table.keys()]).toEqual([1]); // deleting it would delete the second flow, too
    await keeper.settle({ put: new Map([["second", flow()]]), remove: [] }, signal);
    expect([...table.keys()]).toEqual([]);
  });

  it("are named by what is sent to the controller, too", () => {
    const tell = { ...flow(), actions: [{ kind: "controller", meter: 3 } as const, { kind: "controller" } as const] };
    expect(metersOf([tell, flow(1)])).toEqual([3, 1]);
  });

  it("are not deleted when a flow names them anew", async () => {
    const wanted = new Map([[1, meter(1)]]);
    const { keeper, told } = world(wanted);
    await keeper.prepare([flow(1)], signal);
    await keeper.settle({ put: new Map([["a", flow(1)]]), remove: [] }, signal);
    await keeper.settle({ put: new Map([["b", flow(1)]]), remove: ["a"] }, signal);
    expect(told).toEqual(["meter-add 1"]);
  });

  it("are put although the switch had others than was known: after a refusal they are read anew", async () => {
    const { keeper, table } = world(new Map());
    table.set(1, meter(1));
    await keeper.put([meter(1, 5)], signal);
    expect(table.get(1)).toEqual(meter(1, 5));
    table.clear();
    await keeper.put([meter(1, 6)], signal);
    expect(table.get(1)).toEqual(meter(1, 6));
  });

  it("that the switch refuses for good are told as refused", async () => {
    const { keeper, room, told } = world(new Map());
    room.add(1);
    await expect(keeper.put([meter(2)], signal)).rejects.toThrow("OUT_OF_METERS");
    expect(told).toEqual(["meter-add 2", "meter-add 2"]);
  });
});
