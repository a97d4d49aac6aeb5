import type { Action, Bits } from "../../../drivers/ovs/openflow/action.ts";
import { IpProtocol, NEIGHBOUR_DISCOVERY_TYPES } from "../../../state/policy/protocol.ts";
import type { FlowDraft } from "../engine/context.ts";
import { EtherType, GROUP_MAC, ICMP_ERRORS } from "../pipeline/actions.ts";
import { ConnectionMark, Flag, hasFlags, lacksFlags, Priority, Register, Table } from "../pipeline/pipeline.ts";
import { relatedErrors } from "./errors.ts";
import { unlogged } from "./log.ts";

const IP = [EtherType.ipv4, EtherType.ipv6] as const;
/** RFC 9293 §3.1, as Open vSwitch numbers them. */
const TcpFlag = { syn: 0x002, ack: 0x010 } as const;
const { blocked } = ConnectionMark;
const BLOCKED = { value: blocked, mask: blocked };
const NOT_BLOCKED = { value: 0, mask: blocked };

/** What the policy tables do whatever the rules say. Absent while no policy concerns this node. */
export function policyBaseFlows(): FlowDraft[] {
  return [
    ...discovery(),
    ...tracking(),
    ...connectionStates(),
    ...ways(),
    ...commits(),
    ...remember({}),
    ...blockDenied(),
    ...invalid(Table.route, Priority.route.invalid),
  ];
}

/** Neighbour discovery is never judged, neither on its way nor when it is flooded to a pod. */
function discovery(): FlowDraft[] {
  const { first, last } = NEIGHBOUR_DISCOVERY_TYPES;
  const types = Array.from({ length: last - first + 1 }, (_, index) => first + index);
  return types.flatMap((icmpv6Type) => [
    {
      table: Table.conntrack,
      priority: Priority.conntrack.neighbourDiscovery,
      match: { icmpv6Type },
      goto: Table.route,
    },
    { table: Table.inRules, priority: Priority.rules.neighbourDiscovery, match: { icmpv6Type }, goto: Table.commit },
  ]);
}

/**
 * Only whole packets meet conntrack. Its reassembly hands fragments that expire or are left over to whatever packet comes next, of any
 * tenant, and has one table for all: so fragments are judged one by one, by what they show.
 */
function tracking(): FlowDraft[] {
  const table = Table.track;
  const { unruledFragment, fragment } = Priority.track;
  const ipFrag = "yes";
  return IP.flatMap((ethType): FlowDraft[] => [
    {
      ...{ table, priority: unruledFragment, goto: Table.receiver },
      match: { ethType, ipFrag, [Register.ruleset]: 0 },
    },
    { table, priority: fragment, match: { ethType, ipFrag }, goto: Table.destinationGroup },
    {
      table,
      priority: Priority.miss,
      match: { ethType },
      actions: [{ kind: "ct", zone: ZONE, table: Table.connection }],
    },
  ]);
}

/**
 * What conntrack says. Replies pass, unless the connection is blocked; the original direction is judged by the rules on every packet.
 * An invalid packet is dropped where conntrack knows the protocol; of other protocols the userspace datapath knows no connections and
 * calls all invalid: they are judged, packet by packet.
 */
function connectionStates(): FlowDraft[] {
  const table = Table.connection;
  const { untracked, blocked: ofBlocked, reply, noOutRules } = Priority.connection;
  const ofBlockedConnection = ["rpl", "rel"].map((state) => {
    return { table, priority: ofBlocked, match: { ctState: `+${state}+trk`, ctMark: BLOCKED } };
  });
  return [
    { table, priority: untracked, match: { ctState: "-trk" } },
    ...invalid(table, Priority.connection.invalid),
    ...ofBlockedConnection,
    ...relatedErrors(),
    { table, priority: reply, match: { ctState: "+rpl-rel-inv+trk" }, goto: Table.route },
    { table, priority: noOutRules, match: { [Register.ruleset]: 0 }, goto: Table.receiver },
  ];
}

/** Drops what conntrack calls invalid: TCP and UDP out of any connection, ICMP errors about nothing that it knows. */
function invalid(table: number, priority: number): FlowDraft[] {
  const transports = IP.flatMap((ethType) => [IpProtocol.tcp, IpProtocol.udp].map((ipProto) => ({ ethType, ipProto })));
  return [...transports, ...ICMP_ERRORS].map((match) => ({
    table,
    priority,
    match: { ctState: "+inv+trk", ...match },
  }));
}

/** Where a packet goes that a table does not speak of: no rule matches, so it is allowed. */
function ways(): FlowDraft[] {
  const pairs = [
    [Table.connection, Table.destinationGroup],
    [Table.destinationGroup, Table.outLog],
    [Table.outRules, Table.receiver],
    [Table.receiver, Table.commit],
    [Table.inRules, Table.commit],
    [Table.commit, Table.route],
  ] as const;
  return [...pairs.map(([table, goto]) => ({ table, priority: Priority.miss, match: {}, goto })), ...unlogged()];
}

const ZONE: Bits = { field: Register.zone, startBit: 0, bitCount: 16 };

function commit(mark: number): Action {
  const exec: Action = { kind: "setField", field: "ctMark", value: mark, mask: blocked };
  return { kind: "ct", commit: true, zone: ZONE, exec: [exec] };
}

/**
 * New connections are committed once they are allowed, so what is denied leaves no trace in conntrack. TCP without its beginning (older
 * than the tracking, or than the switch's memory) does not show who began it: it is judged packet by packet in both directions. What
 * goes to many is no connection, and fragments have none.
 */
function commits(): FlowDraft[] {
  const table = Table.commit;
  const { delivering, group, unblock, opening, tcp, other } = Priority.commit;
  const { syn, ack } = TcpFlag;
  const ctState = "+new+trk";
  const goto = Table.newConnections;
  const ofFamily = (ethType: number): FlowDraft[] => [
    {
      ...{ table, priority: unblock, match: { ctState: "+est-rpl+trk", ctMark: BLOCKED, ethType } },
      ...{ actions: [commit(0)], goto: Table.route },
    },
    {
      ...{ table, priority: opening, goto },
      match: { ctState, ethType, ipProto: IpProtocol.tcp, tcpFlags: { value: syn, mask: syn | ack } },
    },
    { table, priority: tcp, match: { ctState, ethType, ipProto: IpProtocol.tcp }, goto: Table.route },
    { table, priority: other, match: { ctState, ethType }, goto },
  ];
  return [
    { table, priority: delivering, match: { [Register.flags]: hasFlags(Flag.delivering) }, goto: Table.output },
    { table, priority: group, match: { ethDst: GROUP_MAC }, goto: Table.route },
    ...IP.flatMap(ofFamily),
  ];
}

/** A connection begins. One that a pod of this node begins passes the pod's meter first, if there is one. */
export function remember({ inPort, meter }: { readonly inPort?: number; readonly meter?: number }): FlowDraft[] {
  const { limited, other } = Priority.newConnections;
  const [priority, sender] = inPort === undefined ? [other, {}] : [limited, { inPort }];
  const limit: Action[] = meter === undefined ? [] : [{ kind: "meter", meter }];
  const actions = [...limit, commit(0)];
  const table = Table.newConnections;
  return IP.map((ethType) => ({ table, priority, match: { ...sender, ethType }, actions, goto: Table.route }));
}

/** A connection that the rules deny by now is marked, so that its replies end at once too. Everything that comes here is dropped. */
function blockDenied(): FlowDraft[] {
  return IP.map((ethType) => ({
    table: Table.denied,
    priority: Priority.denied.established,
    match: {
      ...{ ctState: "+est-rpl+trk", ctMark: NOT_BLOCKED, ethType },
      [Register.flags]: lacksFlags(Flag.delivering),
    },
    actions: [commit(blocked)],
  }));
}
