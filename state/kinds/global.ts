import { z } from "zod";

/** Cluster-wide settings (contract §6.7). Ranges are one range or a comma list of ranges. */
export const Global = z.object({
  name: z.literal("global"),
  networkInfraType: z.enum(["default", "aci", "aci-opflex"]),
  vlans: z.string(),
  vxlans: z.string(),
  fwdMode: z.enum(["bridge", "routing"]),
  arpMode: z.enum(["proxy", "flood"]),
  pvtSubnet: z.string(),
});
export type Global = z.infer<typeof Global>;

/** Defaults of the contract; the forwarding mode is netmaster's start-up flag. */
export const GLOBAL_DEFAULTS: Global = {
  name: "global",
  networkInfraType: "default",
  vlans: "1-4094",
  vxlans: "1-10000",
  fwdMode: "bridge",
  arpMode: "proxy",
  pvtSubnet: "172.19.0.0/16",
};

/** What the store keeps of the settings; the only instance has the key `global`. */
export const GlobalRecord = z.object({ key: z.literal("global"), config: Global });
export type GlobalRecord = Readonly<z.infer<typeof GlobalRecord>>;
