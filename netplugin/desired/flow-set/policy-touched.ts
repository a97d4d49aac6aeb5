import type { EndpointRecord } from "../../../state/kinds/endpoint.ts";
import type { RuleRecord } from "../../../state/kinds/rule.ts";
import { parseRule } from "../../../state/policy/rule-match.ts";
import type { Changes, NodeView } from "../../view/node-view.ts";
import {
  endpointsOfGroup,
  endpointsOfNetwork,
  endpointsOfNode,
  networkOf,
  recordOf,
  rulesNamingGroup,
  rulesNamingNetwork,
  rulesOfPolicy,
} from "../../view/query.ts";
import { hasPolicies, isNamed, type LocalGroup, type PolicyScope, policyScope } from "../policy/scope.ts";
import { largeZones } from "../policy/zone.ts";
import type { Step } from "./step.ts";
import { addOwner } from "./step.ts";

const DIRECTIONS = ["in", "out"] as const;

/** One step as the policies see it. */
interface PolicyStep {
  readonly step: Step;
  readonly views: readonly [NodeView, NodeView];
  readonly scopes: readonly [PolicyScope, PolicyScope];
  /** Groups that may be named by other rules now, or by none. */
  readonly peers: Set<string>;
}

/** Adds the owners whose flows may differ because of policies. Endpoints that changed themselves are among them already. */
export function touchPolicies(step: Step, changes: Changes): void {
  const scopes = [policyScope(step.before), policyScope(step.after)] as const;
  if (!scopes.some(hasPolicies)) return;
  const isOtherBase = hasPolicies(scopes[0]) !== hasPolicies(scopes[1]) || scopes[0].isLogged !== scopes[1].isLogged;
  if (isOtherBase) addOwner(step.owners, { kind: "base", key: "" });
  if (hasPolicies(scopes[0]) !== hasPolicies(scopes[1])) touchPods(step);
  const views = [step.before.view, step.after.view] as const;
  const policies: PolicyStep = { step, views, scopes, peers: new Set() };
  touchChanged(policies, changes);
  touchLocalGroups(policies);
  touchPolicyUses(policies);
  const domains = new Set(scopes.flatMap(({ uses }) => [...uses.values()].flatMap(domainsOf)));
  for (const groupKey of policies.peers) touchPeer(policies, groupKey, domains);
}

/** The policy tables are entered now, or not any more: what pods without policies begin is limited there, too. */
function touchPods(step: Step): void {
  for (const { view, machine } of [step.before, step.after])
    touchEndpoints(step, endpointsOfNode(view, machine.nodeName));
}

function touchChanged(policies: PolicyStep, changes: Changes): void {
  let networkHasChanged = false;
  for (const { kind, key } of changes.values()) {
    if (kind === "rule") touchRule(policies, key);
    if (kind === "endpointGroup") touchGroup(policies, key);
    if (kind === "network") touchNetworkPeers(policies, key);
    networkHasChanged ||= kind === "network";
  }
  if (networkHasChanged) touchZones(policies);
}

function touchRule({ step, views, peers }: PolicyStep, key: string): void {
  addOwner(step.owners, { kind: "rule", key });
  for (const view of views) addPeer(peers, recordOf(view, "rule", key));
}

function addPeer(peers: Set<string>, record: RuleRecord | undefined): void {
  const peer = record === undefined ? undefined : parseRule(record).peerGroupKey;
  if (peer !== undefined) peers.add(peer);
}

/** A group that comes, goes or is made anew changes the rules that name it, and what its members are. */
function touchGroup({ step, views, peers }: PolicyStep, groupKey: string): void {
  const [before, after] = views.map((view) => recordOf(view, "endpointGroup", groupKey)?.groupId);
  if (before === after) return;
  peers.add(groupKey);
  for (const view of views) {
    for (const direction of DIRECTIONS) {
      for (const { key } of rulesNamingGroup(view, groupKey, direction)) addOwner(step.owners, { kind: "rule", key });
    }
  }
}

function touchNetworkPeers({ step, views }: PolicyStep, networkKey: string): void {
  for (const view of views) {
    for (const { key } of rulesNamingNetwork(view, networkKey)) addOwner(step.owners, { kind: "rule", key });
    const networkId = recordOf(view, "network", networkKey)?.networkId;
    if (networkId !== undefined) touchEndpoints(step, endpointsOfNetwork(view, networkId));
  }
}

function touchEndpoints({ owners }: Step, endpoints: Iterable<EndpointRecord>): void {
  for (const { key } of endpoints) addOwner(owners, { kind: "endpoint", key });
}

/** Zones of very high numbers depend on which others there are. */
function touchZones({ step, views, scopes }: PolicyStep): void {
  const [before, after] = [largeZones(views[0]), largeZones(views[1])];
  if (before.size === after.size && [...before].every(([number, zone]) => after.get(number) === zone)) return;
  for (const { groups } of scopes) for (const { endpoints } of groups.values()) touchEndpoints(step, endpoints);
}

/** A group of this node whose rules are others now: its endpoints here, and how floods reach them. */
function touchLocalGroups({ step, views, scopes }: PolicyStep): void {
  const [before, after] = scopes;
  for (const ref of new Set([...before.groups.keys(), ...after.groups.keys()])) {
    const groups = [before.groups.get(ref), after.groups.get(ref)];
    if (isSameGroup(groups[0], groups[1])) continue;
    for (const group of groups) {
      touchEndpoints(step, group?.endpoints ?? []);
      for (const { networkId } of group?.endpoints ?? []) touchFlood(step, views, networkId);
    }
  }
}

function isSameGroup(before: LocalGroup | undefined, after: LocalGroup | undefined): boolean {
  return before?.ruleset === after?.ruleset && before?.fault === after?.fault;
}

function touchFlood({ owners }: Step, views: readonly NodeView[], networkId: number): void {
  for (const view of views) {
    const key = networkOf(view, networkId)?.key;
    if (key !== undefined) addOwner(owners, { kind: "network", key });
  }
}

/** A policy that other groups of this node have now, or that they have in other places: all its rules, and whom they name. */
function touchPolicyUses({ step, views, scopes, peers }: PolicyStep): void {
  const [before, after] = scopes;
  for (const policyKey of new Set([...before.uses.keys(), ...after.uses.keys()])) {
    if (usesText(before, policyKey) === usesText(after, policyKey)) continue;
    for (const view of views) {
      for (const record of rulesOfPolicy(view, policyKey)) {
        addOwner(step.owners, { kind: "rule", key: record.key });
        addPeer(peers, record);
      }
    }
  }
}

function usesText({ uses }: PolicyScope, policyKey: string): string {
  const byRuleset = [...(uses.get(policyKey) ?? [])].map(([ruleset, domains]) => `${ruleset}: ${[...domains].sort()}`);
  return byRuleset.sort().join("; ");
}

/** The members of a group, when rules of this node begin or cease to ask for it. */
function touchPeer({ step, views, scopes }: PolicyStep, groupKey: string, domains: ReadonlySet<string>): void {
  const [before, after] = views.map((view) => recordOf(view, "endpointGroup", groupKey)?.groupId);
  const isSame = [...domains].every((domain) =>
    DIRECTIONS.every((direction) => {
      const peer = { groupKey, direction, domain };
      return isNamed(views[0], scopes[0], peer) === isNamed(views[1], scopes[1], peer);
    }),
  );
  if (isSame && before === after) return;
  for (const view of views) {
    for (const groupId of new Set([before, after])) {
      if (groupId !== undefined) touchEndpoints(step, endpointsOfGroup(view, groupId));
    }
  }
}

function domainsOf(byRuleset: ReadonlyMap<number, ReadonlySet<string>>): string[] {
  return [...byRuleset.values()].flatMap((domains) => [...domains]);
}
