import type { Action } from "../../../drivers/ovs/openflow/action.ts";
import type { Match } from "../../../drivers/ovs/openflow/match.ts";
import type { Maskable } from "../../../drivers/ovs/openflow/values.ts";
import { answersDiscovery, type FlowContext, type FlowDraft } from "../engine/context.ts";
import type { LocalPlace, Place } from "../engine/place.ts";
import { ArpOp, macBits, SOLICITATION, setField } from "../pipeline/actions.ts";
import { Flag, hasFlags, lacksFlags, Priority, Register, Table } from "../pipeline/pipeline.ts";

/** R, S and O flags of a neighbour advertisement (RFC 4861 §4.4), as the upper bits of its second word. */
export const AdvertisementFlags = { router: 0x80000000, solicited: 0x40000000, override: 0x20000000 } as const;
const HOST_ANSWER = AdvertisementFlags.solicited | AdvertisementFlags.override;

export interface Answer {
  readonly networkId: number;
  readonly mac: string;
  /** Which packets are answered, by their flags. */
  readonly flags: Maskable<number>;
}

/** Prepares the answer to ARP requests for an address; Table.answer writes it. */
export function arpAnswer({ networkId, mac, flags }: Answer, ipv4: string): FlowDraft {
  return answerFlow({ networkId, flags }, { arpOp: ArpOp.request, arpTpa: ipv4 }, [
    setField(Register.answerMac, macBits(mac)),
  ]);
}

/** The same for solicitations; `advertisementFlags` are those of the answer. */
export function ndAnswer({ networkId, mac, flags }: Answer, ipv6: string, advertisementFlags: number): FlowDraft {
  return answerFlow({ networkId, flags }, { ...SOLICITATION, ndTarget: ipv6 }, [
    setField(Register.answerMac, macBits(mac)),
    setField(Register.answerFlags, advertisementFlags),
  ]);
}

function answerFlow(of: Omit<Answer, "mac">, asked: Match, actions: readonly Action[]): FlowDraft {
  return {
    table: Table.neighbour,
    priority: Priority.neighbour.answer,
    match: { [Register.networkId]: of.networkId, [Register.flags]: of.flags, ...asked },
    actions,
    goto: Table.answer,
  };
}

/** Proxy mode: requests of local pods are answered for every endpoint, those from the uplink only for endpoints of this node. */
export function endpointAnswers(
  context: FlowContext,
  { endpoint, network, ipv6Addresses }: Place,
  isLocal: boolean,
): FlowDraft[] {
  const flags = isLocal ? lacksFlags(Flag.fromTunnel) : hasFlags(Flag.fromPod);
  const answer = { networkId: network.networkId, mac: endpoint.mac, flags };
  const solicited = answersDiscovery(context) ? ipv6Addresses : [];
  return [arpAnswer(answer, endpoint.ipv4), ...solicited.map((address) => ndAnswer(answer, address, HOST_ANSWER))];
}

/** Proxy mode: an endpoint that announces its address, or looks for another holder of it, is heard and not answered. */
export function ownAddressFlow({ endpoint, ofport }: LocalPlace): FlowDraft {
  return {
    table: Table.neighbour,
    priority: Priority.neighbour.ownAddress,
    match: { inPort: ofport, arpOp: ArpOp.request, arpTpa: endpoint.ipv4 },
    goto: Table.conntrack,
  };
}

/** Proxy mode, VLAN: requests of this sender for an unknown address may come in from the uplink. */
export function knownSourceFlows(
  networkId: number,
  ipv4Addresses: readonly string[],
  ipv6Addresses: readonly string[],
): FlowDraft[] {
  const senders: Match[] = [
    ...ipv4Addresses.map((arpSpa) => ({ arpOp: ArpOp.request, arpSpa })),
    ...ipv6Addresses.map((ipv6Src) => ({ ...SOLICITATION, ipv6Src })),
  ];
  return senders.map((sender) => ({
    table: Table.neighbour,
    priority: Priority.neighbour.knownSource,
    match: { [Register.networkId]: networkId, [Register.flags]: hasFlags(Flag.fromUplink), ...sender },
    goto: Table.conntrack,
  }));
}
