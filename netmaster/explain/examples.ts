import { type AddressFamily, type AddressRange, formatAddress } from "../../state/address.ts";
import { EndpointRecord } from "../../state/kinds/endpoint.ts";
import type { EndpointGroupRecord } from "../../state/kinds/endpoint-group.ts";
import type { NetworkRecord } from "../../state/kinds/network.ts";
import type { ClusterView } from "../view/types.ts";

/** An endpoint that stands for its group. */
export interface Example {
  readonly endpoint: EndpointRecord;
  /** It does not exist: the group has none. */
  readonly isAssumed: boolean;
}

export interface Exemplified {
  readonly group: EndpointGroupRecord;
  readonly network: NetworkRecord;
  readonly family: AddressFamily;
  /** The endpoint at the other end. */
  readonly except: EndpointRecord | undefined;
}

const LOOKED_AT_PER_STEP = 500;

/** The group's first endpoint with an address of the family, else one that it might get; undefined when it cannot get any. */
export function* exampleOf(view: ClusterView, wanted: Exemplified): Generator<void, Example | undefined> {
  for (const endpoint of endpointsWith(view, wanted)) {
    if (endpoint === undefined) yield;
    else if (endpoint.key !== wanted.except?.key) return { endpoint, isAssumed: false };
  }
  const endpoint = assumedEndpoint(view, wanted);
  return endpoint && { endpoint, isAssumed: true };
}

/** The group's endpoints that have an address of the family; now and then an undefined, so that a caller can let others run. */
export function* endpointsWith(
  view: ClusterView,
  { group, family }: Pick<Exemplified, "group" | "family">,
): Generator<EndpointRecord | undefined> {
  let lookedAt = 0;
  for (const key of view.endpointsOfGroup(group.key)) {
    const endpoint = view.records("endpoint").get(key);
    const address = family === 4 ? endpoint?.ipv4 : endpoint?.ipv6;
    if (endpoint !== undefined && address !== undefined) yield endpoint;
    lookedAt += 1;
    if (lookedAt % LOOKED_AT_PER_STEP === 0) yield undefined;
  }
}

/** What the next endpoint of the group would be like; should the addresses be used up, it has the first of all. */
function assumedEndpoint(
  view: ClusterView,
  { group, network, family, except }: Exemplified,
): EndpointRecord | undefined {
  const books = view.addresses(network.networkId);
  if (books === undefined || (family === 6 && books.ipv6 === undefined)) return undefined;
  const { tenantName, groupName } = group.config;
  const hasPool = books.ipv4.poolRange(group.key) !== undefined;
  const ipv4 = freeAddress(4, hasPool ? books.ipv4.freeRangesOf(group.key) : books.ipv4.freeRanges(), except?.ipv4);
  const ipv6 = books.ipv6 && freeAddress(6, books.ipv6.freeRanges(), except?.ipv6);
  return EndpointRecord.parse({
    ...{ key: `a new endpoint of ${group.key}`, epoch: "none", endpointId: "new", containerId: "new", ifName: "eth0" },
    ...{ nodeName: "none", tenantName, networkName: network.config.networkName, groupName, groupId: group.groupId },
    ...{ networkId: network.networkId, mac: "02:02:00:00:00:00", createdAt: "" },
    ipv4: ipv4 ?? formatAddress(4, books.ipv4.bounds.first),
    ...(books.ipv6 === undefined ? {} : { ipv6: ipv6 ?? formatAddress(6, books.ipv6.bounds.first) }),
  });
}

/** The first free address that the other end does not have; undefined when none is left. */
function freeAddress(
  family: AddressFamily,
  ranges: Iterable<AddressRange>,
  except: string | undefined,
): string | undefined {
  for (const { first, last } of ranges) {
    const text = formatAddress(family, first);
    if (text !== except) return text;
    if (first < last) return formatAddress(family, first + 1n);
  }
  return undefined;
}
