import { carriesMacvlan, linksWithMacvlan } from "../../../drivers/netlink/macvlan-users.ts";
import type { NetnsHandle } from "../../../drivers/netlink/netns.ts";
import { openNetlink } from "../../../drivers/netlink/socket.ts";
import type { LinkPair } from "../../../drivers/ovs/pod-ports/link-pairs.ts";
import type { Panel } from "../../../drivers/ovs/pod-ports/panel.ts";
import { findPodLink } from "../../../drivers/pod-interface.ts";
import { openPodNetns } from "../../../drivers/pod-netns.ts";
import type { Attachment } from "../../machine/attachment.ts";

/**
 * What is wrong with a pod's end of its port. `gone`: neither its namespace nor its interface is there. `cut`: its namespace is, and the
 * links that its interface hung on are not. `stripped`: somebody has deleted the interface alone.
 */
export type PodEndFault = "gone" | "cut" | "stripped";

interface Facts {
  readonly hasPair: boolean;
  readonly hasInterface: boolean;
  readonly hasNamespace: boolean;
}

/** Undefined while the pod's interface is there, wherever: a pod may live although the path of its namespace is gone. */
export function faultOf({ hasPair, hasInterface, hasNamespace }: Facts): PodEndFault | undefined {
  if (hasPair && hasInterface) return undefined;
  if (!hasNamespace) return "gone";
  return hasPair ? "stripped" : "cut";
}

/** Ports on which a pod's interface is up, by the indexes of their far ends. Without macvlan none can be told. */
export async function farEndsInUse(panel: Panel): Promise<ReadonlySet<number>> {
  return panel.podEnd === "macvlan" ? await panel.netlink.use(linksWithMacvlan) : new Set();
}

/** Are both ends of the port's links there? */
export function isPairThere(pair: LinkPair | undefined, panel: Panel): boolean {
  return pair?.near !== undefined && (pair.far !== undefined || panel.podEnd === "veth");
}

/** Looks closely. Nobody may be about to use the port: the last resort is a macvlan of our own on it, for some milliseconds. */
export async function podEndFault(
  attachment: Attachment,
  pair: LinkPair | undefined,
  panel: Panel,
): Promise<PodEndFault | undefined> {
  using netns = openPodNetns(attachment.netnsPath, panel.netns);
  return faultOf({
    hasPair: isPairThere(pair, panel),
    hasInterface: (await isFoundInside(attachment, pair, netns)) || (await hasInterface(pair, panel)),
    hasNamespace: netns !== undefined,
  });
}

async function isFoundInside(
  { ifName }: Attachment,
  pair: LinkPair | undefined,
  netns: NetnsHandle | undefined,
): Promise<boolean> {
  if (netns === undefined || pair?.far === undefined) return false;
  using socket = openNetlink({ netns });
  return (await findPodLink(socket, ifName))?.peerIfindex === pair.far.ifindex;
}

/** Without macvlan the far end is in the pod, and the pair dies with the pod's namespace. */
export async function hasInterface(pair: LinkPair | undefined, panel: Panel): Promise<boolean> {
  if (pair?.near === undefined) return false;
  if (panel.podEnd === "veth") return true;
  const { far } = pair;
  return far !== undefined && (await panel.netlink.use((socket) => carriesMacvlan(socket, far.ifindex)));
}
