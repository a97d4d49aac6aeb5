import { z } from "zod";
import { DriverName } from "../driver-name.ts";
import { NetworkId, TenantId } from "../ids.ts";
import { ConfiguredTag, Name } from "../names.ts";
import { parseIpv6Subnet, parseNetworkSubnet } from "../network-subnet.ts";
import { checkedText } from "../text-check.ts";

/** Alias of an underlay that carries VLANs; every node maps it to one of its NICs. */
export const PhysicalNetwork = z
  .string()
  .max(32)
  .regex(
    /^([a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?)?$/,
    "may hold letters, digits and hyphens, and must begin and end with a letter or digit",
  )
  .default("");

/** RFC 7348: 24 bits. */
const VNI_MAX = 16_777_215;

/** What the admin says of a network (contract §6.2). `mtuBytes` 0 = derive from the underlay. */
export const Network = z.object({
  networkName: Name.describe("Name of the network, unique in its tenant."),
  tenantName: Name.describe("Tenant that it belongs to."),
  nwType: z
    .enum(["infra", "data"])
    .default("data")
    .describe("data: for pods. infra: every node gets a port of its own in it."),
  encap: z.enum(["vlan", "vxlan"]).describe("How its frames travel between nodes."),
  pktTag: z
    .int()
    .min(0)
    .max(VNI_MAX)
    .default(0)
    .describe("VLAN id (1-4094) or VNI (1-16777215), within the ranges of the settings; 0: a free one is chosen."),
  subnet: checkedText(64, parseNetworkSubnet).describe(
    'IPv4 subnet, or a range of its addresses to hand out: "10.1.1.0/24", "10.1.1.10-10.1.1.99/24".',
  ),
  gateway: z
    .union([z.literal(""), z.ipv4("must be an IPv4 address like 10.1.1.254")])
    .default("")
    .describe("IPv4 gateway, an address of the subnet; empty: none."),
  ipv6Subnet: checkedText(64, (text) => text === "" || parseIpv6Subnet(text))
    .default("")
    .describe("IPv6 subnet, with a length of 1 to 127; empty: the network has no IPv6."),
  ipv6Gateway: z
    .union([z.literal(""), z.ipv6("must be an IPv6 address like fd00:1::1")])
    .default("")
    .describe("IPv6 gateway, an address of ipv6Subnet; empty: none."),
  cfgdTag: ConfiguredTag.describe("Tag shown by inspect; empty: networkName.tenantName."),
  physicalNetwork: PhysicalNetwork.describe(
    "With VLAN: alias of the underlay, which each node maps to a NIC; empty: the one called default.",
  ),
  mtuBytes: z
    .int()
    .min(0)
    .max(9_216)
    .refine((mtu) => mtu === 0 || (mtu >= 1280 && mtu <= 9216), "must be 0 (derive) or 1280-9216 bytes")
    .default(0)
    .describe("MTU of its pods' interfaces in bytes, 1280-9216; 0: what the underlay allows."),
  driver: DriverName.optional().describe(
    "How its pods are attached; absent: ovs, the only one that this release can use.",
  ),
});
export type Network = z.infer<typeof Network>;

/** What the store keeps of a network: `tag` is the VLAN id or the VNI in use. */
export const NetworkRecord = z.object({
  key: z.string(),
  networkId: NetworkId,
  tenantId: TenantId,
  tag: z.int().min(1).max(VNI_MAX),
  config: Network,
});
export type NetworkRecord = Readonly<z.infer<typeof NetworkRecord>>;
