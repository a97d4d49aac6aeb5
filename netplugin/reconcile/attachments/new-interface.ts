import { deleteLink } from "../../../drivers/netlink/link.ts";
import type { SocketPool } from "../../../drivers/netlink/pool.ts";
import type { Panel } from "../../../drivers/ovs/pod-ports/panel.ts";
import { dressPod } from "../../../drivers/ovs/pod-ports/pod-end.ts";
import { peerNameOf } from "../../../drivers/ovs/pod-ports/port-pool.ts";
import type { PortPool } from "../../../drivers/ovs/types.ts";
import type { PodLink } from "../../../drivers/pod-interface.ts";
import { openPodNetns } from "../../../drivers/pod-netns.ts";
import { endpointAddressing, endpointMtuBytes } from "../../../state/endpoint-addressing.ts";
import { NetError } from "../../../state/errors.ts";
import { knownNeighbours, type Surroundings } from "../../desired/known-neighbours.ts";
import { type Attachment, attachmentMarks } from "../../machine/attachment.ts";
import type { AttachmentRecords } from "../../machine/attachment-records.ts";
import { leaseMarkAmong } from "../../machine/lease-mark.ts";
import { aliasesOf } from "../../machine/link-alias.ts";
import { networkOf, nodeOf, recordOf } from "../../view/query.ts";

export interface NewInterfaceParts extends Surroundings {
  readonly nodeName: string;
  readonly netlink: SocketPool;
  readonly panel: Panel;
  readonly pool: Pick<PortPool, "take" | "giveBack">;
  readonly records: Pick<AttachmentRecords, "marksOf">;
  readonly markPort: (portName: string, marks: Readonly<Record<string, string>>) => Promise<void>;
  readonly closePort: (portName: string) => void;
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
  const { netlink, panel, pool } = parts;
  const link = leasedLink(parts, attachment);
  using netns = openPodNetns(attachment.netnsPath, panel.netns);
  if (netns === undefined) throw new NetError("NOT_FOUND", `The pod's namespace ${attachment.netnsPath} is gone`);
  const port = await pool.take({ signal });
  try {
    const leaseMark = leaseMarkAmong(parts.records.marksOf(attachment.portName));
    await parts.markPort(port.name, { ...attachmentMarks(attachment), ...leaseMark });
  } catch (error) {
    pool.giveBack(port);
    throw error;
  }
  parts.closePort(attachment.portName);
  // Where only the near end has left, the old interface still holds its name.
  await panel.netlink.use((socket) =>
    socket.settle([deleteLink({ name: peerNameOf(attachment.portName) })], { signal }),
  );
  await dressPod({ netlink, panel, port, netns, link, alias: aliasesOf(attachment)?.far }, signal);
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
