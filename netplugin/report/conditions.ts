import { asNetError } from "../../state/errors.ts";
import { faultyPart } from "../../state/heartbeat-parts.ts";
import type { NodeCondition } from "../../state/kinds/node.ts";
import type { LimitMeans } from "../machine/limit-means.ts";
import { openToKernel } from "../reconcile/base/stack-keeper.ts";
import { complaintOf } from "../reconcile/limits/limit-keeper.ts";
import type { NodeLimits } from "../reconcile/limits/node-limits.ts";
import type { PodLimits, ToldNode } from "./told-node.ts";

type Source = (node: ToldNode) => readonly NodeCondition[];

/** What each part of the node has to say, by the name under which its own failure is told. */
const SOURCES: Readonly<Record<string, Source>> = {
  switch: switchCondition,
  certificates: ({ certificates }) => some("certificates", "degraded", certificates.fault()),
  registration: ({ reachability }) => some("registration", "failed", reachability.registrationFault()),
  cni: ({ cniFault }) => some("cni", "failed", cniFault()),
  uplinks: uplinkConditions,
  tunnel: ({ tunnel }) => some("tunnel", "failed", tunnel.fault()),
  kernel: ({ ovs }) => some("node-kernel", "degraded", openToKernel(ovs.guard.faults())),
  panel: ({ panelName }) => some("panel", "failed", panelName.fault()),
  enforcement: enforcementCondition,
  connections: connectionConditions,
  leases: ({ offers }) => offers.conditions(),
  attachments: ({ attached }) => attached.conditions(),
  foreignFlows: ({ foreignFlows }) => some("foreign-flows", "degraded", foreignFlows.fault()),
  infra: ({ infra }) => infra.conditions(),
  bandwidth: ({ limits }) => bandwidthConditions(limits),
};

/** What an admin must know of this node: cause and next step in each message. A source that fails costs only itself. */
export function conditionsOf(node: ToldNode): NodeCondition[] {
  return collectConditions(node, SOURCES);
}

/** The conditions of all sources; in place of one that throws a condition that says so. */
export function collectConditions<R>(
  runtime: R,
  sources: Readonly<Record<string, (runtime: R) => readonly NodeCondition[]>>,
): NodeCondition[] {
  return Object.entries(sources).flatMap(([name, source]) => {
    try {
      return source(runtime);
    } catch (thrown) {
      return [faultyPart(name, asNetError(thrown, `read the state of ${name}`).message)];
    }
  });
}

function some(type: string, status: NodeCondition["status"], message: string | undefined): readonly NodeCondition[] {
  return message === undefined ? [] : [{ type, status, message }];
}

function switchCondition({ ovs }: ToldNode): readonly NodeCondition[] {
  const fault = ovs.fault();
  if (fault !== undefined) return some("switch", "failed", fault);
  return some("switch", "ok", `Open vSwitch ${ovs.ovsVersion}, datapath ${ovs.datapathType}`);
}

function uplinkConditions({ ovs }: ToldNode): readonly NodeCondition[] {
  const conditions: NodeCondition[] = [];
  for (const { alias, nic, bridge, warning } of ovs.uplinks().values()) {
    const status = warning === undefined ? "ok" : "degraded";
    conditions.push({ type: `uplink/${alias}`, status, message: warning ?? `${nic} in ${bridge}` });
  }
  for (const [alias, error] of ovs.uplinkFailures()) {
    conditions.push({ type: `uplink/${alias}`, status: "failed", message: error.message });
  }
  for (const { nic, warning } of ovs.leftOverUplinks()) {
    conditions.push({ type: `uplink/${nic}`, status: "degraded", message: warning });
  }
  return conditions;
}

function enforcementCondition({ flows, lasting }: ToldNode): readonly NodeCondition[] {
  const failures = lasting.of(flows.reconciler.failures());
  if (failures.size === 0) return [];
  const [[object, reason] = ["", ""]] = failures;
  return some(
    "enforcement",
    "degraded",
    `${failures.size} objects cannot be enforced on this node, the first is ${object}: ${reason}; endpoints that need them are closed; see GET /inspect/driver on the node for all`,
  );
}

function connectionConditions(node: ToldNode): readonly NodeCondition[] {
  const unseen = node.flows.connections.failure();
  const goingOn = `Tracked connections cannot be listed: ${unseen}. Connections that policies deny by now may go on until their sender sends again; netplugin tries again`;
  return [
    ...some("connections", "degraded", unseen === undefined ? undefined : goingOn),
    ...podLimitConditions(node.podLimits, node.limits.means()),
  ];
}

/** Limits of each pod that this switch cannot keep. */
function podLimitConditions(limits: PodLimits, means: LimitMeans | undefined): readonly NodeCondition[] {
  const faultOf = (perSecond: number, what: string) =>
    perSecond === 0 || means?.meters !== false
      ? undefined
      : `Open vSwitch has no meters on this node, so pods may ${what}; use a kernel or a release of Open vSwitch with meters`;
  const beginning = faultOf(limits.newConnectionsPerSecond, "begin any number of connections per second");
  const asking = "send any number of ARP and neighbour discovery messages per second";
  return [
    ...some("new-connections", "degraded", beginning),
    ...some("neighbour-messages", "degraded", faultOf(limits.neighbourMessagesPerSecond, asking)),
  ];
}

/** For the node's conditions: one line when limits of any pod are not in force or not as asked for. */
function bandwidthConditions({ keeper }: Pick<NodeLimits, "keeper">): readonly NodeCondition[] {
  const complaints = [...keeper.statuses()].flatMap(([key, status]) => {
    const isAmiss = status.failure !== undefined || status.plan.shortfalls.length > 0;
    return isAmiss ? [`${key}: ${complaintOf(status)}`] : [];
  });
  if (complaints.length === 0) return [];
  const message = `Bandwidth limits of ${complaints.length} endpoints are not as asked for, the first is ${complaints[0]}`;
  return [{ type: "bandwidth", status: "degraded", message }];
}
