import { isErrno } from "../../netlink/errno.ts";
import { deleteLink, getLink } from "../../netlink/link.ts";
import type { LinkRow } from "../../netlink/link-row.ts";
import type { NetnsHandle } from "../../netlink/netns.ts";
import { getNetnsId } from "../../netlink/netns-id.ts";
import type { SocketPool } from "../../netlink/pool.ts";
import { type NetlinkSocket, openNetlink } from "../../netlink/socket.ts";
import { findPodLink, openUnlessForbidden } from "../../pod-interface.ts";
import type { Panel } from "./panel.ts";
import { hostNameOf, isHostName } from "./port-pool.ts";

export interface StrayParts {
  /** Sockets in the node's namespace. */
  readonly netlink: SocketPool;
  /** Where the switch's ends of pods' links are. */
  readonly switchNetns: NetnsHandle;
  readonly panel: Panel;
  /** Is the port somebody's, or on its way to be nobody's? */
  readonly isUsed: (portName: string) => boolean;
  readonly signal: AbortSignal;
}

/**
 * Deletes a pod's interface that hangs on a port of ours which is nobody's; the port's name, or undefined when there is none. What other
 * plugins made looks alike (macvlan, veth): it is ours when its lower link is in our panel, or as a veth beside the switch, under a name
 * of ours. Link numbers of two namespaces may be alike, so the namespace is compared, too.
 */
export async function deleteStray(
  { netnsPath, ifName }: { readonly netnsPath: string; readonly ifName: string },
  parts: StrayParts,
): Promise<string | undefined> {
  using netns = openUnlessForbidden(netnsPath, parts.panel.netns);
  if (netns === undefined) return undefined;
  using socket = openNetlink({ netns });
  const link = await findPodLink(socket, ifName);
  if (link === undefined) return undefined;
  const portName = await portBelow(socket, link, parts);
  if (portName === undefined || parts.isUsed(portName)) return undefined;
  try {
    await socket.execute([deleteLink({ ifindex: link.ifindex })], { signal: parts.signal });
  } catch (error) {
    if (!isErrno(error, "ENODEV")) throw error;
  }
  return portName;
}

async function portBelow(
  socket: NetlinkSocket,
  link: LinkRow,
  { panel, netlink, switchNetns }: StrayParts,
): Promise<string | undefined> {
  if (link.peerIfindex === undefined || link.peerNetnsId === undefined) return undefined;
  if (panel.podEnd === "macvlan") {
    if (link.kind !== "macvlan" || !(await isIn(socket, link, panel.netns))) return undefined;
    return hostNameOf((await nameOf(panel.netlink, link.peerIfindex)) ?? "");
  }
  if (link.kind !== "veth" || !(await isIn(socket, link, switchNetns))) return undefined;
  const name = await nameOf(netlink, link.peerIfindex);
  return name !== undefined && isHostName(name) ? name : undefined;
}

/** Is the link's other end in that namespace? */
async function isIn(socket: NetlinkSocket, { peerNetnsId }: LinkRow, netns: NetnsHandle): Promise<boolean> {
  return (await socket.get(getNetnsId(netns))) === peerNetnsId;
}

async function nameOf(netlink: SocketPool, ifindex: number): Promise<string | undefined> {
  try {
    return (await netlink.get(getLink({ ifindex }))).name;
  } catch (error) {
    if (isErrno(error, "ENODEV")) return undefined;
    throw error;
  }
}
