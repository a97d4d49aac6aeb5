import { NetError } from "../../../state/errors.ts";
import type { EndpointRecord } from "../../../state/kinds/endpoint.ts";
import type { NetworkRecord } from "../../../state/kinds/network.ts";
import type { Machine } from "../../machine/machine.ts";
import type { Changes, NodeView, ObjectRef } from "../../view/node-view.ts";
import {
  endpointsOfNetwork,
  endpointsOfNetworkOnNode,
  endpointsOfNode,
  networkOf,
  networksOfTenant,
  recordOf,
} from "../../view/query.ts";
import { type FlowContext, isLive, isRouting, isTenantLive } from "../engine/context.ts";
import { limitedAnew } from "./limits-touched.ts";
import { allOwners } from "./owners.ts";
import { touchPolicies } from "./policy-touched.ts";
import { addOwner, type Owners, type Step } from "./step.ts";

/**
 * Owners whose flows may differ between two moments. `changes` must hold every object that differs between the views; which ports
 * differ is found here. Too many is only slow, too few would be wrong: flow-set.test.ts compares with computing everything.
 */
export function touchedOwners(before: FlowContext, after: FlowContext, changes: Changes): Owners {
  if (before.generation !== after.generation) {
    throw new NetError("INTERNAL", "A flow set keeps its generation; begin a new one to write another");
  }
  if (hasMachineChanged(before.machine, after.machine) || before.settings.fwdMode !== after.settings.fwdMode) {
    return everyOwner(before, after);
  }
  const step: Step = { before, after, owners: new Map() };
  if (before.settings.arpMode !== after.settings.arpMode) touchAllButRules(step);
  for (const ref of changes.values()) touchObject(step, ref);
  for (const { endpoint, hasOtherCeilings } of limitedAnew(before, after, changes)) {
    addOwner(step.owners, { kind: "endpoint", key: endpoint.key });
    if (hasOtherCeilings) touchNetworkOwner(step, endpoint.networkId);
  }
  for (const key of changedPorts(before.machine.ports, after.machine.ports)) touchEndpoint(step, key);
  touchRefused(step);
  touchPolicies(step, changes);
  return step.owners;
}

function everyOwner(before: FlowContext, after: FlowContext): Owners {
  return new Map([...allOwners(before.view), ...allOwners(after.view)]);
}

/** True when something differs that every flow may depend on; ports are looked at one by one. */
function hasMachineChanged(before: Machine, after: Machine): boolean {
  return (
    before.nodeName !== after.nodeName ||
    before.routerMac !== after.routerMac ||
    before.tunnelOfport !== after.tunnelOfport ||
    before.vtepIp !== after.vtepIp ||
    before.datapathType !== after.datapathType ||
    before.limitMeans !== after.limitMeans ||
    before.newConnectionsPerSecond !== after.newConnectionsPerSecond ||
    before.neighbourMessagesPerSecond !== after.neighbourMessagesPerSecond ||
    !isEqualMap(before.uplinks, after.uplinks)
  );
}

function isEqualMap(left: ReadonlyMap<string, number>, right: ReadonlyMap<string, number>): boolean {
  return left === right || (left.size === right.size && [...left].every(([key, value]) => right.get(key) === value));
}

/** Who answers for addresses is no matter of rules. */
function touchAllButRules({ before, after, owners }: Step): void {
  for (const [id, owner] of everyOwner(before, after)) if (owner.kind !== "rule") owners.set(id, owner);
}

function changedPorts(before: ReadonlyMap<string, number>, after: ReadonlyMap<string, number>): Set<string> {
  const changed = new Set<string>();
  if (before === after) return changed;
  for (const [key, ofport] of before) if (after.get(key) !== ofport) changed.add(key);
  for (const key of after.keys()) if (!before.has(key)) changed.add(key);
  return changed;
}

function touchObject(step: Step, { kind, key }: ObjectRef): void {
  if (kind === "endpoint") touchEndpoint(step, key);
  if (kind === "network") touchNetwork(step, key);
  if (kind === "node") touchNode(step, key);
}

/** What the switch takes now, and what it does not take any more; the endpoints concerned follow by their groups. */
function touchRefused({ before, after, owners }: Step): void {
  const [was, is] = [before.machine.refused, after.machine.refused];
  if (was === is) return;
  for (const refused of [was, is]) {
    for (const [id, { kind, key, reason }] of refused ?? []) {
      if (was?.get(id)?.reason !== reason || is?.get(id)?.reason !== reason) addOwner(owners, { kind, key });
    }
  }
}

/** The endpoint before and after, where it existed. */
function both<R>(step: Step, find: (view: NodeView) => R | undefined): R[] {
  return [find(step.before.view), find(step.after.view)].filter((record) => record !== undefined) as R[];
}

function touchEndpoint(step: Step, key: string): void {
  addOwner(step.owners, { kind: "endpoint", key });
  for (const endpoint of both(step, (view) => recordOf(view, "endpoint", key))) touchItsNetwork(step, endpoint);
}

/** The network lists its local ports and the nodes that hold its endpoints; a first or last local port changes far more. */
function touchItsNetwork(step: Step, { networkId, nodeName }: EndpointRecord): void {
  const isLocal = nodeName === step.after.machine.nodeName;
  if (isLocal || holds(step.before, networkId, nodeName) !== holds(step.after, networkId, nodeName)) {
    touchNetworkOwner(step, networkId);
  }
  if (isLocal) touchLiveness(step, networkId);
}

function holds({ view }: FlowContext, networkId: number, nodeName: string): boolean {
  return !endpointsOfNetworkOnNode(view, networkId, nodeName).next().done;
}

function touchNetworkOwner(step: Step, networkId: number): void {
  for (const { key } of both(step, (view) => networkOf(view, networkId))) {
    addOwner(step.owners, { kind: "network", key });
  }
}

function touchLiveness(step: Step, networkId: number): void {
  const [before, after] = [networkOf(step.before.view, networkId), networkOf(step.after.view, networkId)];
  const wasLive = before !== undefined && isLive(step.before, before);
  if (wasLive !== (after !== undefined && isLive(step.after, after))) touchWholeNetwork(step, networkId);
  for (const { tenantId } of both(step, (view) => networkOf(view, networkId))) touchTenantLiveness(step, tenantId);
}

function touchTenantLiveness(step: Step, tenantId: number): void {
  if (!isRouting(step.after) || isTenantLive(step.before, tenantId) === isTenantLive(step.after, tenantId)) return;
  for (const { view } of [step.before, step.after]) {
    for (const { networkId } of networksOfTenant(view, tenantId)) touchWholeNetwork(step, networkId);
  }
}

function touchWholeNetwork(step: Step, networkId: number): void {
  touchNetworkOwner(step, networkId);
  for (const { key } of endpointsOfNetwork(step.after.view, networkId))
    addOwner(step.owners, { kind: "endpoint", key });
}

function touchNetwork(step: Step, key: string): void {
  addOwner(step.owners, { kind: "network", key });
  const records: NetworkRecord[] = both(step, (view) => recordOf(view, "network", key));
  for (const { networkId, tenantId } of records) {
    touchWholeNetwork(step, networkId);
    touchTenantLiveness(step, tenantId);
  }
}

/** Of a node, only its tunnel address matters here; its state and conditions come and go without touching a flow. */
function touchNode(step: Step, key: string): void {
  const vtepIpIn = ({ view }: FlowContext) => recordOf(view, "node", key)?.registration.vtepIp;
  if (vtepIpIn(step.before) === vtepIpIn(step.after)) return;
  addOwner(step.owners, { kind: "node", key });
  for (const endpoint of endpointsOfNode(step.after.view, key)) {
    addOwner(step.owners, { kind: "endpoint", key: endpoint.key });
    touchNetworkOwner(step, endpoint.networkId);
  }
}
