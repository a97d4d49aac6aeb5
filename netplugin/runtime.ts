import type { Logger } from "pino";
import type { SocketPool } from "../drivers/netlink/pool.ts";
import type { Panel } from "../drivers/ovs/panel.ts";
import type { PortPool } from "../drivers/ovs/types.ts";
import type { EndpointReply } from "../state/node-api.ts";
import type { Attachment } from "./attach/attachment.ts";
import type { NodeClient } from "./node-client/node-client.ts";
import type { NodeView } from "./view/node-view.ts";

/** What the node's parts offer to whoever attaches and detaches endpoints. */
export interface NodeRuntime {
  readonly log: Logger;
  readonly client: NodeClient;
  readonly pool: PortPool;
  readonly netlink: SocketPool;
  readonly panel: Panel;
  view(): NodeView;
  /** What is plugged in on this machine, by endpoint key. */
  attachments(): ReadonlyMap<string, Attachment>;
  /** Why an ADD would fail now, with the next step; undefined when it would not. */
  notReady(): string | undefined;
  /** Announces that an ADD of this endpoint is under way, so that its lease is not taken for an orphan. */
  pending(endpointKey: string): Disposable;
  /** Makes a ready port an attachment. */
  markPort(portName: string, marks: Readonly<Record<string, string>>): Promise<void>;
  /** Takes the objects of a reply into the view before the watch brings them. */
  applyReply(reply: EndpointReply): void;
  /** Waits until the endpoint's flows are in the switch, behind a barrier; an endpoint that cannot be enforced is an error. */
  enforced(endpointKey: string, signal: AbortSignal): Promise<void>;
  /** Throws when the endpoint's flows are not in the switch. */
  checkEnforced(attachment: Attachment): void;
  /** Takes the endpoint out of the view, so that its flows go. */
  releaseEarly(attachment: Attachment): void;
  /** Waits until what was released early has no flows any more. With the switch away there is nothing to wait for. */
  withdrawn(signal: AbortSignal): Promise<void>;
  /** Ends the lease; with netmaster away it is ended later. */
  release(attachment: Pick<Attachment, "endpointKey" | "epoch">, signal: AbortSignal): Promise<void>;
  /** Ends the lease of an endpoint that has no port here, if the store homes it on this node. */
  releaseUnattached(endpointKey: string, signal: AbortSignal): Promise<void>;
  /** Unplugs the port and deletes its link soon, together with others; it is no attachment any more from now on. */
  removePort(attachment: Attachment): void;
  /** The link that the pod's interface hangs on: the far end in the panel, or without macvlan the near end. */
  lowerIfIndex(portName: string): Promise<number | undefined>;
}
