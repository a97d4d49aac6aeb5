import { NetError } from "../../../state/errors.ts";
import { checked } from "./action-wire.ts";
import { putU16, putU32, putZeros, type Writer } from "./bytes.ts";
import { type Channel, post, takeXids } from "./channel.ts";
import { rejected } from "./error-codec.ts";
import { type Burst, barrier, request, sendBurst, throwFirst } from "./exchange.ts";
import type { FlowMod } from "./flow.ts";
import { putFlowMod } from "./flow-codec.ts";
import type { GroupMod } from "./group.ts";
import { putGroupMod } from "./group-codec.ts";
import type { CallOptions, Limit } from "./limit.ts";
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

/** A message of a bundle that the switch does not take, by its place. */
export interface Refusal {
  readonly index: number;
  readonly error: NetError;
}

/** Applies all modifications as one; when anything is refused nothing is applied, and the first refusal is thrown. */
export async function runBundle(
  channel: Channel,
  mods: readonly (FlowMod | GroupMod)[],
  options: BundleOptions,
  limit: Limit,
): Promise<void> {
  for (const { error } of await offerBundle(channel, mods, options, limit)) throw error;
}

/**
 * Offers all modifications as one: open, add each, barrier (a refused "add" would otherwise leave a bundle without that message),
 * commit. Says what the switch has refused, as far as it tells: the messages that it cannot read, or else the first one that it cannot
 * carry out. Then nothing is applied.
 */
export async function offerBundle(
  channel: Channel,
  mods: readonly (FlowMod | GroupMod)[],
  options: BundleOptions,
  limit: Limit,
): Promise<readonly Refusal[]> {
  const flags = (options.atomic === false ? 0 : ATOMIC) | (options.ordered === false ? 0 : ORDERED);
  const bundle = { id: takeXids(channel, 1), flags };
  let isDone = false;
  try {
    const opened = control(channel, bundle, CONTROL.open, limit);
    opened.catch(() => {}); // awaited below, after the messages are on their way
    using burst = await sendBurst(
      channel,
      mods.length,
      (out, at, xid) => putAdd(out, bundle, modAt(mods, at), xid),
      limit,
    );
    const passed = barrier(channel, limit); // right behind them: its answer comes after all their errors
    passed.catch(() => {});
    await opened;
    await passed;
    if (burst.errors.size === 0) isDone = await commit(channel, bundle, burst, limit);
    return refusalsOf(burst, mods, limit);
  } finally {
    if (!isDone) discard(channel, bundle);
  }
}

/** False when a message of the bundle is to blame. */
async function commit(channel: Channel, bundle: Bundle, burst: Burst, limit: Limit): Promise<boolean> {
  try {
    await control(channel, bundle, CONTROL.commit, limit);
    return true;
  } catch (error) {
    if (burst.errors.size === 0) throw error;
    return false;
  }
}

function refusalsOf({ errors }: Burst, mods: readonly (FlowMod | GroupMod)[], { doing }: Limit): Refusal[] {
  return [...errors].map(([index, error]) => {
    return { index, error: rejected(`${doing}: message ${index} (${formatMod(modAt(mods, index))})`, error) };
  });
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
