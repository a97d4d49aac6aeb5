import type { EndpointRecord } from "../../../state/kinds/endpoint.ts";
import type { RuleRecord } from "../../../state/kinds/rule.ts";
import { policyKeysOf } from "../../../state/policy/group-rules.ts";
import { type ResolvedRule, resolveRule } from "../../../state/policy/rule-match.ts";
import { type ObjectId, objectId } from "../../view/messages.ts";
import type { Changes, NodeView, ObjectRef } from "../../view/node-view.ts";
import { policyWorldOf } from "../../view/policy-world.ts";
import { networkOf, recordOf, settingsOf } from "../../view/query.ts";
import type { FlowContext } from "../engine/context.ts";
import { canonicalIpv6 } from "../pipeline/actions.ts";
import { hasPolicies, policyScope } from "../policy/scope.ts";
import { zoneOf } from "../policy/zone.ts";

/** View and machine at one time: what connections are judged by. */
export type Snapshot = Pick<FlowContext, "view" | "machine">;

/** Which connections want a look after a step: those from which it may have taken permission, and those of endpoints that have left. */
export interface ConnectionSelector {
  /** All of them: too much has changed, or it is not known what. */
  readonly all: boolean;
  /** What these rules match may be denied now. */
  readonly rules: readonly ResolvedRule[];
  /** Places (`placeIn`) of endpoints that are in another group now. */
  readonly moved: ReadonlySet<string>;
  /** Places of endpoints that have left: whatever they began or were sent is to be forgotten. */
  readonly departed: ReadonlySet<string>;
  /** Somebody waits for it, or goes on talking. Otherwise it has time until the addresses are given to others. */
  readonly isUrgent: boolean;
  /** Objects whose change may have taken permission: they are in force when these connections have ended. */
  readonly causes: ReadonlySet<ObjectId>;
}

/** With more of them it is quicker to judge every connection. */
const RULES_MAX = 32;
/** A step of so many changes (a watch that was away for long) is not looked through: that would hold up others. */
const CHANGES_MAX = 1_000;

/** An address in its canonical text within a conntrack zone. */
export function placeIn(zone: number, address: string): string {
  return `${zone} ${address}`;
}

/** Undefined when no connection has to be looked at. `before` is undefined at the start: what has happened is not known. */
export function selectorOf(
  before: Snapshot | undefined,
  after: Snapshot,
  changes: Changes,
): ConnectionSelector | undefined {
  const snapshots = before === undefined ? [after] : [before, after];
  if (!snapshots.some((snapshot) => hasPolicies(policyScope(snapshot)))) return undefined;
  if (before === undefined || changes.size > CHANGES_MAX) {
    return { ...nothing(), all: true, isUrgent: true, causes: groupsHere(snapshots) };
  }
  const found = nothing();
  for (const [id, change] of changes) {
    if (takesPermission(found, [before, after], change)) found.causes.add(id);
  }
  found.all ||= found.rules.length > RULES_MAX;
  found.isUrgent ||= found.all || found.rules.length + found.moved.size > 0;
  return found.isUrgent || found.departed.size > 0 ? found : undefined;
}

/** Notes what a change asks for. True: what was allowed may be denied now. */
function takesPermission(found: Found, snapshots: readonly [Snapshot, Snapshot], { kind, key }: ObjectRef): boolean {
  if (kind === "rule") {
    const rules = restrictingRules(...snapshots, key);
    found.rules.push(...rules);
    return rules.length > 0;
  }
  if (kind === "endpoint") return lookAtEndpoint(found, snapshots, key);
  const isForAll = changesAll(snapshots, { kind, key });
  found.all ||= isForAll;
  return isForAll;
}

/** Changes after which every connection is judged; nothing of the other kinds decides over packets. */
function changesAll([before, after]: readonly [Snapshot, Snapshot], { kind, key }: ObjectRef): boolean {
  if (kind === "endpointGroup") return groupText(before.view, key) !== groupText(after.view, key);
  if (kind === "policy") return isKnown(before.view, key) !== isKnown(after.view, key);
  if (kind === "network") return recordOf(before.view, "network", key) !== undefined;
  return kind === "global" && settingsOf(before.view).fwdMode !== settingsOf(after.view).fwdMode;
}

/** Groups with policies that have endpoints on this node. */
function groupsHere(snapshots: readonly Snapshot[]): ReadonlySet<ObjectId> {
  const groups = new Set<ObjectId>();
  for (const snapshot of snapshots) {
    for (const { endpoints } of policyScope(snapshot).groups.values()) {
      for (const { tenantName, groupName } of endpoints)
        groups.add(objectId("endpointGroup", `${tenantName}:${groupName}`));
    }
  }
  return groups;
}

/** What either asks for. */
export function mergeSelectors(
  earlier: ConnectionSelector | undefined,
  later: ConnectionSelector | undefined,
): ConnectionSelector | undefined {
  if (earlier === undefined || later === undefined) return earlier ?? later;
  const rules = [...earlier.rules, ...later.rules];
  return {
    all: earlier.all || later.all || rules.length > RULES_MAX,
    rules,
    moved: new Set([...earlier.moved, ...later.moved]),
    departed: new Set([...earlier.departed, ...later.departed]),
    isUrgent: earlier.isUrgent || later.isUrgent,
    causes: new Set([...earlier.causes, ...later.causes]),
  };
}

type Found = { -readonly [K in keyof ConnectionSelector]: ConnectionSelector[K] } & {
  rules: ResolvedRule[];
  moved: Set<string>;
  departed: Set<string>;
  causes: Set<ObjectId>;
};

function nothing(): Found {
  return { all: false, rules: [], moved: new Set(), departed: new Set(), isUrgent: false, causes: new Set() };
}

/** An allowing rule that was, a denying rule that is: only what they match can be denied by the change. */
function restrictingRules(before: Snapshot, after: Snapshot, key: string): ResolvedRule[] {
  const [was, is] = [recordOf(before.view, "rule", key), recordOf(after.view, "rule", key)];
  if (was?.config === is?.config) return [];
  const rules: ResolvedRule[] = [];
  if (was?.config.action === "allow" && isUsed(before, was)) rules.push(resolveRule(policyWorldOf(before.view), was));
  if (is?.config.action === "deny" && isUsed(after, is)) rules.push(resolveRule(policyWorldOf(after.view), is));
  return rules;
}

function isUsed(snapshot: Snapshot, { config }: RuleRecord): boolean {
  return policyScope(snapshot).uses.has(`${config.tenantName}:${config.policyName}`);
}

function isKnown(view: NodeView, policyKey: string): boolean {
  return recordOf(view, "policy", policyKey) !== undefined;
}

/** Of a group, what its members' packets are judged by. */
function groupText(view: NodeView, groupKey: string): string {
  const group = recordOf(view, "endpointGroup", groupKey);
  return group === undefined ? "" : `${group.groupId} ${policyKeysOf(group)}`;
}

/**
 * An endpoint that is new has no connections yet. One that is not in the view any more has left: a node knows all endpoints of the
 * networks that it has endpoints in. True: its connections may be denied now.
 */
function lookAtEndpoint(found: Found, [before, after]: readonly [Snapshot, Snapshot], key: string): boolean {
  const [was, is] = [recordOf(before.view, "endpoint", key), recordOf(after.view, "endpoint", key)];
  if (was === undefined) return false;
  if (is === undefined || !isSamePlace(was, is)) {
    for (const place of placesOf(before.view, was)) found.departed.add(place);
    found.isUrgent ||= was.nodeName === before.machine.nodeName;
    return false;
  }
  if (was.groupId === is.groupId && was.groupName === is.groupName) return false;
  for (const place of placesOf(after.view, is)) found.moved.add(place);
  return true;
}

function isSamePlace(was: EndpointRecord, is: EndpointRecord): boolean {
  return was.epoch === is.epoch && was.networkId === is.networkId && was.ipv4 === is.ipv4 && was.ipv6 === is.ipv6;
}

function placesOf(view: NodeView, { networkId, ipv4, ipv6 }: EndpointRecord): string[] {
  const network = networkOf(view, networkId);
  if (network === undefined) return [];
  const zone = zoneOf(view, network);
  return ipv6 === undefined ? [placeIn(zone, ipv4)] : [placeIn(zone, ipv4), placeIn(zone, canonicalIpv6(ipv6))];
}
