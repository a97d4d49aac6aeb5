import type { Logger } from "pino";
import type { NetworkDriver } from "../../drivers/driver.ts";
import { type DriverName, driverOf } from "../../state/driver-name.ts";
import { NetError } from "../../state/errors.ts";
import type { Surroundings } from "../desired/known-neighbours.ts";
import type { Attachment } from "../machine/attachment.ts";
import type { NodeClient } from "../node-client/node-client.ts";
import type { StackKeeper } from "../reconcile/base/stack-keeper.ts";
import type { FlowKeeper } from "../reconcile/flows/flow-keeper.ts";
import type { LeaseKeeper } from "../reconcile/leases/lease-keeper.ts";
import type { LimitKeeper } from "../reconcile/limits/limit-keeper.ts";
import type { ViewHolder } from "../view/view-holder.ts";
import type { UnfinishedCalls } from "./unfinished-calls.ts";

/** May pods be attached now? Cause and next step where not. */
export interface AttachReadiness {
  /** Why an ADD is refused; undefined: it is tried. */
  whyNoAdd(): string | undefined;
  /** Why an ADD would fail now; undefined when it would not. */
  whyNotReady(): string | undefined;
}

/** What whoever attaches and detaches pods needs of the node. */
export interface AttachingNode extends Surroundings {
  readonly nodeName: string;
  readonly log: Logger;
  readonly client: Pick<NodeClient, "createEndpoint">;
  /** How pods can be attached here, by name. */
  readonly drivers: ReadonlyMap<DriverName, NetworkDriver>;
  readonly holder: Pick<ViewHolder, "applyReply" | "releaseEarly" | "reached">;
  readonly flows: Pick<FlowKeeper, "enforced" | "check" | "withdrawn">;
  readonly limits: Pick<LimitKeeper, "enforced">;
  readonly stack: Pick<StackKeeper, "closed">;
  readonly leases: Pick<
    LeaseKeeper,
    "pending" | "release" | "releaseSoon" | "told" | "taken" | "end" | "endUnattached"
  >;
  /** Calls that want several attachments and are under way. */
  readonly unfinished: UnfinishedCalls;
  /** Have all witnesses of attachments been asked, also after a look that this calls for? Before, what seems to be nobody's may be a pod's. */
  knowsAll(signal: AbortSignal): Promise<boolean>;
  /** What is plugged in on this machine, by endpoint key. */
  attachments(): ReadonlyMap<string, Attachment>;
  readonly readiness: AttachReadiness;
}

/** The driver of an attachment or a lease, which may name none: then it is Open vSwitch's. @throws NetError UNAVAILABLE: it is not here */
export function networkDriverOf(
  { drivers }: Pick<AttachingNode, "drivers">,
  named: { readonly driver?: DriverName | undefined },
): NetworkDriver {
  const name = driverOf(named);
  const found = drivers.get(name);
  if (found !== undefined) return found;
  const here = [...drivers.keys()].join(", ") || "none";
  const message = `This node has no network driver "${name}" (there are: ${here}); see the driver of the pod's network`;
  throw new NetError("UNAVAILABLE", message);
}
