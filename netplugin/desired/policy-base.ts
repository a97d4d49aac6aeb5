import type { Action, Bits } from "../../drivers/ovs/openflow/action.ts";
import type { Match } from "../../drivers/ovs/openflow/flow.ts";
import { IpProtocol, NEIGHBOUR_DISCOVERY_TYPES } from "../../state/policy/protocol.ts";
import { EtherType, GROUP_MAC, setField } from "./actions.ts";
import type { FlowDraft } from "./context.ts";
import {
  ConnectionMark,
  Flag,
  firstFragmentHead,
  hasFlags,
  lacksFlags,
  Priority,
  Register,
  Table,
} from "./pipeline.ts";
import { unlogged } from "./policy-log.ts";

const IP = [EtherType.ipv4, EtherType.ipv6] as const;
/** RFC 9293 §3.1, as Open vSwitch numbers them. */
const TcpFlag = { syn: 0x002, ack: 0x010 } as const;
/** Linux' ephemeral ports begin at 32768: the end with the lower port is the server. */
const EPHEMERAL_PORT = 0x8000;
const { blocked } = ConnectionMark;
const BLOCKED = { value: blocked, mask: blocked };
const NOT_BLOCKED = { value: 0, mask: blocked };

/** What the policy tables do whatever the rules say. Absent while no policy concerns this node. */
export function policyBaseFlows(): FlowDraft[] {
  return [...discovery(), ...connectionStates(), ...ways(), ...commits(), remember({}), blockDenied()].flat();
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
 * What conntrack says. Replies and related ICMP pass, unless the connection is blocked; the original direction is judged by the rules
 * on every packet. An invalid TCP or UDP packet is dropped; of other protocols the userspace datapath knows no connections and calls
 * all invalid: they are judged, packet by packet.
 */
function connectionStates(): FlowDraft[] {
  const table = Table.connection;
  const { invalid, blocked: ofBlocked, reply, noOutRules } = Priority.connection;
  const noBroken = IP.flatMap((ethType) =>
    [IpProtocol.tcp, IpProtocol.udp].map((ipProto) => {
      return { table, priority: invalid, match: { ctState: "+inv+trk", ethType, ipProto } };
    }),
  );
  const answers = ["rpl", "rel"].flatMap((state) => [
    { table, priority: ofBlocked, match: { ctState: `+${state}+trk`, ctMark: BLOCKED } },
    { table, priority: reply, match: { ctState: `+${state}-inv+trk` }, goto: Table.route },
  ]);
  const skip = { table, priority: noOutRules, match: { [Register.ruleset]: 0 }, goto: Table.receiver };
  return [...noBroken, ...answers, ...fragments(), skip];
}

/**
 * Flows see no ports in fragments, not even in the first one; conntrack does, so the rules judge the first one by what it tells. The
 * later ones go past the rules to a second pass through conntrack (`commits`), which holds back fragments until it has all of a
 * packet: without their first one they get no further.
 */
function fragments(): FlowDraft[] {
  const common = { table: Table.connection, priority: Priority.connection.fragment };
  const first = (ethType: number, ipProto: number): FlowDraft => ({
    ...common,
    match: { ctState: "-inv+trk", ethType, ipProto, ipFrag: "first" },
    actions: [setField(Register.fragment, firstFragmentHead(ipProto)), PORT_OF_CONNECTION],
    goto: Table.destinationGroup,
  });
  return IP.flatMap((ethType) => [
    ...[IpProtocol.tcp, IpProtocol.udp].map((ipProto) => first(ethType, ipProto)),
    { ...common, match: { ctState: "-inv+trk", ethType, ipFrag: "later" }, goto: Table.commit },
  ]);
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

const PORT_OF_CONNECTION: Action = {
  kind: "move",
  src: { field: "ctTpDst", startBit: 0, bitCount: 16 },
  dst: { field: Register.fragment, startBit: 0, bitCount: 16 },
};

const ZONE: Bits = { field: Register.zone, startBit: 0, bitCount: 16 };

function commit(mark: number): Action {
  const exec: Action = { kind: "setField", field: "ctMark", value: mark, mask: blocked };
  return { kind: "ct", commit: true, zone: ZONE, exec: [exec] };
}

/**
 * New connections are committed once they are allowed, so what is denied leaves no trace in conntrack. Of TCP connections older than
 * the tracking (or than the switch's memory) only those are taken up that begin at an ephemeral port: else the first packet might be
 * a reply, and its connection would pass the wrong way round. All others are judged packet by packet in both directions. What goes to
 * many is no connection. All fragments of a packet take the same way, and every way of theirs leads through conntrack.
 */
function commits(): FlowDraft[] {
  const table = Table.commit;
  const { delivering, groupFragment, group, unblock, opening, pickUp, tcp, other, fragment } = Priority.commit;
  const committed = (priority: number, match: Match): FlowDraft => {
    return { table, priority, match, goto: Table.newConnections };
  };
  const reassemble: Action = { kind: "ct", zone: ZONE, table: Table.route };
  const { syn, ack } = TcpFlag;
  const ctState = "+new+trk";
  const ofFamily = (ethType: number): FlowDraft[] => [
    {
      ...{ table, priority: unblock, match: { ctState: "+est-rpl+trk", ctMark: BLOCKED, ethType } },
      ...{ actions: [commit(0)], goto: Table.route },
    },
    committed(opening, {
      ...{ ctState, ethType, ipProto: IpProtocol.tcp, ipFrag: "no" },
      tcpFlags: { value: syn, mask: syn | ack },
    }),
    committed(pickUp, {
      ...{ ctState, ethType, ipProto: IpProtocol.tcp, ipFrag: "no" },
      tcpSrc: { value: EPHEMERAL_PORT, mask: EPHEMERAL_PORT },
      tcpDst: { value: 0, mask: EPHEMERAL_PORT },
    }),
    { table, priority: tcp, match: { ctState, ethType, ipProto: IpProtocol.tcp, ipFrag: "no" }, goto: Table.route },
    {
      table,
      priority: tcp,
      match: { ctState, ethType, ipProto: IpProtocol.tcp, ipFrag: "yes" },
      actions: [reassemble],
    },
    committed(other, { ctState, ethType }),
    {
      ...{ table, priority: groupFragment, actions: [reassemble] },
      match: { ctState: "-inv+trk", ethDst: GROUP_MAC, ethType, ipFrag: "yes" },
    },
    { table, priority: fragment, match: { ctState: "-inv+trk", ethType, ipFrag: "yes" }, actions: [reassemble] },
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

/**
 * A connection that the rules deny by now is marked, so that its replies end at once too. Everything that comes here is dropped.
 * Fragments must not meet conntrack here: it would release them with the later ones of their packet.
 */
function blockDenied(): FlowDraft[] {
  return IP.map((ethType) => ({
    table: Table.denied,
    priority: Priority.denied.established,
    match: {
      ...{ ctState: "+est-rpl+trk", ctMark: NOT_BLOCKED, ethType, ipFrag: "no" as const },
      [Register.flags]: lacksFlags(Flag.delivering),
    },
    actions: [commit(blocked)],
  }));
}
