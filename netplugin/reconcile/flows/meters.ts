import type { Action } from "../../../drivers/ovs/openflow/action.ts";
import type { SwitchConnection } from "../../../drivers/ovs/openflow/connection.ts";
import type { Flow } from "../../../drivers/ovs/openflow/flow.ts";
import type { Meter, MeterMod } from "../../../drivers/ovs/openflow/meter.ts";
import { NetError } from "../../../state/errors.ts";
import { type MeterUse, meterUseOf } from "../../desired/pipeline/meter-ids.ts";

export interface MeterKeeperOptions {
  readonly connection: () => Pick<SwitchConnection, "meterMods" | "dumpMeters">;
}

/** The meter of a number, as it should be now; undefined when there should be none. */
export type WantedMeter = (id: number) => Meter | undefined;

/**
 * The meters of the integration bridge: all are ours. They cannot be part of a bundle, so they are made before the flows that name
 * them and deleted after those have gone (deleting a meter deletes its flows).
 */
export interface MeterKeeper {
  /**
   * Who knows what meters of a use should be; the first of several who knows a number. A use that nobody speaks for has none. Meters are
   * deleted when no flow names them any more; those that are put ahead of their flows, when they are not wanted either.
   */
  provide(use: MeterUse, wanted: WantedMeter, options?: { readonly isPutAhead: boolean }): void;
  /** Makes the meters that the flows name, before they are installed. Says which the switch refuses; any other failure is thrown. */
  prepare(flows: Iterable<Flow>, signal: AbortSignal): Promise<RefusedMeters>;
  /** These flows have been installed and removed: meters that no flow names any more are deleted. */
  settle(delta: SettledFlows, signal: AbortSignal): Promise<void>;
  /** The same when these are all flows that may name meters. */
  settleAll(flows: ReadonlyMap<string, Flow>, signal: AbortSignal): Promise<void>;
  /** Makes or changes these meters where they are not as wanted. */
  put(meters: readonly Meter[], signal: AbortSignal): Promise<void>;
  /** Reads what the switch has; until then it is taken to have nothing. */
  refresh(signal: AbortSignal): Promise<void>;
}

/** By their numbers. */
export type RefusedMeters = ReadonlyMap<number, NetError>;
const NONE_REFUSED: RefusedMeters = new Map();

/** By the keys of packed flows. */
export interface SettledFlows {
  /** Those that may name meters. */
  readonly put: ReadonlyMap<string, Flow>;
  /** What has gone, or names no meter. */
  readonly remove: Iterable<string>;
}

interface Provider {
  readonly wanted: WantedMeter;
  readonly isPutAhead: boolean;
}

export function createMeterKeeper(options: MeterKeeperOptions): MeterKeeper {
  const providers = new Map<MeterUse, readonly Provider[]>();
  let present = new Map<number, Meter>();
  /** Meters that installed flows name, by their keys: few flows name one. */
  const named = new Map<string, readonly number[]>();
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

  /** A first refusal may come of not knowing what the switch has: after it, that is known. */
  async function putTwice(meters: readonly Meter[], signal: AbortSignal): Promise<void> {
    try {
      await putNow(meters, signal);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      await putNow(meters, signal);
    }
  }

  /** Every meter that the switch could take, it has taken; the others share the reason of the first. */
  function refusedOf(meters: readonly Meter[], error: NetError): RefusedMeters {
    const refused = meters.filter((meter) => {
      const taken = present.get(meter.id);
      return taken === undefined || !isSameMeter(taken, meter);
    });
    return new Map(refused.map(({ id }) => [id, error]));
  }

  function wanted(id: number): Meter | undefined {
    for (const provider of providers.get(meterUseOf(id)) ?? []) {
      const meter = provider.wanted(id);
      if (meter !== undefined) return meter;
    }
    return undefined;
  }

  function mayBeNamedSoon(id: number): boolean {
    const ahead = (providers.get(meterUseOf(id)) ?? []).filter(({ isPutAhead }) => isPutAhead);
    return ahead.some((provider) => provider.wanted(id) !== undefined);
  }

  /** Notes what the flows under these keys name now, and returns what they named before. */
  function renamed(keys: Iterable<string>, flows: ReadonlyMap<string, Flow>): readonly number[] {
    const earlier: number[] = [];
    for (const key of keys) {
      earlier.push(...(named.get(key) ?? []));
      const flow = flows.get(key);
      const ids = flow === undefined ? [] : metersOf([flow]);
      if (ids.length > 0) named.set(key, ids);
      else named.delete(key);
    }
    return earlier;
  }

  async function removeNow(candidates: Iterable<number>, signal: AbortSignal): Promise<void> {
    const namedIds = new Set([...named.values()].flat());
    const ids = [...candidates].filter((id) => present.has(id) && !namedIds.has(id) && !mayBeNamedSoon(id));
    if (ids.length === 0) return;
    for (const id of ids) present.delete(id);
    const mods: MeterMod[] = ids.map((id) => ({ kind: "meter-delete", id }));
    await options.connection().meterMods(mods, { signal });
  }

  return {
    provide: (use, source, { isPutAhead } = { isPutAhead: false }) => {
      providers.set(use, [...(providers.get(use) ?? []), { wanted: source, isPutAhead }]);
    },
    prepare: async (flows, signal) => {
      const meters = metersOf(flows).flatMap((id) => wanted(id) ?? []);
      if (meters.length === 0) return NONE_REFUSED;
      return inTurn(async () => {
        try {
          await putTwice(meters, signal);
          return NONE_REFUSED;
        } catch (error) {
          if (!isRefusal(error)) throw error;
          return refusedOf(meters, error);
        }
      });
    },
    settle: async ({ put, remove }, signal) => {
      const earlier = new Set([...renamed(remove, put), ...renamed(put.keys(), put)]);
      if (earlier.size > 0) await inTurn(() => removeNow(earlier, signal));
    },
    settleAll: async (flows, signal) => {
      named.clear();
      renamed(flows.keys(), flows);
      if (present.size > 0) await inTurn(() => removeNow(present.keys(), signal));
    },
    put: async (meters, signal) => {
      if (meters.length > 0) await inTurn(() => putTwice(meters, signal));
    },
    refresh: (signal) =>
      inTurn(async () => {
        present = await readMeters(options, signal);
      }),
  };
}

function isRefusal(error: unknown): error is NetError {
  return error instanceof NetError && error.code === "REJECTED";
}

async function readMeters({ connection }: MeterKeeperOptions, signal: AbortSignal): Promise<Map<number, Meter>> {
  const meters = await connection().dumpMeters({ signal });
  return new Map(meters.map((meter) => [meter.id, meter]));
}

/** Numbers of the meters that flows name. */
export function metersOf(flows: Iterable<Flow>): readonly number[] {
  const ids = new Set<number>();
  for (const { meter, actions } of flows) {
    if (meter !== undefined) ids.add(meter);
    addMeters(actions, ids);
  }
  return [...ids];
}

function addMeters(actions: readonly Action[], ids: Set<number>): void {
  for (const action of actions) {
    if (action.kind === "meter") ids.add(action.meter);
    if (action.kind === "controller" && action.meter !== undefined) ids.add(action.meter);
    if (action.kind === "clone") addMeters(action.actions, ids);
  }
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
