import type { Logger } from "pino";
import type { SocketPool } from "../../drivers/netlink/pool.ts";
import type { DatapathType } from "../../drivers/ovs/base.ts";
import type { Panel } from "../../drivers/ovs/pod-ports/panel.ts";
import type { PortPool } from "../../drivers/ovs/types.ts";
import type { PodEnd } from "../../drivers/pod-interface.ts";
import type { Attachment } from "../machine/attachment.ts";
import type { NodeClient } from "../node-client/node-client.ts";
import type { StackKeeper } from "../reconcile/base/stack-keeper.ts";
import type { FlowKeeper } from "../reconcile/flows/flow-keeper.ts";
import type { LeaseKeeper } from "../reconcile/leases/lease-keeper.ts";
import type { LimitKeeper } from "../reconcile/limits/limit-keeper.ts";
import type { NodeView } from "../view/node-view.ts";
import type { ViewHolder } from "../view/view-holder.ts";

/** What the node's parts offer to whoever attaches and detaches endpoints. */
export interface NodeRuntime {
  readonly nodeName: string;
  readonly log: Logger;
  readonly client: NodeClient;
  readonly pool: PortPool;
  /** Sockets in the node's namespace. */
  readonly netlink: SocketPool;
  readonly panel: Panel;
  readonly datapathType: DatapathType;
  readonly holder: Pick<ViewHolder, "applyReply" | "releaseEarly" | "reached">;
  readonly flows: Pick<FlowKeeper, "enforced" | "check" | "withdrawn">;
  readonly limits: { readonly keeper: Pick<LimitKeeper, "enforced"> };
  readonly stack: Pick<StackKeeper, "closed">;
  readonly leases: Pick<LeaseKeeper, "pending" | "release" | "endUnattached">;
  view(): NodeView;
  /** What is plugged in on this machine, by endpoint key. */
  attachments(): ReadonlyMap<string, Attachment>;
  /** Why an ADD would fail now, with the next step; undefined when it would not. */
  notReady(): string | undefined;
  /** Why netmaster was not reached the last time it was told of this node; undefined when it was. */
  netmasterAway(): string | undefined;
  /** Makes a ready port an attachment. */
  markPort(portName: string, marks: Readonly<Record<string, string>>): Promise<void>;
  /**
   * The port is no attachment any more from now on. With the pod's interface in hand it is made ready for another pod, otherwise it is
   * unplugged and its link deleted, soon and together with others.
   */
  removePort(attachment: Attachment, podEnd: PodEnd | undefined): void;
  /** The link that the pod's interface hangs on: the far end in the panel, or without macvlan the near end. */
  lowerIfIndex(portName: string): Promise<number | undefined>;
}
