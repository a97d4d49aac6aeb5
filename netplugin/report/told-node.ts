import type { Logger } from "pino";
import type { NetworkDriver } from "../../drivers/driver.ts";
import type { OpenOvsDriver } from "../../drivers/ovs/switch.ts";
import type { Certificates } from "../../state/certificates.ts";
import type { NodeName } from "../../state/names.ts";
import type { Attachment } from "../machine/attachment.ts";
import type { NodeClient } from "../node-client/node-client.ts";
import type { AttachmentKeeper } from "../reconcile/attachments/attachment-keeper.ts";
import type { PanelName } from "../reconcile/base/panel-name.ts";
import type { TunnelAddress } from "../reconcile/base/tunnel-address.ts";
import type { VtepAddress } from "../reconcile/base/vtep-address.ts";
import type { FlowKeeper } from "../reconcile/flows/flow-keeper.ts";
import type { ForeignFlows } from "../reconcile/flows/foreign-flows.ts";
import type { Infra } from "../reconcile/infra/infra.ts";
import type { LeaseOffers } from "../reconcile/leases/lease-offers.ts";
import type { NodeLimits } from "../reconcile/limits/node-limits.ts";
import type { NodeView } from "../view/node-view.ts";
import type { ViewHolder } from "../view/view-holder.ts";
import type { ConnectionLog } from "./connection-log/connection-log.ts";
import type { LastingFailures } from "./lasting-failures.ts";
import type { Reachability } from "./reachability.ts";
import type { NodeReadiness } from "./readiness.ts";
import type { NodeTraffic } from "./traffic/start.ts";

/** What each pod may do per second; 0 = any number. */
export interface PodLimits {
  readonly newConnectionsPerSecond: number;
  readonly neighbourMessagesPerSecond: number;
}

/** What there is to tell of a node: to netmaster, to Prometheus, and to whoever inspects it. Nothing here is changed by telling it. */
export interface ToldNode {
  readonly nodeName: NodeName;
  readonly log: Logger;
  readonly client: Pick<NodeClient, "register" | "heartbeat">;
  readonly ovs: OpenOvsDriver;
  readonly drivers: ReadonlyMap<string, NetworkDriver>;
  readonly holder: ViewHolder;
  readonly flows: FlowKeeper;
  readonly offers: Pick<LeaseOffers, "isOpen" | "settledEpoch" | "conditions">;
  readonly attached: Pick<AttachmentKeeper, "conditions">;
  readonly infra: Pick<Infra, "conditions">;
  readonly limits: NodeLimits;
  readonly traffic: NodeTraffic;
  readonly connections: ConnectionLog;
  readonly foreignFlows: Pick<ForeignFlows, "count" | "fault">;
  readonly panelName: Pick<PanelName, "fault">;
  readonly tunnel: Pick<TunnelAddress, "fault">;
  readonly vtep: Pick<VtepAddress, "current" | "registrable">;
  readonly reachability: Reachability;
  readonly certificates: Pick<Certificates, "fault">;
  readonly readiness: NodeReadiness;
  readonly podLimits: PodLimits;
  /** Which failures last long enough to be a condition. */
  readonly lasting: LastingFailures;
  view(): NodeView;
  /** What is plugged in on this machine, by endpoint key. */
  attachments(): ReadonlyMap<string, Attachment>;
  /** Ports that wait for a pod. */
  readyPorts(): number;
  /** Why runtimes cannot reach this process; undefined when they can. */
  cniFault(): string | undefined;
}
