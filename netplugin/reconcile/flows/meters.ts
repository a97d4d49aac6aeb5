import type { Action } from "../../../drivers/ovs/openflow/action.ts";
import type { SwitchConnection } from "../../../drivers/ovs/openflow/connection.ts";
import type { Flow } from "../../../drivers/ovs/openflow/flow.ts";
import type { Meter, MeterMod } from "../../../drivers/ovs/openflow/meter.ts";
import { NetError } from "../../../state/errors.ts";
import type { WantedMeters } from "../../desired/flow-set/wanted-meters.ts";

export interface MeterKeeperOptions {
  readonly connection: () => Pick<SwitchConnection, "meterMods" | "dumpMeters">;
  /** Asked anew for each piece of work. */
  readonly wanted: () => WantedMeters;
}

/**
 * The meters of the integration bridge: all are ours. They cannot be part of a bundle, so they are made before the flows that name
 * them and deleted after those have gone (deleting a meter deletes its flows): when no flow names them any more; those that are put ahead
 * of their flows, when they are not wanted either.
 */
export interface MeterKeeper {
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

export function createMeterKeeper(options: MeterKeeperOptions): MeterKeeper {
  return new Keeper(options);
}

class Keeper implements MeterKeeper {
  readonly #options: MeterKeeperOptions;
  #present = new Map<number, Meter>();
  /** Meters that installed flows name, by their keys: few flows name one. */
  readonly #named = new Map<string, readonly number[]>();
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: MeterKeeperOptions) {
    this.#options = options;
  }

  async prepare(flows: Iterable<Flow>, signal: AbortSignal): Promise<RefusedMeters> {
    const wanted = this.#options.wanted();
    const meters = metersOf(flows).flatMap((id) => wanted.meterOf(id) ?? []);
    if (meters.length === 0) return NONE_REFUSED;
    return this.#inTurn(async () => {
      try {
        await this.#putTwice(meters, signal);
        return NONE_REFUSED;
      } catch (error) {
        if (!isRefusal(error)) throw error;
        return this.#refusedOf(meters, error);
      }
    });
  }

  async settle({ put, remove }: SettledFlows, signal: AbortSignal): Promise<void> {
    const earlier = new Set([...this.#rename(remove, put), ...this.#rename(put.keys(), put)]);
    if (earlier.size > 0) await this.#inTurn(() => this.#removeNow(earlier, signal));
  }

  async settleAll(flows: ReadonlyMap<string, Flow>, signal: AbortSignal): Promise<void> {
    this.#named.clear();
    this.#rename(flows.keys(), flows);
    if (this.#present.size > 0) await this.#inTurn(() => this.#removeNow(this.#present.keys(), signal));
  }

  async put(meters: readonly Meter[], signal: AbortSignal): Promise<void> {
    if (meters.length > 0) await this.#inTurn(() => this.#putTwice(meters, signal));
  }

  refresh(signal: AbortSignal): Promise<void> {
    return this.#inTurn(() => this.#read(signal));
  }

  /** One after the other: two callers must not both make a meter. Each ends within the connection's deadline. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work, work);
    this.#last = turn.catch(() => undefined);
    return turn;
  }

  /** A first refusal may come of not knowing what the switch has: after it, that is known. */
  async #putTwice(meters: readonly Meter[], signal: AbortSignal): Promise<void> {
    try {
      await this.#putNow(meters, signal);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      await this.#putNow(meters, signal);
    }
  }

  async #putNow(meters: readonly Meter[], signal: AbortSignal): Promise<void> {
    const mods: MeterMod[] = [];
    for (const meter of meters) {
      const before = this.#present.get(meter.id);
      if (before !== undefined && isSameMeter(before, meter)) continue;
      mods.push({ kind: before === undefined ? "meter-add" : "meter-modify", meter });
    }
    if (mods.length === 0) return;
    try {
      await this.#options.connection().meterMods(mods, { signal });
      for (const meter of meters) this.#present.set(meter.id, meter);
    } catch (error) {
      await this.#read(signal); // another may have made or deleted some
      throw error;
    }
  }

  async #read(signal: AbortSignal): Promise<void> {
    const meters = await this.#options.connection().dumpMeters({ signal });
    this.#present = new Map(meters.map((meter) => [meter.id, meter]));
  }

  /** Every meter that the switch could take, it has taken; the others share the reason of the first. */
  #refusedOf(meters: readonly Meter[], error: NetError): RefusedMeters {
    const refused = meters.filter((meter) => {
      const taken = this.#present.get(meter.id);
      return taken === undefined || !isSameMeter(taken, meter);
    });
    return new Map(refused.map(({ id }) => [id, error]));
  }

  /** Notes what the flows under these keys name now, and returns what they named before. */
  #rename(keys: Iterable<string>, flows: ReadonlyMap<string, Flow>): readonly number[] {
    const earlier: number[] = [];
    for (const key of keys) {
      earlier.push(...(this.#named.get(key) ?? []));
      const flow = flows.get(key);
      const ids = flow === undefined ? [] : metersOf([flow]);
      if (ids.length > 0) this.#named.set(key, ids);
      else this.#named.delete(key);
    }
    return earlier;
  }

  async #removeNow(candidates: Iterable<number>, signal: AbortSignal): Promise<void> {
    const namedIds = new Set([...this.#named.values()].flat());
    const unnamed = [...candidates].filter((id) => this.#present.has(id) && !namedIds.has(id));
    if (unnamed.length === 0) return;
    const wanted = this.#options.wanted();
    const ids = unnamed.filter((id) => !wanted.isPutAhead(id));
    if (ids.length === 0) return;
    for (const id of ids) this.#present.delete(id);
    const mods: MeterMod[] = ids.map((id) => ({ kind: "meter-delete", id }));
    await this.#options.connection().meterMods(mods, { signal });
  }
}

function isRefusal(error: unknown): error is NetError {
  return error instanceof NetError && error.code === "REJECTED";
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
