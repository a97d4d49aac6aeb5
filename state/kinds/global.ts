import { z } from "zod";
import { parseSubnet } from "../address.ts";
import { parseNumberRanges } from "../number-ranges.ts";
import { checkedText } from "../text-check.ts";

/** What 802.1Q leaves, and what 24 bits leave; the contract's text allows 0 and 4095 as range ends, they are never handed out. */
export const VLAN_LIMITS = { first: 1, last: 4094 };
export const VNI_LIMITS = { first: 1, last: 16_777_215 };

/** Parses the VLAN ranges; ids 0 and 4095 may stand in them. */
export function parseVlanRanges(text: string): ReturnType<typeof parseNumberRanges> {
  const { first, last } = VLAN_LIMITS;
  const ranges = parseNumberRanges(text, VLAN_LIMITS, { first: 0, last: 4095 });
  if (typeof ranges === "string") return ranges;
  return ranges.map((range) => ({ first: Math.max(range.first, first), last: Math.min(range.last, last) }));
}

export function parseVniRanges(text: string): ReturnType<typeof parseNumberRanges> {
  return parseNumberRanges(text, VNI_LIMITS);
}

function checkPrivateSubnet(text: string): true | string {
  return parseSubnet(4, text)?.prefixLength === 16 || "must be like 172.19.0.0/16, with a length of 16";
}

/** Cluster-wide settings (contract §6.7). Ranges are one range or a comma list of ranges. */
export const Global = z.object({
  name: z.literal("global").describe("Name of the only object of its kind."),
  networkInfraType: z
    .enum(["default", "aci", "aci-opflex"])
    .describe("Fabric between the nodes. This release works with default only, which it is at first."),
  vlans: checkedText(1_024, parseVlanRanges).describe(
    'VLAN ids that networks may get, like "1-100,200-300"; 1-4094 at first. All ids in use must be within.',
  ),
  vxlans: checkedText(1_024, parseVniRanges).describe(
    'VXLAN network identifiers (VNIs) that networks may get, like "1-10000", which it is at first. All in use must be within.',
  ),
  fwdMode: z
    .enum(["bridge", "routing"])
    .describe(
      "bridge: networks are separate. routing: nodes route between the networks of a tenant. At first what netmaster was started " +
        "with (--fwd-mode, bridge).",
    ),
  arpMode: z
    .enum(["proxy", "flood"])
    .describe(
      "proxy: the switch answers ARP requests for known endpoints. flood: the network's members answer. At first proxy.",
    ),
  pvtSubnet: checkedText(18, checkPrivateSubnet).describe(
    "IPv4 subnet of length 16 that version 1 used; kept and checked, without effect; 172.19.0.0/16 at first.",
  ),
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
