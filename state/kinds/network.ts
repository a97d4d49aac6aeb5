import { z } from "zod";
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

/** What the admin says of a network (contract §6.2). `mtuBytes` 0 = derive from the underlay. */
export const Network = z.object({
  networkName: Name,
  tenantName: Name,
  nwType: z.enum(["infra", "data"]).default("data"),
  encap: z.enum(["vlan", "vxlan"]),
  pktTag: z.int().min(0).max(16_777_216).default(0),
  subnet: checkedText(64, parseNetworkSubnet),
  gateway: z.union([z.literal(""), z.ipv4("must be an IPv4 address like 10.1.1.254")]).default(""),
  ipv6Subnet: checkedText(64, (text) => text === "" || parseIpv6Subnet(text)).default(""),
  ipv6Gateway: z.union([z.literal(""), z.ipv6("must be an IPv6 address like fd00:1::1")]).default(""),
  cfgdTag: ConfiguredTag,
  physicalNetwork: PhysicalNetwork,
  mtuBytes: z
    .int()
    .min(0)
    .max(9_216)
    .refine((mtu) => mtu === 0 || (mtu >= 1280 && mtu <= 9216), "must be 0 (derive) or 1280-9216 bytes")
    .default(0),
});
export type Network = z.infer<typeof Network>;

/** What the store keeps of a network: `tag` is the VLAN id or the VNI in use. */
export const NetworkRecord = z.object({
  key: z.string(),
  networkId: NetworkId,
  tenantId: TenantId,
  tag: z.int().min(1).max(16_777_215),
  config: Network,
});
export type NetworkRecord = Readonly<z.infer<typeof NetworkRecord>>;
