import {
  type Attribute,
  type AttributeMap,
  bytes,
  listAttributes,
  nested,
  payloadOf,
  readAttributes,
  readNested,
  readText,
  readU64,
  text,
  u64,
} from "./attributes.ts";
import {
  bytesToTicks,
  checkRate,
  checkSize,
  needsRate64,
  readRate,
  ticksToBytes,
  writeRate,
} from "./traffic-control.ts";

/** What a filter does with a packet that it matches. */
export type Action =
  /** Sends it out of another link (an ifb takes it in as if it came from there). */
  | { readonly kind: "redirect"; readonly toIfindex: number }
  /** Drops what exceeds the rate; the rest goes on. */
  | { readonly kind: "police"; readonly rateBytesPerSecond: number; readonly burstBytes: number };

/** An action as the kernel tells it. */
export type ActionRow = Action | { readonly kind: "other"; readonly name: string };

// linux/pkt_cls.h, linux/tc_act/tc_mirred.h
const TCA_ACT_KIND = 1;
const TCA_ACT_OPTIONS = 2;
const TCA_MIRRED_PARMS = 2;
const TCA_EGRESS_REDIR = 1;
const TC_ACT_SHOT = 2;
const TC_ACT_STOLEN = 4;
const TC_ACT_PIPE = 3;
const TCA_POLICE_TBF = 1;
const TCA_POLICE_RATE = 2;
const TCA_POLICE_RESULT = 5;
const TCA_POLICE_RATE64 = 8;
const MIRRED_BYTES = 28;
const POLICE_BYTES = 56;
const RATE_CELLS = 256;
/** Cells of 256 bytes: 256 of them reach to 64 KiB, as Open vSwitch makes it. */
const RATE_CELL_LOG = 8;
/** Beyond the longest GSO frame (8 × 65535); with 0 the kernel drops whatever the rate table does not cover. */
const POLICE_MTU_BYTES = 1024 * 1024;

/** The list of actions of a filter, in order of execution, for the classifier's own attribute type. */
export function actionsAttribute(type: number, actions: readonly Action[]): Attribute {
  return nested(
    type,
    actions.map((action, index) => nested(index + 1, actionAttributes(action))),
  );
}

/** Reads a list of actions. */
export function readActions(payload: Buffer | undefined): readonly ActionRow[] {
  if (payload === undefined) return [];
  return listAttributes(payload).map(([, action]) => readAction(readAttributes(action)));
}

/** Reads the options of a police action; old classifiers carry them without the list around. */
export function readPolice(options: AttributeMap): Extract<Action, { kind: "police" }> | undefined {
  const police = payloadOf(options, TCA_POLICE_TBF, POLICE_BYTES);
  if (police === undefined) return undefined;
  const rateBytesPerSecond = readRate(police.subarray(20), readU64(options, TCA_POLICE_RATE64));
  return {
    kind: "police",
    rateBytesPerSecond,
    burstBytes: ticksToBytes(police.readUInt32LE(12), rateBytesPerSecond),
  };
}

function actionAttributes(action: Action): readonly Attribute[] {
  switch (action.kind) {
    case "redirect":
      return [text(TCA_ACT_KIND, "mirred"), nested(TCA_ACT_OPTIONS, [bytes(TCA_MIRRED_PARMS, redirect(action))])];
    case "police":
      return [text(TCA_ACT_KIND, "police"), nested(TCA_ACT_OPTIONS, policeAttributes(action))];
  }
}

/** struct tc_mirred: u32 index, capabilities, s32 action, refcnt, bindcnt, s32 eaction, u32 ifindex. */
function redirect({ toIfindex }: Extract<Action, { kind: "redirect" }>): Buffer {
  const parameters = Buffer.alloc(MIRRED_BYTES);
  parameters.writeInt32LE(TC_ACT_STOLEN, 8);
  parameters.writeInt32LE(TCA_EGRESS_REDIR, 20);
  parameters.writeUInt32LE(toIfindex, 24);
  return parameters;
}

/**
 * struct tc_police: u32 index, s32 action, u32 limit, burst (ticks), mtu; ratespec rate, peakrate; s32 refcnt,
 * bindcnt; u32 capabilities. The kernel refuses a rate without a table of 256 transmission times beside it.
 */
function policeAttributes(action: Extract<Action, { kind: "police" }>): readonly Attribute[] {
  const { rateBytesPerSecond, burstBytes } = action;
  checkRate(rateBytesPerSecond);
  checkSize("burst", burstBytes);
  const parameters = Buffer.alloc(POLICE_BYTES);
  parameters.writeInt32LE(TC_ACT_SHOT, 4);
  parameters.writeUInt32LE(bytesToTicks(burstBytes, rateBytesPerSecond), 12);
  parameters.writeUInt32LE(POLICE_MTU_BYTES, 16);
  writeRate(parameters.subarray(20), rateBytesPerSecond, RATE_CELL_LOG);
  const result = Buffer.alloc(4);
  result.writeInt32LE(TC_ACT_PIPE);
  return [
    bytes(TCA_POLICE_TBF, parameters),
    bytes(TCA_POLICE_RATE, rateTable(rateBytesPerSecond)),
    bytes(TCA_POLICE_RESULT, result),
    ...(needsRate64(rateBytesPerSecond) ? [u64(TCA_POLICE_RATE64, BigInt(rateBytesPerSecond))] : []),
  ];
}

function rateTable(rateBytesPerSecond: number): Buffer {
  const table = Buffer.alloc(RATE_CELLS * 4);
  for (let cell = 0; cell < RATE_CELLS; cell++) {
    table.writeUInt32LE(bytesToTicks((cell + 1) << RATE_CELL_LOG, rateBytesPerSecond), cell * 4);
  }
  return table;
}

function readAction(attributes: AttributeMap): ActionRow {
  const name = readText(attributes, TCA_ACT_KIND) ?? "";
  const options = readNested(attributes, TCA_ACT_OPTIONS);
  const known = name === "mirred" ? readRedirect(options) : name === "police" ? readPolice(options) : undefined;
  return known ?? { kind: "other", name };
}

function readRedirect(options: AttributeMap): ActionRow | undefined {
  const parameters = payloadOf(options, TCA_MIRRED_PARMS, MIRRED_BYTES);
  if (parameters?.readInt32LE(20) !== TCA_EGRESS_REDIR) return undefined;
  return { kind: "redirect", toIfindex: parameters.readUInt32LE(24) };
}
