import { NetError } from "../../../state/errors.ts";
import { isErrno } from "../../netlink/errno.ts";
import { createMacvlan, setLink } from "../../netlink/link.ts";
import type { Message } from "../../netlink/message.ts";
import type { NetnsHandle } from "../../netlink/netns.ts";
import type { SocketPool } from "../../netlink/pool.ts";
import { configureLink, type PodLink } from "../../pod-interface.ts";
import type { ReadyPort } from "../types.ts";
import type { Panel } from "./panel.ts";

export interface PodInterfaceParts {
  /** Sockets in the node's namespace. */
  readonly netlink: SocketPool;
  readonly panel: Panel;
  readonly port: ReadyPort;
  readonly netns: NetnsHandle;
  readonly link: PodLink;
  /** What the kernel is to remember with the far end: whose it is. */
  readonly alias?: string | undefined;
}

/** Gives the pod an interface on a ready port, with name, MAC, MTU, addresses and routes. */
export async function makePodInterface(parts: PodInterfaceParts, signal: AbortSignal): Promise<void> {
  const { panel, netns, link } = parts;
  if (link.mtuBytes > parts.port.mtuBytes) await widen(parts, signal);
  try {
    await panel.netlink.execute([podEnd(parts), ...farAlias(parts)], { signal });
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error;
    const text = `Interface "${link.ifName}" exists in the pod's namespace already`;
    throw new NetError("CONFLICT", text, { cause: error });
  }
  await configureLink(netns, link, signal);
}

/** Both ends carry what the pod is to send. Rarely needed: the switch looks at all its ports when a link of its namespace changes. */
async function widen(
  { netlink, panel, port, link: { mtuBytes } }: PodInterfaceParts,
  signal: AbortSignal,
): Promise<void> {
  await netlink.execute([setLink({ ifindex: port.ifIndex }, { mtuBytes })], { signal });
  await panel.netlink.execute([setLink({ ifindex: port.peerIfIndex }, { mtuBytes })], { signal });
}

function podEnd({ panel, port, netns, link }: PodInterfaceParts): Message {
  const { ifName: name, mac, mtuBytes } = link;
  const inPod = { name, netnsFd: netns.fd, mac, mtuBytes };
  if (panel.podEnd === "veth") return setLink({ ifindex: port.peerIfIndex }, inPod);
  return createMacvlan(inPod, { lowerIfindex: port.peerIfIndex, mode: "private" });
}

/** In the same send as the pod's end. A far end that has moved into the pod is out of reach: there the near end is labelled later. */
function farAlias({ panel, port, alias }: PodInterfaceParts): readonly Message[] {
  return alias === undefined || panel.podEnd === "veth" ? [] : [setLink({ ifindex: port.peerIfIndex }, { alias })];
}
