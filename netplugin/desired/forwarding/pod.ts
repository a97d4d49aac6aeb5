import type { Action } from "../../../drivers/ovs/openflow/action.ts";
import type { Match } from "../../../drivers/ovs/openflow/match.ts";
import { ceilingMeters } from "../engine/ceiling.ts";
import type { FlowDraft } from "../engine/context.ts";
import { neighbourMessage } from "../engine/neighbour-limit.ts";
import type { LocalPlace } from "../engine/place.ts";
import { meterIdOf } from "../limits/limit-plan.ts";
import { ADVERTISEMENT, ArpOp, EtherType, Icmpv6, SOLICITATION, setField, UNFORWARDED } from "../pipeline/actions.ts";
import { Flag, lacksFlags, Priority, Register, Table } from "../pipeline/pipeline.ts";

/** No link-layer address option in the message. */
const NO_MAC = "00:00:00:00:00:00";

/** Lets a plugged-in endpoint into the pipeline, with its own addresses and no others. Frames with a VLAN tag match nothing. */
export function podFlows(place: LocalPlace): FlowDraft[] {
  return [
    classification(place),
    reflection(place),
    ...arpSenders(place),
    ipv4Sender(place),
    ...ipv6Senders(place),
    ...discoveryContents(place),
  ];
}

function classification(place: LocalPlace): FlowDraft {
  const { endpoint, network, ofport } = place;
  const actions: Action[] = [
    ...metering(place),
    setField(Register.networkId, network.networkId),
    setField(Register.tenantId, network.tenantId),
    setField(Register.flags, Flag.fromPod),
  ];
  if (endpoint.groupId !== undefined) actions.push(setField(Register.sourceGroupId, endpoint.groupId));
  return {
    table: Table.classify,
    priority: Priority.classify.port,
    match: { inPort: ofport, vlanVid: "none" },
    actions,
    goto: Table.antiSpoofing,
  };
}

/** What exceeds the pod's limit, or a ceiling over it, is dropped before anything else is done with it. */
function metering({ limits, ofport }: LocalPlace): Action[] {
  const own: Action[] = limits.podEgress?.mechanism === "meter" ? [{ kind: "meter", meter: meterIdOf(ofport) }] : [];
  return [...own, ...ceilingMeters(limits, "podEgress")];
}

/** IPv4 and IPv6 packets of a pod leave with its netprofile's DSCP. */
function marked(place: LocalPlace, draft: FlowDraft): FlowDraft {
  const { dscp } = place.limits;
  return dscp === 0 ? draft : { ...draft, actions: [setField("ipDscp", dscp)] };
}

/** A frame of this endpoint that comes in from outside is forged, or came back by a loop. */
function reflection({ endpoint, network }: LocalPlace): FlowDraft {
  return {
    table: Table.antiSpoofing,
    priority: Priority.antiSpoofing.reflected,
    match: {
      [Register.networkId]: network.networkId,
      [Register.flags]: lacksFlags(Flag.fromPod),
      ethSrc: endpoint.mac,
    },
  };
}

function sender({ endpoint, ofport }: LocalPlace, match: Match) {
  return {
    table: Table.antiSpoofing,
    priority: Priority.antiSpoofing.pod,
    match: { inPort: ofport, ethSrc: endpoint.mac, ...match },
  };
}

/** Other than ARP: on to what the message says. */
function packetSender(place: LocalPlace, match: Match): FlowDraft {
  return marked(place, { ...sender(place, match), goto: Table.contents });
}

/** Requests and replies in its own name, and probes for its own address (RFC 5227 §2.1.1: sender 0.0.0.0). */
function arpSenders(place: LocalPlace): FlowDraft[] {
  const { ipv4, mac } = place.endpoint;
  const own = [ArpOp.request, ArpOp.reply].map((arpOp) => ({ arpOp, arpSpa: ipv4, arpSha: mac }));
  const probe = { arpOp: ArpOp.request, arpSpa: "0.0.0.0", arpSha: mac, arpTpa: ipv4 };
  return [...own, probe].map((match) => neighbourMessage(sender(place, match)));
}

function ipv4Sender(place: LocalPlace): FlowDraft {
  return packetSender(place, { ethType: EtherType.ipv4, ipv4Src: place.endpoint.ipv4 });
}

/** Its own addresses; `::` only to look for duplicates of them (RFC 4862 §5.4.2) and to join groups (RFC 3590). */
function ipv6Senders(place: LocalPlace): FlowDraft[] {
  if (place.ipv6 === undefined) return [];
  const unspecified = { ipv6Src: "::" };
  const probes = place.ipv6Addresses.map((ndTarget) => ({
    ...{ ...unspecified, ...SOLICITATION, ...UNFORWARDED },
    ...{ ndTarget, ndSll: NO_MAC },
  }));
  const reports = [Icmpv6.multicastReport, Icmpv6.multicastReportV2].map((icmpv6Type) => ({
    ...unspecified,
    icmpv6Type,
  }));
  return [
    ...place.ipv6Addresses.map((ipv6Src) => packetSender(place, { ipv6Src })),
    ...probes.map((match) => neighbourMessage(sender(place, match))),
    ...reports.map((match) => ({ ...sender(place, match), goto: Table.neighbour })),
  ];
}

/** What a solicitation or advertisement says inside must be true as well; the option may be absent. */
function discoveryContents({ endpoint, ofport, ipv6Addresses }: LocalPlace): FlowDraft[] {
  if (ipv6Addresses.length === 0) return [];
  const macs = [endpoint.mac, NO_MAC];
  const solicitations = macs.map((ndSll) => ({ ...SOLICITATION, ndSll }));
  const advertisements = ipv6Addresses.flatMap((ndTarget) =>
    macs.map((ndTll) => ({ ...ADVERTISEMENT, ndTarget, ndTll })),
  );
  return [...solicitations, ...advertisements].map((match) =>
    neighbourMessage({
      table: Table.contents,
      priority: Priority.contents.own,
      match: { inPort: ofport, ...UNFORWARDED, ...match },
    }),
  );
}
