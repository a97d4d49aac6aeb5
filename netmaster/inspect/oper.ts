import { type AddressRange, formatRange } from "../../state/address.ts";
import type { EndpointGroupRecord } from "../../state/kinds/endpoint-group.ts";
import type { NetworkRecord } from "../../state/kinds/network.ts";
import type { PolicyRecord } from "../../state/kinds/policy.ts";
import type { TenantRecord } from "../../state/kinds/tenant.ts";
import { formatNumberRanges } from "../../state/number-ranges.ts";
import { scopedKey } from "../intents/references.ts";
import type { ClusterView } from "../view/types.ts";
import { endpointList } from "./endpoint.ts";
import { omitEmpty, type Rendered, repeatable, StreamedList, StreamedObject, StreamedText } from "./streamed.ts";

/** `Oper` of a network (contract §7). */
export function networkOper(view: ClusterView, network: NetworkRecord): StreamedObject {
  const { key, config } = network;
  const books = view.addresses(network.networkId);
  const endpoints = view.endpointsOfNetwork(key);
  return new StreamedObject(
    omitEmpty({
      allocatedAddressesCount: (books?.ipv4.leasedCount ?? 0) + (books?.ipv6?.leasedCount ?? 0),
      allocatedIPAddresses: books && rangesText(() => books.ipv4.takenRanges()),
      availableIPAddresses: books && rangesText(() => books.ipv4.freeRanges()),
      endpoints: endpointList(view, endpoints),
      ...tagMembers(network),
      networkTag: config.cfgdTag === "" ? `${config.networkName}.${config.tenantName}` : config.cfgdTag,
      numEndpoints: endpoints.size,
      pktTag: localTag(network),
    }),
  );
}

function rangesText(ranges: () => Iterator<AddressRange>): StreamedText {
  return new StreamedText(
    repeatable(function* () {
      for (const range of repeatable(ranges)) yield formatRange(4, range);
    }),
  );
}

function tagMembers({ config, tag }: NetworkRecord): Record<string, Rendered> {
  return config.encap === "vxlan" ? { externalPktTag: tag } : {};
}

/** The VLAN; for VXLAN a number without meaning for clients: ours is the network's id. */
function localTag({ config, tag, networkId }: NetworkRecord): number {
  return config.encap === "vlan" ? tag : networkId;
}

export function groupOper(view: ClusterView, group: EndpointGroupRecord): StreamedObject {
  const { key, config } = group;
  const network = view.records("network").get(scopedKey(config.tenantName, config.networkName));
  const book = config.ipPool === "" || network === undefined ? undefined : view.addresses(network.networkId)?.ipv4;
  const endpoints = view.endpointsOfGroup(key);
  return new StreamedObject(
    omitEmpty({
      allocatedIPAddresses: book && rangesText(() => book.takenRangesOf(key)),
      availableIPAddresses: book && rangesText(() => book.freeRangesOf(key)),
      endpoints: endpointList(view, endpoints),
      ...(network === undefined ? {} : tagMembers(network)),
      groupTag: config.cfgdTag === "" ? `${config.groupName}.${config.tenantName}` : config.cfgdTag,
      numEndpoints: endpoints.size,
      pktTag: network && localTag(network),
    }),
  );
}

export function policyOper(view: ClusterView, policy: PolicyRecord): StreamedObject {
  const groups = view.groupsOfPolicy(policy.key);
  const keys = repeatable(() => endpointsOfAll(groups, (group) => view.endpointsOfGroup(group)));
  return new StreamedObject(
    omitEmpty({
      endpoints: endpointList(view, keys),
      numEndpoints: sum(groups, (group) => view.endpointsOfGroup(group).size),
    }),
  );
}

function* endpointsOfAll(
  parents: Iterable<string>,
  childrenOf: (parent: string) => Iterable<string>,
): Iterator<string> {
  for (const parent of parents) yield* childrenOf(parent);
}

function sum(keys: Iterable<string>, count: (key: string) => number): number {
  let total = 0;
  for (const key of keys) total += count(key);
  return total;
}

export function tenantOper(view: ClusterView, { key }: TenantRecord): StreamedObject {
  const groups = view.groupsOfTenant(key);
  const networks = view.networksOfTenant(key);
  const policies = view.policiesOfTenant(key);
  const endpointKeys = repeatable(() => endpointsOfAll(networks, (network) => view.endpointsOfNetwork(network)));
  return new StreamedObject(
    omitEmpty({
      endpointGroups: operList(
        groups,
        (group) => view.records("endpointGroup").get(group),
        (record) => groupOper(view, record),
      ),
      endpoints: endpointList(view, endpointKeys),
      networks: operList(
        networks,
        (network) => view.records("network").get(network),
        (record) => networkOper(view, record),
      ),
      policies: operList(
        policies,
        (policy) => view.records("policy").get(policy),
        (record) => policyOper(view, record),
      ),
      totalAppProfiles: view.appProfilesOfTenant(key).size,
      totalEPGs: groups.size,
      totalEndpoints: sum(networks, (network) => view.endpointsOfNetwork(network).size),
      totalNetprofiles: view.netprofilesOfTenant(key).size,
      totalNetworks: networks.size,
      totalPolicies: policies.size,
    }),
  );
}

function operList<R>(
  keys: Iterable<string>,
  lookUp: (key: string) => R | undefined,
  render: (record: R) => Rendered,
): StreamedList {
  return new StreamedList(
    repeatable(function* () {
      for (const key of keys) {
        const record = lookUp(key);
        if (record !== undefined) yield render(record);
      }
    }),
  );
}

export function globalOper(view: ClusterView, clusterMode: string): StreamedObject {
  return new StreamedObject(
    omitEmpty({
      clusterMode,
      numNetworks: view.records("network").size,
      vlansInUse: formatNumberRanges(view.ids("vlan").takenRanges()),
      vxlansInUse: formatNumberRanges(view.ids("vni").takenRanges()),
    }),
  );
}
