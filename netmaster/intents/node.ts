import { isDeepStrictEqual } from "node:util";
import { NetError } from "../../state/errors.ts";
import {
  HEARTBEAT_CONDITION,
  type NodeCondition,
  type NodeRecord,
  type NodeRegistration,
} from "../../state/kinds/node.ts";
import type { NodeName } from "../../state/names.ts";
import type { Readiness } from "../../state/readiness.ts";
import type { ClusterView, IntentContext, Plan } from "../view/types.ts";
import { type Reclaimed, reclaimEndpoints } from "./endpoint.ts";
import { notFound } from "./errors.ts";
import { checkRegistration } from "./node-addresses.ts";
import { plan, type Removed } from "./plan.ts";

/** A node says that it is there; saying it again writes nothing when nothing changed. */
export function registerNode(view: ClusterView, told: NodeRegistration, context: IntentContext): Plan<NodeRecord> {
  const stored = view.records("node").get(told.name);
  const registration = stored === undefined ? told : rememberSwitch(stored.registration, told);
  checkRegistration(view, registration);
  const record = nodeRecord(stored, { state: "ready", registration }, context);
  const conditions = (stored?.conditions ?? []).filter(({ type }) => type !== HEARTBEAT_CONDITION);
  return putNode(stored, { ...record, conditions, ...readinessOf(stored?.readiness) });
}

/**
 * An agent that has started while Open vSwitch is away does not know the tunnel address. Peers must not forget it for that: the datapath may
 * still serve the node's pods. Only a node that does without Open vSwitch has none any more.
 */
function rememberSwitch(stored: NodeRegistration, told: NodeRegistration): NodeRegistration {
  if (told.drivers !== undefined && told.drivers.ovs === undefined) return told;
  const { vtepIp } = stored;
  const { datapathType, ovsVersion } = stored.capabilities;
  const seen = { ...(datapathType && { datapathType }), ...(ovsVersion && { ovsVersion }) };
  if (told.capabilities.datapathType === undefined && datapathType !== undefined) {
    const { kernelRelease } = told.capabilities; // the rest has not been looked at
    const capabilities = { ...stored.capabilities, kernelRelease };
    return { ...(vtepIp && { vtepIp }), ...told, underlayMtuBytes: stored.underlayMtuBytes, capabilities };
  }
  return { ...(vtepIp && { vtepIp }), ...told, capabilities: { ...seen, ...told.capabilities } };
}

export interface NodeStateChange {
  readonly name: NodeName;
  readonly state: NodeRecord["state"];
  /** Undefined leaves them as they are. */
  readonly conditions?: readonly NodeCondition[];
  /** What it says of itself; undefined: nothing. Absent: that stays as it is. */
  readonly readiness?: Readiness | undefined;
}

/** Notes a transition: heartbeats stopped or came back, or conditions changed. */
export function setNodeState(view: ClusterView, change: NodeStateChange, context: IntentContext): Plan<NodeRecord> {
  const stored = view.records("node").get(change.name);
  if (stored === undefined) throw notFound("node", change.name);
  const record = nodeRecord(stored, { state: change.state, registration: stored.registration }, context);
  const conditions = [...(change.conditions ?? stored.conditions)];
  return putNode(stored, {
    ...record,
    conditions,
    ...readinessOf("readiness" in change ? change.readiness : stored.readiness),
  });
}

function readinessOf(readiness: Readiness | undefined): Pick<NodeRecord, "readiness"> {
  return readiness === undefined ? {} : { readiness };
}

function nodeRecord(
  stored: NodeRecord | undefined,
  { state, registration }: Pick<NodeRecord, "state" | "registration">,
  { now }: IntentContext,
): Omit<NodeRecord, "conditions"> {
  const stateSince = stored?.state === state ? stored.stateSince : now;
  return { key: registration.name, state, stateSince, registration };
}

function putNode(stored: NodeRecord | undefined, record: NodeRecord): Plan<NodeRecord> {
  if (isDeepStrictEqual(stored, record)) return plan(record);
  return plan(record, { puts: [{ kind: "node", key: record.key, record }] });
}

/** Ends the leases of a node that is not ready, as many as one transaction takes. */
export function reclaimNode(view: ClusterView, key: string): Plan<Reclaimed> {
  requireAway(view, key);
  return reclaimEndpoints(view, view.endpointsOfNode(key));
}

/**
 * Deletes a node that is not ready and ends the leases of its endpoints, in as many steps as it takes; the node goes last. The
 * caller says by this that its pods are gone.
 */
export function deleteNode(view: ClusterView, key: string): Plan<Removed> {
  requireAway(view, key);
  const step = reclaimEndpoints(view, view.endpointsOfNode(key));
  const { remaining } = step.reply;
  const deletes = remaining > 0 ? step.deletes : [...step.deletes, { kind: "node", key } as const];
  return plan({ key, remaining }, { deletes, releases: step.releases });
}

function requireAway(view: ClusterView, key: string): void {
  const node = view.records("node").get(key);
  if (node === undefined) throw notFound("node", key);
  if (node.state !== "ready") return;
  const message = `Node ${key} sends heartbeats, so its pods may be alive; stop its netplugin first, and wait until it is unreachable`;
  throw new NetError("IN_USE", message, { reason: "node-ready", blockers: [key] });
}
