import { parseAddress, parseSubnet } from "../../state/address.ts";
import type { EndpointGroupRecord } from "../../state/kinds/endpoint-group.ts";
import type { NetworkRecord } from "../../state/kinds/network.ts";
import { networkRanges } from "../../state/network-ranges.ts";
import type { ClusterView } from "../view/types.ts";
import { conflict, invalid, unknownReference } from "./errors.ts";
import { scopedKey } from "./references.ts";

/** Network, and group when one is named, that a v1 plugin call means. */
export interface NamedPlace {
  readonly network: NetworkRecord;
  readonly group: EndpointGroupRecord | undefined;
}

/**
 * Finds the network of `net.tenant`, or of `net:group.tenant`. Names may hold dots, so the text is not parsed: every way to split
 * it is looked up, and more than one hit is refused (contract §4).
 */
export function placeOfNetworkId(view: ClusterView, networkId: string): NamedPlace {
  const hits = [...splits(networkId)].flatMap((split) => lookUp(view, split) ?? []);
  const [hit, second] = hits;
  if (hit === undefined) throw unknownReference("NetworkID", "network", networkId);
  if (second === undefined) return hit;
  const message = `NetworkID: ${networkId} may mean ${hit.network.key} or ${second.network.key}`;
  throw conflict("ambiguous", message, "NetworkID");
}

interface Split {
  readonly networkName: string;
  readonly groupName: string;
  readonly tenantName: string;
}

function* splits(networkId: string): IterableIterator<Split> {
  for (let dot = networkId.indexOf("."); dot >= 0; dot = networkId.indexOf(".", dot + 1)) {
    const [networkName = "", groupName = ""] = networkId.slice(0, dot).split(":");
    yield { networkName, groupName, tenantName: networkId.slice(dot + 1) };
  }
}

function lookUp(view: ClusterView, { networkName, groupName, tenantName }: Split): NamedPlace | undefined {
  const network = view.records("network").get(scopedKey(tenantName, networkName));
  if (network === undefined) return undefined;
  if (groupName === "") return { network, group: undefined };
  const group = view.records("endpointGroup").get(scopedKey(tenantName, groupName));
  return group?.config.networkName === networkName ? { network, group } : undefined;
}

/** Finds the network with the subnet of `cidr[:tenant]`; the tenant is `default` when none is named. */
export function placeOfAddressPool(view: ClusterView, addressPool: string): NamedPlace {
  const slash = addressPool.indexOf("/");
  const [length = "", tenantName = "default"] = addressPool.slice(slash + 1).split(":");
  const family = addressPool.slice(0, slash).includes(":") ? 6 : 4;
  const subnet = parseSubnet(family, `${addressPool.slice(0, slash)}/${length}`);
  if (slash < 0 || subnet === undefined)
    throw invalid("AddressPool", `must be like 10.1.1.0/24:tenant, not "${addressPool}"`);
  for (const key of view.networksOfTenant(tenantName)) {
    const network = view.records("network").get(key);
    const own = network && networkRanges(network.config)[family === 4 ? "ipv4" : "ipv6"]?.subnet;
    if (network !== undefined && own?.first === subnet.first && own.last === subnet.last)
      return { network, group: undefined };
  }
  throw unknownReference(
    "AddressPool",
    "network of tenant",
    `${tenantName} with the subnet ${addressPool.slice(0, slash)}/${length}`,
  );
}

/** Family of an address in text. */
export function familyOf(text: string): 4 | 6 {
  return text.includes(":") ? 6 : 4;
}

/** An address with or without `/length`, in canonical form; undefined when it is none. */
export function withoutLength(text: string): bigint | undefined {
  return parseAddress(familyOf(text), text.split("/")[0] ?? "");
}
