import type { Action } from "../../../drivers/ovs/openflow/action.ts";
import type { Match } from "../../../drivers/ovs/openflow/match.ts";
import { IpProtocol } from "../../../state/policy/protocol.ts";
import {
  answersDiscovery,
  BASE_OWNER,
  type FlowContext,
  type FlowDraft,
  isProxying,
  isRouting,
  type OwnedFlows,
  own,
} from "../engine/context.ts";
import { neighbourMessage, oversizedFlow } from "../engine/neighbour-limit.ts";
import {
  ADVERTISEMENT,
  ArpOp,
  EtherType,
  HOST_ERRORS,
  ICMP_ERRORS,
  Icmpv6,
  moveField,
  moveMac,
  output,
  restoreUplinkVlan,
  SOLICITATION,
  setField,
  UNFORWARDED,
} from "../pipeline/actions.ts";
import { Flag, GATEWAY_MAC, hasFlags, lacksFlags, Priority, Register, Table } from "../pipeline/pipeline.ts";
import { policyBaseFlows } from "../policy/base.ts";
import { sampleFlows } from "../policy/log.ts";
import { hasPolicies, policyScope } from "../policy/scope.ts";

/** ND option types (RFC 4861 §4.6). */
const NdOption = { none: 0, sourceLinkAddress: 1, targetLinkAddress: 2 } as const;
const IPV4_BIT_COUNT = 32;
const IPV6_BIT_COUNT = 128;
/** Hop limit that ND messages must have (RFC 4861 §7.1). */
const ND_HOP_LIMIT = 255;
const UNSPECIFIED = "::";
/** Messages of neighbour discovery that hosts send. */
const NEIGHBOUR_MESSAGES = [
  Icmpv6.routerSolicitation,
  Icmpv6.neighbourSolicitation,
  Icmpv6.neighbourAdvertisement,
] as const;

/** What depends on no object: the way from table to table, the answering machine for ARP and ND, the output. */
export function baseFlows(context: FlowContext): OwnedFlows {
  const drafts = [
    ...passes(),
    ...unreadable(),
    ...remoteOrigin(context),
    ...podMessages(),
    oversizedFlow(),
    ...(isProxying(context) ? unknownNeighbours(context) : []),
    ...arpAnswers(),
    ...(answersDiscovery(context) ? ndAnswers() : []),
    ...routerGuards(context),
    ...(hasPolicies(policyScope(context)) ? policyBaseFlows() : []),
    ...sampleFlows(context),
    outputFlow(),
  ];
  return { flows: own(context, BASE_OWNER, drafts), failure: undefined };
}

/** Tables that let through what they do not name. 15 and 30 are the seams where the policy engine goes in. */
function passes(): FlowDraft[] {
  const ways = [
    [Table.contents, Table.neighbour],
    [Table.neighbourLimit, Table.neighbour],
    [Table.sourceGroup, Table.neighbour],
    [Table.neighbour, Table.conntrack],
    [Table.answer, Table.conntrack],
    [Table.conntrack, Table.route],
    [Table.route, Table.switch],
  ] as const;
  return ways.map(([table, goto]) => ({ table, priority: Priority.miss, match: {}, goto }));
}

/**
 * What the switch could not read to its transport header has zeros there: nothing that follows could judge it. It is dropped
 * wherever it comes from, and a first fragment without the whole header too. Protocol 0 is no transport protocol.
 */
function unreadable(): FlowDraft[] {
  const headers = [EtherType.ipv4, EtherType.ipv6].flatMap((ethType): Match[] => [
    { ethType, ipProto: 0 },
    ...(["no", "first"] as const).flatMap((ipFrag) => [
      { ethType, ipProto: IpProtocol.tcp, tcpDst: 0, ipFrag },
      { ethType, ipProto: IpProtocol.udp, udpDst: 0, ipFrag },
    ]),
  ]);
  const matches = [...headers, { icmpv6Type: Icmpv6.unreadable, ipFrag: "first" as const }];
  return matches.map((match) => ({ table: Table.antiSpoofing, priority: Priority.antiSpoofing.unreadable, match }));
}

/**
 * Frames from tunnels and uplinks were judged at their source. Stopped are our own that come back, and what no network of ours has
 * use for: pods take addresses and routes from nobody but their node (router advertisements, redirects), and a forwarded or
 * fragmented message of neighbour discovery is forged.
 */
function remoteOrigin(context: FlowContext): FlowDraft[] {
  const table = Table.antiSpoofing;
  const { remote, reflected, routerMessage, discovery, badDiscovery } = Priority.antiSpoofing;
  const foreign = { [Register.flags]: lacksFlags(Flag.fromPod) };
  const { routerAdvertisement, redirect } = Icmpv6;
  const misleading = [routerAdvertisement, redirect].map((icmpv6Type) => {
    return { table, priority: routerMessage, match: { icmpv6Type } };
  });
  const discoveries = NEIGHBOUR_MESSAGES.flatMap((icmpv6Type): FlowDraft[] => [
    {
      ...{ table, priority: discovery, goto: Table.sourceGroup },
      match: { ...foreign, icmpv6Type, icmpv6Code: 0, ...UNFORWARDED },
    },
    { table, priority: badDiscovery, match: { ...foreign, icmpv6Type } },
  ]);
  const pass = [Flag.fromTunnel, Flag.fromUplink].map((flag) => {
    return { table, priority: remote, match: { [Register.flags]: hasFlags(flag) }, goto: Table.sourceGroup };
  });
  const ours = { ...foreign, ethSrc: context.machine.routerMac };
  // Routed frames leave on a VLAN with their node's router MAC: the gateway's own comes from there in no true frame.
  const ofGateway = { [Register.flags]: hasFlags(Flag.fromUplink), ethSrc: GATEWAY_MAC };
  const forged = isRouting(context) ? [ours, ofGateway] : [ours];
  return [...misleading, ...discoveries, ...pass, ...forged.map((match) => ({ table, priority: reflected, match }))];
}

/**
 * Pods are hosts. Of neighbour discovery they may send what flows-pod.ts names, and solicit routers; of ICMP errors those of a host.
 */
function podMessages(): FlowDraft[] {
  const table = Table.contents;
  const { unreadable, own: allowed, forbidden } = Priority.contents;
  const { routerSolicitation, routerAdvertisement, redirect } = Icmpv6;
  const solicitation = { icmpv6Type: routerSolicitation, icmpv6Code: 0, ...UNFORWARDED };
  const discovery = [...NEIGHBOUR_MESSAGES, routerAdvertisement, redirect].map((icmpv6Type) => ({ icmpv6Type }));
  return [
    // Open vSwitch reads a solicitation with an option twice, or with one that it cannot read, as one for nobody without options.
    { table, priority: unreadable, match: { ...SOLICITATION, ndTarget: "::" } },
    neighbourMessage({ table, priority: allowed, match: solicitation }),
    ...[...HOST_ERRORS[4], ...HOST_ERRORS[6]].map((match) => {
      return { table, priority: allowed, match, goto: Table.neighbour };
    }),
    ...[...discovery, ...ICMP_ERRORS].map((match) => ({ table, priority: forbidden, match })),
  ];
}

/**
 * Proxy mode. A pod is a known source; of what comes by tunnel its node knew the source. Who looks for duplicates has no address yet.
 * Solicitations that the switch cannot answer must reach who can.
 */
function unknownNeighbours(context: FlowContext): FlowDraft[] {
  const table = Table.neighbour;
  const { unknownSource, duplicateDetection } = Priority.neighbour;
  const fromUplink = { [Register.flags]: hasFlags(Flag.fromUplink) };
  return [
    { table, priority: unknownSource, match: { ...fromUplink, arpOp: ArpOp.request } },
    ...(answersDiscovery(context)
      ? [{ table, priority: unknownSource, match: { ...fromUplink, ...SOLICITATION } }]
      : []),
    {
      table,
      priority: duplicateDetection,
      match: { ...SOLICITATION, ipv6Src: UNSPECIFIED },
      goto: Table.conntrack,
    },
  ];
}

/** Sends the packet back where it came from, with its tag when it came from an uplink. */
function returning(draft: FlowDraft): FlowDraft[] {
  const actions = draft.actions ?? [];
  const { match } = draft;
  return [
    {
      ...draft,
      match: { ...match, [Register.flags]: hasFlags(Flag.fromUplink) },
      actions: [...actions, ...restoreUplinkVlan(), output("in_port")],
    },
    {
      ...draft,
      match: { ...match, [Register.flags]: hasFlags(Flag.fromPod) },
      actions: [...actions, output("in_port")],
    },
  ];
}

const SWAP_ETHERNET: readonly Action[] = [moveMac("ethSrc", "ethDst"), moveMac(Register.answerMac, "ethSrc")];

/** Turns an ARP request into the reply (RFC 826); `Register.answerMac` holds the address asked for. */
function arpAnswers(): FlowDraft[] {
  return returning({
    table: Table.answer,
    priority: Priority.answer.message,
    match: { ethType: EtherType.arp },
    actions: [
      ...SWAP_ETHERNET,
      setField("arpOp", ArpOp.reply),
      moveField("arpTpa", Register.scratch, IPV4_BIT_COUNT),
      moveField("arpSpa", "arpTpa", IPV4_BIT_COUNT),
      moveField(Register.scratch, "arpSpa", IPV4_BIT_COUNT),
      moveMac("arpSha", "arpTha"),
      moveMac(Register.answerMac, "arpSha"),
    ],
  });
}

/**
 * Turns a neighbour solicitation into the advertisement (RFC 4861 §7.2.4): its source option becomes the target option. The option's
 * address can only be set by a flow that matches advertisements, hence two tables. A solicitation without option gets an answer
 * without one (it was sent to somebody whose address is known); one that begins with another option is let through.
 */
function ndAnswers(): FlowDraft[] {
  const table = Table.answer;
  const priority = Priority.answer.message;
  const toAdvertisement = [
    ...SWAP_ETHERNET,
    moveField("ipv6Src", "ipv6Dst", IPV6_BIT_COUNT),
    moveField("ndTarget", "ipv6Src", IPV6_BIT_COUNT),
    setField("ipTtl", ND_HOP_LIMIT),
    setField("icmpv6Type", Icmpv6.neighbourAdvertisement),
    setField("icmpv6Code", 0),
    moveField(Register.answerFlags, "ndReserved", 32),
  ];
  const withOption = [...toAdvertisement, setField("ndOptionsType", NdOption.targetLinkAddress)];
  const goto = Table.answerOption;
  return [
    {
      table,
      priority,
      match: { ...SOLICITATION, ndOptionsType: NdOption.sourceLinkAddress },
      actions: withOption,
      goto,
    },
    { table, priority, match: { ...SOLICITATION, ndOptionsType: NdOption.none }, actions: toAdvertisement, goto },
    ...returning({
      table: Table.answerOption,
      priority,
      match: { ...ADVERTISEMENT, ndOptionsType: NdOption.targetLinkAddress },
      actions: [moveMac(Register.answerMac, "ndTll")],
    }),
    ...returning({
      table: Table.answerOption,
      priority,
      match: { ...ADVERTISEMENT, ndOptionsType: NdOption.none },
    }),
  ];
}

/** What is sent to the gateway and is not routed goes nowhere; link-local addresses are never routed (RFC 4291 §2.5.6). */
function routerGuards(context: FlowContext): FlowDraft[] {
  const table = Table.route;
  const unroutable: FlowDraft = { table, priority: Priority.route.unroutable, match: { ethDst: GATEWAY_MAC } };
  const linkLocal: FlowDraft = {
    table,
    priority: Priority.route.linkLocal,
    match: { ethDst: GATEWAY_MAC, ipv6Src: "fe80::/10" },
  };
  return isRouting(context) ? [unroutable, linkLocal] : [unroutable];
}

function outputFlow(): FlowDraft {
  const actions: Action[] = [{ kind: "outputField", src: { field: Register.outputPort } }];
  return { table: Table.output, priority: Priority.miss, match: {}, actions };
}
