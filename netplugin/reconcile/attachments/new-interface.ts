import type { NetworkDriver } from "../../../drivers/driver.ts";
import { deleteLink } from "../../../drivers/netlink/link.ts";
import type { Panel } from "../../../drivers/ovs/pod-ports/panel.ts";
import { peerNameOf } from "../../../drivers/ovs/pod-ports/port-pool.ts";
import type { PodLink } from "../../../drivers/pod-interface.ts";
import { openPodNetns } from "../../../drivers/pod-netns.ts";
import { endpointAddressing, endpointMtuBytes } from "../../../state/endpoint-addressing.ts";
import { NetError } from "../../../state/errors.ts";
import { knownNeighbours, type Surroundings } from "../../desired/known-neighbours.ts";
import { type Attachment, attachmentMarks } from "../../machine/attachment.ts";
import type { AttachmentRecords } from "../../machine/attachment-records.ts";
import { leaseMarkAmong } from "../../machine/lease-mark.ts";
import { networkOf, nodeOf, recordOf } from "../../view/query.ts";

export interface NewInterfaceParts extends Surroundings {
  readonly nodeName: string;
  readonly panel: Panel;
  readonly network: Pick<NetworkDriver, "reserve" | "begin" | "attach" | "release" | "isReleasing">;
  readonly records: Pick<AttachmentRecords, "marksOf">;
}

/**
 * A living pod whose links are gone gets an interface on another port: same name, MAC, addresses and routes as its lease says. What the
 * pod itself or a chained plugin had added to the old interface is lost. Its namespace must still have its path.
 */
export async function giveNewInterface(
  parts: NewInterfaceParts,
  attachment: Attachment,
  signal: AbortSignal,
): Promise<void> {
  const { panel, network } = parts;
  const link = leasedLink(parts, attachment);
  using netns = openPodNetns(attachment.netnsPath, panel.netns);
  if (netns === undefined) throw new NetError("NOT_FOUND", `The pod's namespace ${attachment.netnsPath} is gone`);
  using slot = await network.reserve({ underlay: undefined, deviceId: undefined }, signal);
  const leaseMark = leaseMarkAmong(parts.records.marksOf(attachment.portName));
  await network.begin(slot, { ...attachmentMarks(attachment), ...leaseMark });
  network.release(attachment.portName);
  // Where only the near end has left, the old interface still holds its name.
  await panel.netlink.use((socket) =>
    socket.settle([deleteLink({ name: peerNameOf(attachment.portName) })], { signal }),
  );
  await network.attach(slot.key, { netns, link }, signal);
}

function leasedLink(parts: NewInterfaceParts, { endpointKey, epoch, ifName }: Attachment): PodLink {
  const { view, nodeName } = parts;
  const endpoint = recordOf(view(), "endpoint", endpointKey);
  const network = endpoint === undefined ? undefined : networkOf(view(), endpoint.networkId);
  const node = nodeOf(view(), nodeName);
  if (endpoint?.epoch !== epoch || endpoint.nodeName !== nodeName || network === undefined || node === undefined) {
    throw new NetError("UNAVAILABLE", `Cannot give ${endpointKey} a new interface: its lease is not known here (yet)`);
  }
  const { ipv4, ipv6, routes } = endpointAddressing(endpoint, network);
  return {
    ...{ ifName, mac: endpoint.mac, mtuBytes: endpointMtuBytes(network, node.registration), routes },
    addresses: [ipv4.address, ...(ipv6 === undefined ? [] : [ipv6.address])],
    neighbours: knownNeighbours(parts, ipv6?.gateway),
  };
}
