import { NetError } from "../../../state/errors.ts";
import type { CallOptions, Limit } from "../../../state/waiting/limit.ts";
import { nextTurn } from "../../../state/waiting/pause.ts";
import { checked } from "./action-wire.ts";
import { putU16, putU32, putZeros, type Writer } from "./bytes.ts";
import { type Channel, post, takeXids } from "./channel.ts";
import { rejected, type SwitchError } from "./error-codec.ts";
import { type Burst, barrier, openBurst, request, sendBurst, throwFirst } from "./exchange.ts";
import { putFlowMod } from "./flow-codec.ts";
import type { FlowMod } from "./flow-mod.ts";
import type { GroupMod } from "./group.ts";
import { putGroupMod } from "./group-codec.ts";
import { OFPT, putMessage } from "./message.ts";
import type { MeterMod } from "./meter.ts";
import { putMeterMod } from "./meter-codec.ts";
import { formatMod } from "./text.ts";

export interface BundleOptions extends CallOptions {
  /** All or nothing, and packets see either the old or the new tables; true when absent. */
  readonly atomic?: boolean;
  /** Applied in the order given; true when absent. */
  readonly ordered?: boolean;
}

/** openflow-1.4.h, enum ofp14_bundle_ctrl_type: requests; the reply has the next number. */
const CONTROL = { open: 0, commit: 4, discard: 6 } as const;
/** openflow-1.4.h, enum ofp14_bundle_flags. */
const ATOMIC = 1;
const ORDERED = 2;

interface Bundle {
  readonly id: number;
  readonly flags: number;
}

/** openflow-1.4.h, struct ofp14_bundle_ctrl_msg. */
export function putControl(writer: Writer, bundle: Bundle, type: number): void {
  putU32(writer, bundle.id);
  putU16(writer, type);
  putU16(writer, bundle.flags);
}

async function control(channel: Channel, bundle: Bundle, type: number, limit: Limit): Promise<void> {
  const putBody = (writer: Writer) => putControl(writer, bundle, type);
  await request(channel, { type: OFPT.bundleControl, replyType: OFPT.bundleControl, putBody }, limit);
}

/** Writes one modification as a message of its own. */
function putMod(writer: Writer, mod: FlowMod | GroupMod | MeterMod, xid: number): void {
  if (mod.kind.startsWith("flow")) putMessage(writer, OFPT.flowMod, xid, (out) => putFlowMod(out, mod as FlowMod));
  else if (mod.kind.startsWith("group")) {
    putMessage(writer, OFPT.groupMod, xid, (out) => putGroupMod(out, mod as GroupMod));
  } else putMessage(writer, OFPT.meterMod, xid, (out) => putMeterMod(out, mod as MeterMod));
}

/** openflow-1.4.h, struct ofp14_bundle_ctrl_msg of bundle-add: id, padding, flags, and the message under the same xid. */
export function putAdd(writer: Writer, bundle: Bundle, mod: FlowMod | GroupMod, xid: number): void {
  putMessage(writer, OFPT.bundleAdd, xid, (out) => {
    putU32(out, checked(bundle.id, 32, "bundle id"));
    putZeros(out, 2);
    putU16(out, bundle.flags);
    putMod(out, mod, xid);
  });
}

/** Applies all modifications as one; when anything is refused nothing is applied, and the first refusal is thrown. */
export async function runBundle(
  channel: Channel,
  mods: readonly (FlowMod | GroupMod)[],
  options: BundleOptions,
  limit: Limit,
): Promise<void> {
  using bundle = openBundle(channel, options);
  for (const mod of mods) {
    bundle.add(mod);
    if (bundle.isFull) await bundle.room(limit);
  }
  for (const { index, reason } of await bundle.commit(limit)) {
    throw rejected(`${limit.doing}: message ${index} (${formatMod(modAt(mods, index))})`, reason);
  }
}

/** A message of a bundle that the switch does not take, by its number. */
export interface Refusal {
  readonly index: number;
  readonly reason: SwitchError;
}

/**
 * A bundle on its way: what is added goes to the switch while more is being computed. Nothing of it has an effect before `commit`;
 * disposed of without it, the switch forgets it.
 */
export interface OpenBundle extends Disposable {
  add(mod: FlowMod | GroupMod): void;
  /** A chunk is ready to be sent: `room` should be awaited before much more is added. */
  readonly isFull: boolean;
  /** Sends what has been added, and waits while the switch is too far behind; others have their turn. */
  room(limit: Limit): Promise<void>;
  /**
   * A barrier (a refused message would otherwise leave a bundle without it), then the commit. Says what the switch has refused, as far as
   * it tells: the messages that it cannot read, or else the first one that it cannot carry out. Then nothing is applied.
   */
  commit(limit: Limit): Promise<readonly Refusal[]>;
}

export function openBundle(channel: Channel, options: Omit<BundleOptions, keyof CallOptions> = {}): OpenBundle {
  const flags = (options.atomic === false ? 0 : ATOMIC) | (options.ordered === false ? 0 : ORDERED);
  const bundle = { id: takeXids(channel, 1), flags };
  const burst = openBurst(channel);
  let opened: Promise<void> | undefined;
  let isDone = false;

  function open(limit: Limit): void {
    opened = control(channel, bundle, CONTROL.open, limit);
    opened.catch(() => {}); // awaited by `commit`, when the messages are on their way
  }

  return {
    add: (mod) => burst.put((writer, xid) => putAdd(writer, bundle, mod, xid)),
    get isFull() {
      return burst.isFull;
    },
    room: async (limit) => {
      if (opened === undefined) open(limit);
      await burst.send(limit);
      await nextTurn();
    },
    commit: async (limit) => {
      if (burst.count === 0) return [];
      channel.socket.cork(); // a small bundle is one write, and wakes the switch once
      if (opened === undefined) open(limit);
      const sent = burst.send(limit);
      const passed = barrier(channel, limit); // right behind them: its answer comes after all their errors
      channel.socket.uncork();
      passed.catch(() => {});
      await sent;
      await opened;
      await passed;
      if (burst.errors.size === 0) isDone = await commit(channel, bundle, burst, limit);
      return [...burst.errors].map(([index, reason]) => ({ index, reason }));
    },
    [Symbol.dispose]: () => {
      burst[Symbol.dispose]();
      if (opened !== undefined && !isDone) discard(channel, bundle);
    },
  };
}

/** False when a message of the bundle is to blame. */
async function commit(
  channel: Channel,
  bundle: Bundle,
  { errors }: Pick<Burst, "errors">,
  limit: Limit,
): Promise<boolean> {
  try {
    await control(channel, bundle, CONTROL.commit, limit);
    return true;
  } catch (error) {
    if (errors.size === 0) throw error;
    return false;
  }
}

/** Nobody waits for the answer: the switch also forgets a bundle by itself when it stays idle. */
function discard(channel: Channel, bundle: Bundle): void {
  const xid = takeXids(channel, 1);
  post(channel, OFPT.bundleControl, xid, (writer) => putControl(writer, bundle, CONTROL.discard));
}

function modAt<M>(mods: readonly M[], index: number): M {
  const mod = mods[index];
  if (mod === undefined) throw new NetError("INTERNAL", `Cannot find message ${index} of ${mods.length}`);
  return mod;
}

/** Sends modifications one by one, then a barrier. Those that are not refused are applied; the first refused one is thrown. */
export async function runMods(
  channel: Channel,
  mods: readonly (FlowMod | GroupMod | MeterMod)[],
  limit: Limit,
): Promise<void> {
  using burst = await sendBurst(channel, mods.length, (out, at, xid) => putMod(out, modAt(mods, at), xid), limit);
  await barrier(channel, limit);
  throwFirst(burst.errors, limit.doing, (index) => formatMod(modAt(mods, index)));
}
