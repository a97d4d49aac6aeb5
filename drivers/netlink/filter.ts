import { type Action, type ActionRow, actionsAttribute, readActions, readPolice } from "./action.ts";
import {
  type Attribute,
  type AttributeMap,
  bytes,
  encodeBody,
  nested,
  readAttributes,
  readNested,
  readText,
  text,
} from "./attributes.ts";
import { type Message, NLM_F_CREATE, NLM_F_EXCL, type Query } from "./message.ts";
import {
  encodeTcHeader,
  RTM_DELTFILTER,
  RTM_GETTFILTER,
  RTM_NEWTFILTER,
  readTcHeader,
  TC_H_INGRESS_FILTERS,
  TCA_KIND,
  TCA_OPTIONS,
  TCMSG_BYTES,
} from "./traffic-control.ts";

/**
 * Classifiers that can match every packet. u32 is the oldest and most common; kernels may lack the others (ENOENT,
 * "TC classifier not found"). Open vSwitch polices with matchall, or with basic on old kernels.
 */
export type Classifier = "u32" | "matchall" | "basic";

export interface FilterPlace {
  readonly ifindex: number;
  /** Incoming traffic below an ingress qdisc by default. */
  readonly parent?: number;
  /** 1 to 65535, smaller first. */
  readonly priority?: number;
}

export interface FilterRow {
  readonly ifindex: number;
  readonly parent: number;
  readonly handle: number;
  readonly priority: number;
  /** EtherType; 3 (ETH_P_ALL) matches all. */
  readonly protocol: number;
  readonly kind: string;
  readonly actions: readonly ActionRow[];
}

const ETH_P_ALL = 0x0003; // linux/if_ether.h
const PRIORITY_DEFAULT = 1;
const U32_TERMINAL = 1; // linux/pkt_cls.h TC_U32_TERMINAL
const TCA_U32_SEL = 5;

/** Attribute types of each classifier, linux/pkt_cls.h. */
const CLASSIFIERS = {
  u32: { actions: 7, police: 6 },
  matchall: { actions: 2, police: undefined },
  basic: { actions: 3, police: 4 },
} as const;

/** Does `actions` with every packet at that place. EEXIST when the place has a filter of that priority. */
export function addMatchAll(kind: Classifier, place: FilterPlace, actions: readonly Action[]): Message {
  const { ifindex, parent = TC_H_INGRESS_FILTERS, priority = PRIORITY_DEFAULT } = place;
  const header = encodeTcHeader({ ifindex, handle: 0, parent, info: filterInfo(priority) });
  const options = [...selector(kind), actionsAttribute(CLASSIFIERS[kind].actions, actions)];
  return {
    deed: `add a ${kind} filter to link #${ifindex}`,
    type: RTM_NEWTFILTER,
    flags: NLM_F_CREATE | NLM_F_EXCL,
    body: encodeBody(header, [text(TCA_KIND, kind), nested(TCA_OPTIONS, options)]),
  };
}

/** Deletes the filters of a priority at a place, or all of the place when no priority is given. */
export function deleteFilters({ ifindex, parent = TC_H_INGRESS_FILTERS, priority }: FilterPlace): Message {
  const info = priority === undefined ? 0 : filterInfo(priority);
  const body = encodeTcHeader({ ifindex, handle: 0, parent, info });
  return { deed: `delete filters of link #${ifindex}`, type: RTM_DELTFILTER, flags: 0, body };
}

/** The filters at one place of one link. */
export function dumpFilters({
  ifindex,
  parent = TC_H_INGRESS_FILTERS,
}: Omit<FilterPlace, "priority">): Query<FilterRow> {
  const body = encodeTcHeader({ ifindex, handle: 0, parent, info: 0 });
  const message = { deed: `list filters of link #${ifindex}`, type: RTM_GETTFILTER, flags: 0, body };
  return { message, answerType: RTM_NEWTFILTER, decode: readFilter };
}

/** Decodes the body of RTM_NEWTFILTER; `undefined` for the hash tables of u32, which match nothing themselves. */
export function readFilter(body: Buffer): FilterRow | undefined {
  const { ifindex, parent, handle, info } = readTcHeader(body);
  const attributes = readAttributes(body, TCMSG_BYTES);
  const kind = readText(attributes, TCA_KIND) ?? "";
  const options = readNested(attributes, TCA_OPTIONS);
  if (kind === "u32" && !options.has(TCA_U32_SEL)) return undefined;
  return {
    ifindex,
    parent,
    handle,
    priority: info >>> 16,
    protocol: swap16(info & 0xffff),
    kind,
    actions: actionsOf(kind, options),
  };
}

/** struct tc_u32_sel of 16 bytes and one key of 16 bytes that masks everything away, so that all packets match. */
function selector(kind: Classifier): readonly Attribute[] {
  if (kind !== "u32") return [];
  const sel = Buffer.alloc(32);
  sel.writeUInt8(U32_TERMINAL, 0);
  sel.writeUInt8(1, 2); // keys
  return [bytes(TCA_U32_SEL, sel)];
}

/** tcm_info of a filter: priority, and the protocol in network order. */
function filterInfo(priority: number): number {
  return ((priority << 16) | swap16(ETH_P_ALL)) >>> 0;
}

function swap16(value: number): number {
  return ((value & 0xff) << 8) | (value >>> 8);
}

function actionsOf(kind: string, options: AttributeMap): readonly ActionRow[] {
  if (!isClassifier(kind)) return [];
  const { actions, police } = CLASSIFIERS[kind];
  const old = police === undefined ? undefined : readPolice(readNested(options, police));
  return [...(old === undefined ? [] : [old]), ...readActions(options.get(actions))];
}

function isClassifier(kind: string): kind is Classifier {
  return kind in CLASSIFIERS;
}
