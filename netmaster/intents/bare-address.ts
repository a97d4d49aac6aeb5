import { z } from "zod";
import { formatAddress } from "../../state/address.ts";
import { addressClaimKey } from "../../state/keys.ts";
import type { AddressRecord } from "../../state/kinds/address.ts";
import { networkRanges } from "../../state/network-ranges.ts";
import type { ClusterView, IntentContext, Plan } from "../view/types.ts";
import { familyOf, type NamedPlace, placeOfAddressPool, placeOfNetworkId, withoutLength } from "./dotted.ts";
import { addressesOf } from "./endpoint.ts";
import { conflict, invalid } from "./errors.ts";
import { pickAddress, refuseWhileHeld } from "./pick-address.ts";
import { claimOf, plan } from "./plan.ts";
import { scopedKey } from "./references.ts";

/** `POST /plugin/allocAddress` (contract §8). */
export const AllocAddress = z.object({
  NetworkID: z
    .string()
    .max(256)
    .default("")
    .describe('Network "network.tenant", or a group in it "network:group.tenant"; empty: AddressPool says.'),
  AddressPool: z
    .string()
    .max(256)
    .default("")
    .describe('Subnet of the network and its tenant, like "10.1.1.0/24:t1"; without tenant, default.'),
  PreferredIPv4Address: z.string().max(64).default("").describe("Address wished for; empty: any."),
});
export type AllocAddress = z.infer<typeof AllocAddress>;

/** What both address calls answer or take: the address, with the length of its subnet in replies. */
export interface AllocatedAddress {
  readonly NetworkID: string;
  readonly IPv4Address: string;
}

/** Hands out an address without an endpoint; createEndpoint may take it over. */
export function allocateAddress(
  view: ClusterView,
  request: AllocAddress,
  context: IntentContext,
): Plan<AllocatedAddress> {
  refuseWhileHeld(context);
  const place = placeOf(view, request);
  const { network, group } = place;
  const requested = request.PreferredIPv4Address === "" ? undefined : request.PreferredIPv4Address.split("/")[0];
  const family = familyOf(requested ?? (request.NetworkID === "" ? (request.AddressPool.split("/")[0] ?? "") : ""));
  const { ipv4, ipv6 } = addressesOf(view, network);
  const pool = family === 4 ? ipv4 : ipv6;
  const ranges = networkRanges(network.config)[family === 4 ? "ipv4" : "ipv6"];
  if (pool === undefined || ranges === undefined)
    throw invalid("AddressPool", `: network ${network.key} has no IPv6 subnet`);
  const ip = pickAddress({
    view,
    network,
    family,
    pool,
    groupKey: group?.key,
    requested,
    field: "PreferredIPv4Address",
  });
  const record = addressRecord(place, ip, context);
  return plan(
    { NetworkID: request.NetworkID, IPv4Address: `${ip}/${ranges.subnet.prefixLength}` },
    {
      puts: [{ kind: "address", key: record.key, record }],
      claims: [claimOf("address", record.key, addressClaimKey(network.networkId, ip))],
    },
  );
}

function placeOf(view: ClusterView, { NetworkID, AddressPool }: AllocAddress): NamedPlace {
  if (NetworkID !== "") return placeOfNetworkId(view, NetworkID);
  if (AddressPool !== "") return placeOfAddressPool(view, AddressPool);
  throw invalid("NetworkID", "or AddressPool is required");
}

function addressRecord({ network, group }: NamedPlace, ip: string, { now }: IntentContext): AddressRecord {
  const { tenantName, networkName } = network.config;
  const names = { tenantName, networkName, groupName: group?.config.groupName ?? "" };
  return { key: bareKey(tenantName, networkName, ip), networkId: network.networkId, ...names, ip, createdAt: now };
}

/** Key of a bare allocation. */
export function bareKey(tenantName: string, networkName: string, ip: string): string {
  return `${scopedKey(tenantName, networkName)}:${ip}`;
}

/** `POST /plugin/releaseAddress`. */
export const ReleaseAddress = z.object({
  NetworkID: z.string().max(256).describe('Network "network.tenant", or a group in it "network:group.tenant".'),
  IPv4Address: z.string().max(64).describe("Address to free, IPv4 or IPv6, with or without /length."),
});
export type ReleaseAddress = z.infer<typeof ReleaseAddress>;

/** Frees a bare allocation; one that is free already stays free. An endpoint's address goes with the endpoint only. */
export function releaseAddress(view: ClusterView, request: ReleaseAddress): Plan<"success"> {
  const { network } = placeOfNetworkId(view, request.NetworkID);
  const address = withoutLength(request.IPv4Address);
  if (address === undefined) throw invalid("IPv4Address", `must be an address, not "${request.IPv4Address}"`);
  const family = familyOf(request.IPv4Address);
  const ip = formatAddress(family, address);
  const key = bareKey(network.config.tenantName, network.config.networkName, ip);
  if (view.records("address").has(key)) {
    const releases = [addressClaimKey(network.networkId, ip)];
    return plan("success", { deletes: [{ kind: "address", key }], releases });
  }
  if (addressesOf(view, network)[family === 4 ? "ipv4" : "ipv6"]?.isTaken(address)) {
    const message = `IPv4Address: ${ip} of network ${network.key} belongs to an endpoint or is the gateway; delete the endpoint instead`;
    throw conflict("address-in-use", message, "IPv4Address");
  }
  return plan("success");
}
