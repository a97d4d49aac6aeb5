import type { EndpointRecord } from "../../../state/kinds/endpoint.ts";
import type { RuleRecord } from "../../../state/kinds/rule.ts";
import { groupFault, policyKeysOf } from "../../../state/policy/group-rules.ts";
import { parseRule } from "../../../state/policy/rule-match.ts";
import type { Machine } from "../../machine/machine.ts";
import type { NodeView } from "../../view/node-view.ts";
import { policyWorldOf } from "../../view/policy-world.ts";
import { endpointsOfNode, hasLogRules, networkOf, recordOf, rulesNamingGroup, settingsOf } from "../../view/query.ts";
import type { FlowContext } from "../engine/context.ts";

/** A group that has endpoints on this node, and policies (or a fault: then its endpoints are closed). */
export interface LocalGroup {
  /** Ascending, each once; empty with a fault. */
  readonly policyKeys: readonly string[];
  /** Why it is not known what should be enforced. */
  readonly fault: string | undefined;
  /**
   * Number by which the rule tables know the group's list of policies: groups with equal lists share the lowest of their numbers, so
   * that rules are written once per list, not per group. 0 with a fault.
   */
  readonly ruleset: number;
  /** Its endpoints on this node. */
  readonly endpoints: readonly EndpointRecord[];
}

/** What of the policies concerns this node: follows from its own endpoints alone. */
export interface PolicyScope {
  readonly groups: ReadonlyMap<string, LocalGroup>;
  /** Policy → rulesets that hold it → domains (`domainOf`) in which endpoints of this node have it. */
  readonly uses: ReadonlyMap<string, ReadonlyMap<number, ReadonlySet<string>>>;
  /** Does any of these policies have log rules? */
  readonly isLogged: boolean;
  /** Answers of `directionsNaming`. */
  readonly named: Map<string, NamingDirections>;
}

const scopes = new WeakMap<NodeView, { readonly machine: ScopeMachine; readonly scope: PolicyScope }>();

type ScopeMachine = Pick<Machine, "nodeName" | "refused">;

/** Found once per view. Costs what the node's own endpoints number. */
export function policyScope({ view, machine }: Pick<FlowContext, "view" | "machine">): PolicyScope {
  const known = scopes.get(view);
  if (known?.machine.nodeName === machine.nodeName && known.machine.refused === machine.refused) return known.scope;
  const scope = findScope(view, machine);
  scopes.set(view, { machine, scope });
  return scope;
}

/** Does any policy (or a fault) concern this node? Otherwise the policy tables are not entered. */
export function hasPolicies({ groups }: PolicyScope): boolean {
  return groups.size > 0;
}

/** A group made anew under an old name is another one. */
function groupRef({ tenantName, groupName, groupId }: EndpointRecord): string {
  return `${tenantName}:${groupName}/${groupId}`;
}

/** The local group of an endpoint; undefined when no policy concerns it. */
export function localGroupOf({ groups }: PolicyScope, endpoint: EndpointRecord): LocalGroup | undefined {
  return groups.get(groupRef(endpoint));
}

type Found = Omit<LocalGroup, "ruleset"> & { readonly groupId: number; readonly endpoints: EndpointRecord[] };

function findScope(view: NodeView, machine: ScopeMachine): PolicyScope {
  const found = findGroups(view, machine);
  const lowest = new Map<string, number>();
  for (const { groupId, fault, policyKeys } of found.values()) {
    const list = policyKeys.join(" ");
    if (fault === undefined) lowest.set(list, Math.min(groupId, lowest.get(list) ?? groupId));
  }
  const groups = new Map<string, LocalGroup>();
  for (const [ref, { policyKeys, fault, endpoints }] of found) {
    if (policyKeys.length === 0 && fault === undefined) continue;
    const ruleset = fault === undefined ? (lowest.get(policyKeys.join(" ")) ?? 0) : 0;
    groups.set(ref, { policyKeys, fault, ruleset, endpoints });
  }
  const uses = findUses(view, groups);
  return { groups, uses, isLogged: [...uses.keys()].some((key) => hasLogRules(view, key)), named: new Map() };
}

function findGroups(view: NodeView, machine: ScopeMachine): Map<string, Found> {
  const found = new Map<string, Found>();
  const refused = refusedPolicies(view, machine);
  for (const endpoint of endpointsOfNode(view, machine.nodeName)) {
    if (endpoint.groupId === undefined && endpoint.groupName === "") continue;
    const ref = groupRef(endpoint);
    const group = found.get(ref) ?? readGroup(view, endpoint, refused);
    group.endpoints.push(endpoint);
    found.set(ref, group);
  }
  return found;
}

/** Policies that the switch does not take whole, with the reason: a rule of theirs that decides, or a member of a group that they name, is missing. */
function refusedPolicies(view: NodeView, { refused }: ScopeMachine): ReadonlyMap<string, string> {
  const reasons = new Map<string, string>();
  for (const [id, { kind, key, reason }] of refused ?? []) {
    for (const policyKey of policiesThatNeed(view, kind, key)) reasons.set(policyKey, `${id} is missing. ${reason}`);
  }
  return reasons;
}

function* policiesThatNeed(view: NodeView, kind: string, key: string): Generator<string> {
  const rule = kind === "rule" ? recordOf(view, "rule", key) : undefined;
  if (rule !== undefined && rule.config.action !== "log") yield policyKeyOf(rule);
  const endpoint = kind === "endpoint" ? recordOf(view, "endpoint", key) : undefined;
  if (endpoint === undefined) return;
  for (const direction of ["in", "out"] as const) {
    const groupKey = `${endpoint.tenantName}:${endpoint.groupName}`;
    for (const naming of rulesNamingGroup(view, groupKey, direction)) yield policyKeyOf(naming);
  }
}

function policyKeyOf({ config }: RuleRecord): string {
  return `${config.tenantName}:${config.policyName}`;
}

function readGroup(
  view: NodeView,
  { tenantName, groupName, groupId }: EndpointRecord,
  refused: ReadonlyMap<string, string>,
): Found {
  const groupKey = `${tenantName}:${groupName}`;
  const group = recordOf(view, "endpointGroup", groupKey);
  const missing = group === undefined ? [] : policyKeysOf(group).flatMap((key) => refused.get(key) ?? []);
  const fault = groupFault(policyWorldOf(view), group, { groupKey, groupId }) ?? missing[0];
  const policyKeys = group === undefined || fault !== undefined ? [] : policyKeysOf(group);
  return { policyKeys, fault, groupId: groupId ?? 0, endpoints: [] };
}

function findUses(view: NodeView, groups: ReadonlyMap<string, LocalGroup>): PolicyScope["uses"] {
  const uses = new Map<string, Map<number, Set<string>>>();
  for (const { policyKeys, ruleset, endpoints } of groups.values()) {
    const domains = new Set(endpoints.map((endpoint) => domainOf(view, endpoint)));
    for (const policyKey of policyKeys) {
      const byRuleset = uses.get(policyKey) ?? new Map<number, Set<string>>();
      byRuleset.set(ruleset, new Set([...(byRuleset.get(ruleset) ?? []), ...domains]));
      uses.set(policyKey, byRuleset);
    }
  }
  return uses;
}

/**
 * Where an address is unique, and connections are told apart: the network; in routing mode the tenant, for its networks are joined
 * and their subnets never overlap. Empty while the network is not known.
 */
export function domainOf(view: NodeView, { networkId }: Pick<EndpointRecord, "networkId">): string {
  if (settingsOf(view).fwdMode !== "routing") return `network ${networkId}`;
  const tenantId = networkOf(view, networkId)?.tenantId;
  return tenantId === undefined ? "" : `tenant ${tenantId}`;
}

export interface Peer {
  readonly groupKey: string;
  readonly direction: "in" | "out";
  readonly domain: string;
}

export interface NamingDirections {
  readonly in: boolean;
  readonly out: boolean;
}

/** `isNamed` for an endpoint's group, remembered: thousands of endpoints ask the same. */
export function directionsNaming(view: NodeView, scope: PolicyScope, endpoint: EndpointRecord): NamingDirections {
  const groupKey = `${endpoint.tenantName}:${endpoint.groupName}`;
  const id = `${endpoint.networkId} ${groupKey}`;
  const known = scope.named.get(id);
  if (known !== undefined) return known;
  const peer = { groupKey, domain: domainOf(view, endpoint) };
  const [isIn, isOut] = (["in", "out"] as const).map((direction) => isNamed(view, scope, { ...peer, direction }));
  const named = { in: isIn === true, out: isOut === true };
  scope.named.set(id, named);
  return named;
}

/** Does a rule of an endpoint of this node, in that domain, name the group as its peer? Only then must its members be known. */
export function isNamed(view: NodeView, { uses }: PolicyScope, { groupKey, direction, domain }: Peer): boolean {
  for (const record of rulesNamingGroup(view, groupKey, direction)) {
    if (parseRule(record).defect !== undefined) continue;
    const byRuleset = uses.get(policyKeyOf(record));
    for (const domains of byRuleset?.values() ?? []) if (domains.has(domain)) return true;
  }
  return false;
}
