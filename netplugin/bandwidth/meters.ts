import type { SwitchConnection } from "../../drivers/ovs/openflow/connection.ts";
import type { Flow } from "../../drivers/ovs/openflow/flow.ts";
import type { Meter, MeterMod } from "../../drivers/ovs/openflow/meter.ts";

export interface MeterKeeperOptions {
  readonly connection: () => Pick<SwitchConnection, "meterMods" | "dumpMeters">;
  /** The meter of a number, as it should be now; undefined when there should be none. */
  readonly wanted: (id: number) => Meter | undefined;
}

/**
 * The meters of the integration bridge: all are ours. They cannot be part of a bundle, so they are made before the flows that name
 * them and deleted after those have gone (deleting a meter deletes its flows).
 */
export interface MeterKeeper {
  /** Makes the meters that the flows name, before they are installed. */
  prepare(flows: Iterable<Flow>, signal: AbortSignal): Promise<void>;
  /** Makes or changes these meters where they are not as wanted. */
  put(meters: readonly Meter[], signal: AbortSignal): Promise<void>;
  /** Reads what the switch has; until then it is taken to have nothing. */
  refresh(signal: AbortSignal): Promise<void>;
  /** Deletes what nobody wants. */
  removeUnwanted(signal: AbortSignal): Promise<void>;
}

export function createMeterKeeper(options: MeterKeeperOptions): MeterKeeper {
  let present = new Map<number, Meter>();
  let last: Promise<unknown> = Promise.resolve();

  /** One after the other: two callers must not both make a meter. Each ends within the connection's deadline. */
  function inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = last.then(work, work);
    last = turn.catch(() => undefined);
    return turn;
  }

  async function putNow(meters: readonly Meter[], signal: AbortSignal): Promise<void> {
    const mods: MeterMod[] = [];
    for (const meter of meters) {
      const before = present.get(meter.id);
      if (before !== undefined && isSameMeter(before, meter)) continue;
      mods.push({ kind: before === undefined ? "meter-add" : "meter-modify", meter });
    }
    if (mods.length === 0) return;
    try {
      await options.connection().meterMods(mods, { signal });
      for (const meter of meters) present.set(meter.id, meter);
    } catch (error) {
      present = await readMeters(options, signal); // another may have made or deleted some
      throw error;
    }
  }

  async function removeNow(signal: AbortSignal): Promise<void> {
    const ids = [...present.keys()].filter((id) => options.wanted(id) === undefined);
    if (ids.length === 0) return;
    for (const id of ids) present.delete(id);
    const mods: MeterMod[] = ids.map((id) => ({ kind: "meter-delete", id }));
    await options.connection().meterMods(mods, { signal });
  }

  return {
    prepare: async (flows, signal) => {
      const meters = metersOf(flows).flatMap((id) => options.wanted(id) ?? []);
      if (meters.length > 0) await inTurn(() => putNow(meters, signal));
    },
    put: async (meters, signal) => {
      if (meters.length > 0) await inTurn(() => putNow(meters, signal));
    },
    refresh: (signal) =>
      inTurn(async () => {
        present = await readMeters(options, signal);
      }),
    removeUnwanted: (signal) => inTurn(() => removeNow(signal)),
  };
}

async function readMeters({ connection }: MeterKeeperOptions, signal: AbortSignal): Promise<Map<number, Meter>> {
  const meters = await connection().dumpMeters({ signal });
  return new Map(meters.map((meter) => [meter.id, meter]));
}

/** Numbers of the meters that flows name. */
export function metersOf(flows: Iterable<Flow>): readonly number[] {
  const ids = new Set<number>();
  for (const { actions } of flows) for (const action of actions) if (action.kind === "meter") ids.add(action.meter);
  return [...ids];
}

export function isSameMeter(left: Meter, right: Meter): boolean {
  const [band, other] = [left.bands[0], right.bands[0]];
  return (
    left.rateUnit === right.rateUnit &&
    left.bands.length === right.bands.length &&
    band?.rate === other?.rate &&
    band?.burst === other?.burst
  );
}
