import type { Action } from "../../../drivers/ovs/openflow/action.ts";
import type { Maskable } from "../../../drivers/ovs/openflow/values.ts";
import type { Rule } from "../../../state/kinds/rule.ts";

/** Tables of the integration bridge; docs/pipeline.md is their map. 30 to 75 are the policy engine's: what no policy concerns passes from 30 to 80. */
export const Table = {
  classify: 0,
  tunnel: 5,
  antiSpoofing: 10,
  contents: 12,
  neighbourLimit: 13,
  sourceGroup: 15,
  neighbour: 20,
  answer: 21,
  answerOption: 22,
  conntrack: 30,
  connection: 31,
  track: 32,
  errorSource: 33,
  destinationGroup: 40,
  outLog: 45,
  outRules: 50,
  receiver: 55,
  inLog: 58,
  inRules: 60,
  commit: 70,
  newConnections: 71,
  denied: 75,
  route: 80,
  switch: 90,
  output: 100,
} as const;

/** Registers that live from table to table. `answerMac` is the pair reg8 (upper half) and reg9. */
export const Register = {
  networkId: "reg0",
  sourceGroupId: "reg1",
  destinationGroupId: "reg2",
  tenantId: "reg3",
  flags: "reg4",
  outputPort: "reg5",
  /** VLAN id of the tag that a frame from an uplink came with. */
  uplinkVlan: "reg6",
  /** What an answer is made of: the flags of a neighbour advertisement (RFC 4861 §4.4), and the address asked for. */
  answerFlags: "reg7",
  answerMac: "xreg4",
  /** Used within one action list only. */
  scratch: "reg10",
  /** Number of the set of policies that the rule table is asked for (policy-scope.ts); 0 = none. */
  ruleset: "reg11",
  /** Conntrack zone, lower 16 bits. */
  zone: "reg12",
  /** Two words of addresses that table 33 compares, and how far it is. */
  comparedLeft: "reg8",
  comparedRight: "reg9",
  compareStep: "reg13",
  /** What the log rules of the sender and of the receiver say of the packet: `LogMark`. */
  outLog: "reg14",
  inLog: "reg15",
} as const;

/** Bits of `Register.flags`: where the packet came from (exactly one of the first four), and what has happened to it. */
export const Flag = {
  fromPod: 1 << 0,
  fromTunnel: 1 << 1,
  fromUplink: 1 << 2,
  fromHost: 1 << 3,
  /** The distributed gateway has routed it. */
  routed: 1 << 8,
  /** A copy of a flooded packet on its way to one pod: only that pod's in-rules are still to be asked. */
  delivering: 1 << 9,
  /** A message to neighbours that is longer than any such message needs to be. */
  oversized: 1 << 10,
} as const;

/** Priorities by table: the higher wins. A table without a name here has one priority, `Priority.miss`. */
export const Priority = {
  /** Passes on (or drops) what nothing else in the table names. */
  miss: 0,
  classify: { port: 100, tunnelSource: 100, vlan: 100, vni: 100 },
  antiSpoofing: {
    unreadable: 300,
    routerMessage: 200,
    pod: 100,
    reflected: 100,
    discovery: 30,
    badDiscovery: 20,
    remote: 10,
  },
  contents: { unreadable: 200, own: 100, forbidden: 50 },
  neighbourLimit: { oversized: 200, metered: 100 },
  neighbour: { ownAddress: 200, duplicateDetection: 200, answer: 100, knownSource: 50, unknownSource: 10 },
  answer: { message: 100 },
  sourceGroup: { member: 100 },
  conntrack: { neighbourDiscovery: 300, closed: 200, sender: 100, receiver: 90 },
  connection: {
    untracked: 110,
    invalid: 100,
    blocked: 90,
    hostError: 85,
    reply: 80,
    routerError: 75,
    related: 70,
    noOutRules: 20,
  },
  track: { unruledFragment: 110, fragment: 100 },
  errorSource: { wordDone: 200, nibble: 100 },
  destinationGroup: { member: 100 },
  /** Rules: `rulePriority`. */
  rules: { neighbourDiscovery: 3_000, lowest: 1_000 },
  receiver: { endpoint: 100 },
  commit: {
    logged: 400,
    delivering: 300,
    group: 200,
    unblock: 150,
    opening: 100,
    tcp: 80,
    other: 70,
  },
  newConnections: { limited: 100, other: 10 },
  denied: { logged: 200, established: 100 },
  route: { invalid: 400, gatewayEcho: 300, linkLocal: 200, endpoint: 100, unroutable: 10 },
  /** The group flow (broadcast and multicast) is below endpoints only for order's sake: their MACs are unicast. */
  switch: { endpoint: 100, group: 50, routedUnknown: 30, unknown: 20 },
  output: { ceiling: 100 },
} as const;

/** The gateway's MAC address towards pods, the same on every node (Contiv's). */
export const GATEWAY_MAC = "00:00:11:11:11:11";

/** Generation of the flow set that this release writes; part of every cookie. Raise it when tables or registers change their meaning. */
export const PIPELINE_GENERATION = 2;

/** Upper 16 bits of the cookie of every flow that is ours. */
export const COOKIE_MAGIC = 0xc017n;
const COOKIE_MAGIC_SHIFT = 48n;
const COOKIE_GENERATION_SHIFT = 32n;

/** Cookie and mask that select every flow of ours, of any generation and owner. */
export const COOKIE_OURS = { cookie: COOKIE_MAGIC << COOKIE_MAGIC_SHIFT, mask: 0xffffn << COOKIE_MAGIC_SHIFT } as const;

export interface CookieParts {
  readonly generation: number;
  readonly ownerId: number;
}

/** Magic (16 bits), generation (16), owner (32). */
export function cookieOf(parts: CookieParts): bigint {
  const generation = BigInt(parts.generation & 0xffff) << COOKIE_GENERATION_SHIFT;
  return COOKIE_OURS.cookie | generation | BigInt(parts.ownerId >>> 0);
}

/** Undefined when the cookie is not ours. */
export function parseCookie(cookie: bigint): CookieParts | undefined {
  if ((cookie & COOKIE_OURS.mask) !== COOKIE_OURS.cookie) return undefined;
  return { generation: Number((cookie >> COOKIE_GENERATION_SHIFT) & 0xffffn), ownerId: Number(cookie & 0xffffffffn) };
}

/** Bits of `Register.outLog` and `Register.inLog`; below them the rule's number without its kind (`ownerIdOf`). */
export const LogMark = {
  /** A log rule matches: the packet is to be told of. */
  logged: 0x80000000,
  /** The rules of this side are asked on this node. */
  asked: 0x40000000,
  rule: 0x0fffffff,
} as const;

/** Priority of a rule's flows: higher rule priorities first, deny before allow among equals. */
export function rulePriority(priority: number, action: Rule["action"]): number {
  return Priority.rules.lowest + priority * 2 + (action === "deny" ? 1 : 0);
}

/** Bits of a connection's mark. */
export const ConnectionMark = {
  /** The rules deny it by now: neither direction passes. */
  blocked: 1 << 0,
} as const;

/** Kinds of owner, in the upper 4 bits of the owner's number; 8 to 15 are free. */
const OWNER_KIND_IDS: Readonly<Record<string, number>> = { base: 0, network: 1, node: 2, endpoint: 3, rule: 4 };
const OWNER_KIND_UNNAMED = 15;

/**
 * Number of an owner (`endpoint/<key>`, `rule/<key>`, `network/<key>`, `node/<key>`, `base/`): its kind in 4 bits, a hash of its name in 28
 * (FNV-1a). It names a flow for people; two owners may share a number, so nothing is ever deleted by it.
 */
export function ownerIdOf(owner: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < owner.length; index++) {
    hash = Math.imul(hash ^ owner.charCodeAt(index), 0x01000193);
  }
  const kindId = OWNER_KIND_IDS[owner.slice(0, owner.indexOf("/"))] ?? OWNER_KIND_UNNAMED;
  return ((kindId << 28) | ((hash ^ (hash >>> 28)) & 0x0fffffff)) >>> 0;
}

/** Matches packets that have all of these flags. */
export function hasFlags(flags: number): Maskable<number> {
  return { value: flags, mask: flags };
}

/** Matches packets that have none of these flags. */
export function lacksFlags(flags: number): Maskable<number> {
  return { value: 0, mask: flags };
}

/** Raises flags and leaves the others. */
export function raiseFlags(flags: number): Action {
  return { kind: "setField", field: Register.flags, value: flags, mask: flags };
}
