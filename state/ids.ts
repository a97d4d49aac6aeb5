import { z } from "zod";

const MAX_U32 = 0xffffffff;

/** VLAN id; IEEE 802.1Q reserves 0 and 4095. */
export const Vlan = z.int().min(1).max(4094).brand<"Vlan">();
export type Vlan = z.infer<typeof Vlan>;

/** VXLAN network identifier, 24 bits (RFC 7348 §5); 0 is not handed out. */
export const Vni = z.int().min(1).max(16_777_215).brand<"Vni">();
export type Vni = z.infer<typeof Vni>;

/** Cluster-wide number of a tenant; fits one 32-bit OpenFlow register. 0 is not handed out. */
export const TenantId = z.int().min(1).max(MAX_U32).brand<"TenantId">();
export type TenantId = z.infer<typeof TenantId>;

/** Cluster-wide number of a network; fits one 32-bit OpenFlow register. 0 is not handed out. */
export const NetworkId = z.int().min(1).max(MAX_U32).brand<"NetworkId">();
export type NetworkId = z.infer<typeof NetworkId>;

/** Cluster-wide number of an endpoint group; fits one 32-bit OpenFlow register. 0 means "no group". */
export const GroupId = z.int().min(1).max(MAX_U32).brand<"GroupId">();
export type GroupId = z.infer<typeof GroupId>;

/** MAC address in lower case with colons. */
export const Mac = z
  .string()
  .regex(/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/, "must be a MAC address in lower case, like 02:02:0a:01:01:01")
  .brand<"Mac">();
export type Mac = z.infer<typeof Mac>;

/** One lease of an address by one owner; a release must name the epoch that it ends. */
export const Epoch = z.string().min(1).max(64).brand<"Epoch">();
export type Epoch = z.infer<typeof Epoch>;
