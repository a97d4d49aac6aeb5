import { contains, parseAddress } from "../../state/address.ts";
import { NetError } from "../../state/errors.ts";
import type { NetworkRecord } from "../../state/kinds/network.ts";
import { networkRanges } from "../../state/network-ranges.ts";
import { invalid, unknownReference } from "../intents/errors.ts";
import { scopedKey } from "../intents/references.ts";
import { networkKeyOf } from "../view/indexes.ts";
import type { ClusterView } from "../view/types.ts";
import type { Place } from "./places.ts";
import type { Question } from "./question.ts";

interface Ends<T> {
  readonly from: T;
  readonly to: T;
}

/** The network of either end: its own; that of an address is named, or found within the tenant, or that of the other end. */
export function networksOfEnds(view: ClusterView, question: Question, places: Ends<Place>): Ends<NetworkRecord> {
  const named = namedNetwork(view, question);
  const own = { from: ownNetwork(view, places.from), to: ownNetwork(view, places.to) };
  const from = own.from ?? named ?? networkWithin(view, question, places.from);
  const to = own.to ?? named ?? networkWithin(view, question, places.to);
  const [first, second] = [from ?? to, to ?? from];
  if (first !== undefined && second !== undefined) return { from: first, to: second };
  throw missingNetwork(question);
}

function missingNetwork({ tenant, from, to }: Question): NetError {
  const hint = "with an address at both ends, give network=tenant:network";
  if (tenant === "") return new NetError("INVALID", `network is required: ${hint}`, missing("missing-field"));
  const message = `network: no network of tenant ${tenant} holds ${from} or ${to}; ${hint}`;
  return new NetError("INVALID", message, missing("unknown-reference"));
}

function missing(reason: string) {
  return { reason, field: "network" } as const;
}

function namedNetwork(view: ClusterView, { network, tenant }: Question): NetworkRecord | undefined {
  if (tenant !== "" && !view.records("tenant").has(tenant)) throw unknownReference("tenant", "tenant", tenant);
  if (network === "") return undefined;
  const isKey = network.includes(":");
  if (!isKey && tenant === "") throw invalid("network", `must be tenant:network, or tenant must be given with it`);
  if (isKey && tenant !== "" && !network.startsWith(`${tenant}:`)) {
    throw invalid("network", `${network} does not belong to tenant ${tenant}`);
  }
  const key = isKey ? network : scopedKey(tenant, network);
  const record = view.records("network").get(key);
  if (record === undefined) throw unknownReference("network", "network", key);
  return record;
}

function ownNetwork(view: ClusterView, place: Place): NetworkRecord | undefined {
  switch (place.is) {
    case "address":
      return undefined;
    case "endpoint":
      return recordAt(view, networkKeyOf(place.endpoint));
    case "group":
      return recordAt(view, networkKeyOf(place.group.config));
    default:
      return place satisfies never;
  }
}

function recordAt(view: ClusterView, key: string): NetworkRecord {
  const record = view.records("network").get(key);
  if (record === undefined) throw new NetError("NOT_FOUND", `network ${key} does not exist`, { reason: "not-found" });
  return record;
}

function networkWithin(view: ClusterView, { tenant }: Question, place: Place): NetworkRecord | undefined {
  if (tenant === "" || place.is !== "address") return undefined;
  const address = parseAddress(place.family, place.address);
  for (const key of view.networksOfTenant(tenant)) {
    const network = view.records("network").get(key);
    const subnet = network && networkRanges(network.config)[place.family === 4 ? "ipv4" : "ipv6"]?.subnet;
    if (subnet !== undefined && address !== undefined && contains(subnet, address)) return network;
  }
  return undefined;
}
