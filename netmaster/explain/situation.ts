import type { AddressFamily } from "../../state/address.ts";
import type { EndpointRecord } from "../../state/kinds/endpoint.ts";
import type { NetworkRecord } from "../../state/kinds/network.ts";
import type { PolicyPacket, PolicyWorld } from "../../state/policy/world.ts";
import { invalid } from "../intents/errors.ts";
import type { ClusterView } from "../view/types.ts";
import { type Example, exampleOf } from "./examples.ts";
import { networksOfEnds } from "./networks.ts";
import { findPlace, type Place, type SideName } from "./places.ts";
import { type Question, transportOf } from "./question.ts";
import { learnHolders, type ViewWorld } from "./world.ts";

/** One end of the packet, found. */
export interface End {
  readonly place: Place;
  readonly address: string;
  readonly network: NetworkRecord;
  /** Undefined for an address that nobody holds. */
  readonly endpoint: EndpointRecord | undefined;
  /** The group has no endpoint: the answer is for one that it might get. */
  readonly isAssumed: boolean;
}

/** A question with everything looked up. */
export interface Situation {
  readonly world: PolicyWorld;
  readonly packet: PolicyPacket;
  readonly from: End;
  readonly to: End;
  /** Why no packet can get from one end to the other, whatever the policies say. */
  readonly obstacle: string | undefined;
}

/** Looks up what a question names; errors name the parameter. Yields now and then. */
export function* findSituation(view: ClusterView, world: ViewWorld, question: Question): Generator<void, Situation> {
  const places = {
    from: yield* findPlace(view, "from", question.from),
    to: yield* findPlace(view, "to", question.to),
  };
  const family = familyOf(question, places);
  const networks = networksOfEnds(view, question, places);
  const search = { view, world, family };
  const from = yield* findEnd(search, { side: "from", place: places.from, network: networks.from });
  const to = yield* findEnd(search, { side: "to", place: places.to, network: networks.to, other: from });
  if (from.address === to.address && from.network.key === to.network.key) {
    throw invalid("to", `is the same as from (${from.address}); such packets do not leave the pod`);
  }
  const packet: PolicyPacket = {
    ...{ networkKey: from.network.key, family, source: from.address, destination: to.address },
    ...transportOf(question, family),
  };
  return { world: withAssumed(world, [from, to]), packet, from, to, obstacle: obstacleBetween(world, from, to) };
}

interface Places {
  readonly from: Place;
  readonly to: Place;
}

function familyOf({ family }: Question, { from, to }: Places): AddressFamily {
  const [ofFrom, ofTo] = [from, to].map((place) => (place.is === "address" ? place.family : undefined));
  if (ofFrom !== undefined && ofTo !== undefined && ofFrom !== ofTo) {
    throw invalid("to", `is an IPv${ofTo} address, and from an IPv${ofFrom} address`);
  }
  const ofAddresses = ofFrom ?? ofTo;
  if (family !== undefined && ofAddresses !== undefined && family !== ofAddresses) {
    throw invalid("family", `is ${family}, and ${ofFrom === undefined ? "to" : "from"} an IPv${ofAddresses} address`);
  }
  return family ?? ofAddresses ?? 4;
}

interface Search {
  readonly view: ClusterView;
  readonly world: ViewWorld;
  readonly family: AddressFamily;
}

interface Wanted {
  readonly side: SideName;
  readonly place: Place;
  readonly network: NetworkRecord;
  /** The other end, which must be another endpoint. */
  readonly other?: End;
}

function* findEnd(search: Search, wanted: Wanted): Generator<void, End> {
  const { view, world, family } = search;
  const { side, place, network, other } = wanted;
  switch (place.is) {
    case "address": {
      const endpoint = yield* learnHolders(world, network, place);
      return { place, address: place.address, network, endpoint, isAssumed: false };
    }
    case "endpoint":
      return endOf(search, wanted, { endpoint: place.endpoint, isAssumed: false });
    case "group": {
      const example = yield* exampleOf(view, { group: place.group, network, family, except: other?.endpoint });
      if (example === undefined) throw invalid(side, `is a group of network ${network.key}, which has no IPv${family}`);
      return endOf(search, wanted, example);
    }
    default:
      return place satisfies never;
  }
}

function endOf({ world, family }: Search, { side, place, network }: Wanted, { endpoint, isAssumed }: Example): End {
  const address = family === 4 ? endpoint.ipv4 : endpoint.ipv6;
  if (address === undefined) throw invalid(side, `is endpoint ${endpoint.key}, which has no IPv${family} address`);
  if (!isAssumed) world.know(endpoint);
  return { place, address, network, endpoint, isAssumed };
}

/** The world with the endpoints that groups might get. */
function withAssumed(world: ViewWorld, ends: readonly End[]): PolicyWorld {
  const assumed = ends.filter(({ isAssumed }) => isAssumed);
  if (assumed.length === 0) return world;
  return {
    ...world,
    endpointAt: (network, address) =>
      assumed.find((end) => end.network.networkId === network.networkId && end.address === address)?.endpoint ??
      world.endpointAt(network, address),
  };
}

function obstacleBetween({ isRouting }: PolicyWorld, { network: from }: End, { network: to }: End): string | undefined {
  if (from.key === to.key) return undefined;
  if (from.config.tenantName !== to.config.tenantName) {
    return `networks ${from.key} and ${to.key} belong to different tenants, which are separated`;
  }
  return isRouting ? undefined : `networks ${from.key} and ${to.key} are not joined in forwarding mode bridge`;
}
