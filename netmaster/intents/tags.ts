import type { NumberRange } from "../../state/allocators/id-pool.ts";
import { NetError } from "../../state/errors.ts";
import { type Global, parseVlanRanges, parseVniRanges, VLAN_LIMITS, VNI_LIMITS } from "../../state/kinds/global.ts";
import type { Network } from "../../state/kinds/network.ts";
import { inRanges } from "../../state/number-ranges.ts";
import type { ClusterView } from "../view/types.ts";
import { conflict, invalid } from "./errors.ts";

interface TagKind {
  readonly noun: string;
  readonly pool: "vlan" | "vni";
  readonly setting: "vlans" | "vxlans";
  readonly limits: NumberRange;
  readonly parse: (text: string) => readonly NumberRange[] | string;
}

/** What the two encapsulations call their tags, and where they come from. */
export const TAG_KINDS: Readonly<Record<Network["encap"], TagKind>> = {
  vlan: { noun: "VLAN", pool: "vlan", setting: "vlans", limits: VLAN_LIMITS, parse: parseVlanRanges },
  vxlan: { noun: "VNI", pool: "vni", setting: "vxlans", limits: VNI_LIMITS, parse: parseVniRanges },
};

/** The tags that the settings allow for an encapsulation. */
export function configuredRanges(settings: Global, encap: Network["encap"]): readonly NumberRange[] {
  const { parse, setting } = TAG_KINDS[encap];
  const ranges = parse(settings[setting]);
  if (typeof ranges === "string") throw new NetError("INTERNAL", `The stored setting ${setting} ${ranges}`);
  return ranges;
}

/** Checks the tag that the network asks for; 0 asks for any. */
export function checkTagLimits({ encap, pktTag }: Network): void {
  const { noun, limits } = TAG_KINDS[encap];
  if (pktTag > limits.last)
    throw invalid("pktTag", `must be a ${noun} of ${limits.first}-${limits.last}, not ${pktTag}`);
}

/** The tag of a new network: the requested one, or the lowest that is free (contract §6.2). */
export function chooseTag(view: ClusterView, settings: Global, { encap, pktTag }: Network): number {
  const { noun, pool, setting } = TAG_KINDS[encap];
  const ranges = configuredRanges(settings, encap);
  if (pktTag !== 0) {
    if (!inRanges(ranges, pktTag))
      throw invalid("pktTag", `${pktTag} is outside the ${setting} of the settings, ${settings[setting]}`);
    if (view.ids(pool).isTaken(pktTag)) {
      const holder = networkWithTag(view, encap, pktTag);
      const by = holder === undefined ? "" : ` by network ${holder}`;
      const message = `pktTag: ${noun} ${pktTag} is taken${by}; leave pktTag out to get the lowest free one`;
      throw conflict("tag-taken", message, "pktTag");
    }
    return pktTag;
  }
  const lowest = view.ids(pool).lowestFree(ranges);
  if (lowest !== undefined) return lowest;
  const message = `No ${noun} is left of ${settings[setting]}; delete a network or widen ${setting} in the settings`;
  throw new NetError("EXHAUSTED", message, { reason: "tags-exhausted", field: "pktTag" });
}

/** Who has the tag, so that it can be freed. The other encapsulation has numbers of its own. */
function networkWithTag(view: ClusterView, encap: Network["encap"], tag: number): string | undefined {
  for (const [key, network] of view.records("network").entries()) {
    if (network.tag === tag && network.config.encap === encap) return key;
  }
  return undefined;
}

/** A tag with the network that has it, for messages: `VLAN 150 of network t1:n1`. */
export function describeTag(view: ClusterView, encap: Network["encap"], tag: number): string {
  const holder = networkWithTag(view, encap, tag);
  return `${TAG_KINDS[encap].noun} ${tag}${holder === undefined ? "" : ` of network ${holder}`}`;
}
