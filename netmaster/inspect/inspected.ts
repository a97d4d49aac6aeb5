import type { EndpointRecord } from "../../state/kinds/endpoint.ts";
import type { EndpointGroupRecord } from "../../state/kinds/endpoint-group.ts";
import type { PolicyRecord } from "../../state/kinds/policy.ts";
import type { RuleRecord } from "../../state/kinds/rule.ts";
import type { TenantRecord } from "../../state/kinds/tenant.ts";
import { policyKeysOf } from "../../state/policy/group-rules.ts";
import { scopedKey } from "../intents/references.ts";
import type { PolicyChange } from "../node-reports/policy-revisions.ts";
import type { NodeReports } from "../node-reports/reports.ts";
import { groupKeyOf, networkKeyOf, policyKeyOf } from "../view/indexes.ts";
import type { ClusterView } from "../view/types.ts";
import { inspectedCeilings } from "./ceilings.ts";
import { endpointOper } from "./endpoint.ts";
import { enforcementOf, type Subject } from "./enforcement.ts";
import { groupTraffic, policyHits, ruleHits, shownTraffic } from "./hits.ts";
import { groupOper, policyOper, tenantOper } from "./oper.ts";
import { omitEmpty, repeatable, StreamedObject } from "./streamed.ts";

/** `Oper` of one rule: which nodes enforce it, and what it has met. Undefined when nobody has to. */
export function inspectedRule(view: ClusterView, rule: RuleRecord, reports: NodeReports): StreamedObject | undefined {
  const { key, config } = rule;
  const groups = view.groupsOfPolicy(policyKeyOf(rule));
  const { tenantName, fromEndpointGroup, toEndpointGroup, fromNetwork, toNetwork } = config;
  const named = [
    ...[fromEndpointGroup, toEndpointGroup].map((name) => revisionOf(view, "endpointGroup", tenantName, name)),
    ...[fromNetwork, toNetwork].map((name) => revisionOf(view, "network", tenantName, name)),
    ...Array.from(groups, (group) => changeAt(view.modRevision("endpointGroup", group))),
  ];
  const subject: Subject = {
    desired: latest([changeAt(view.modRevision("rule", key)), ...named]),
    nodes: nodesOfGroups(view, groups),
    concerns: (object) => object === `rule/${key}` || isGroupOf(object, groups),
  };
  const members = omitEmpty({ enforcement: enforcementOf(view, reports, subject), hits: ruleHits(reports, key) });
  return Object.keys(members).length === 0 ? undefined : new StreamedObject(members);
}

function revisionOf(view: ClusterView, kind: "endpointGroup" | "network", tenantName: string, name: string) {
  return changeAt(name === "" ? undefined : view.modRevision(kind, scopedKey(tenantName, name)));
}

export function inspectedPolicy(view: ClusterView, policy: PolicyRecord, reports: NodeReports): StreamedObject {
  const { key } = policy;
  const groups = view.groupsOfPolicy(key);
  const attached = Array.from(groups, (group) => changeAt(view.modRevision("endpointGroup", group)));
  const enforcement = enforcementOf(view, reports, {
    desired: latest([reports.policyRevisions.of(view, key), ...attached]),
    nodes: nodesOfGroups(view, groups),
    concerns: (object) =>
      object === `policy/${key}` ||
      isRuleOf(object, [key]) ||
      isGroupOf(object, groups) ||
      isEndpointOf(view, object, (group) => groups.has(group)),
  });
  return withReports(policyOper(view, policy), { enforcement, hits: policyHits(view, reports, key) });
}

export function inspectedGroup(view: ClusterView, group: EndpointGroupRecord, reports: NodeReports): StreamedObject {
  const { key } = group;
  const enforcement = enforcementOf(view, reports, {
    desired: groupChange(view, reports, group),
    nodes: view.nodesOfGroup(key),
    concerns: (object) =>
      object === `endpointGroup/${key}` ||
      isPolicyOf(object, group) ||
      object === `network/${networkKeyOf(group.config)}` ||
      isEndpointOf(view, object, (groupKey) => groupKey === key),
  });
  const ceilings = inspectedCeilings(group, view.nodesOfGroup(key), reports);
  return withReports(groupOper(view, group), { ceilings, enforcement, hits: groupTraffic(view, reports, key) });
}

export function inspectedTenant(view: ClusterView, tenant: TenantRecord, reports: NodeReports): StreamedObject {
  return withReports(tenantOper(view, tenant), {
    ceilings: inspectedCeilings(tenant, nodesOfTenant(view, tenant.key), reports),
  });
}

/** Those that have pods of it. */
function nodesOfTenant(view: ClusterView, tenantName: string): ReadonlySet<string> {
  const networks = [...view.networksOfTenant(tenantName)];
  const ofPods = networks.filter((key) => view.records("network").get(key)?.config.nwType !== "infra");
  return new Set(ofPods.flatMap((key) => [...view.nodesOfNetwork(key)]));
}

export interface InspectedEndpoint {
  /** What it was found by. */
  readonly text: string;
  readonly reports: NodeReports;
}

export function inspectedEndpoint(
  view: ClusterView,
  endpoint: EndpointRecord,
  { text, reports }: InspectedEndpoint,
): StreamedObject {
  const groupKey = groupKeyOf(endpoint);
  const group = groupKey === undefined ? undefined : view.records("endpointGroup").get(groupKey);
  const changes = [
    changeAt(view.modRevision("endpoint", endpoint.key)),
    changeAt(view.modRevision("network", networkKeyOf(endpoint))),
    ...(group === undefined ? [] : [groupChange(view, reports, group)]),
  ];
  const enforcement = enforcementOf(view, reports, {
    desired: latest(changes),
    nodes: [endpoint.nodeName],
    concerns: (object) =>
      object === `endpoint/${endpoint.key}` ||
      object === `network/${networkKeyOf(endpoint)}` ||
      (group !== undefined && (object === `endpointGroup/${groupKey}` || isPolicyOf(object, group))),
  });
  const traffic = reports.hits.ofEndpoint(endpoint.key);
  const hits = traffic && shownTraffic(traffic);
  return withReports(new StreamedObject(endpointOper(view, endpoint, text)), { enforcement, hits });
}

function withReports({ members }: StreamedObject, added: Readonly<Record<string, unknown>>): StreamedObject {
  return new StreamedObject({ ...members, ...omitEmpty(added as StreamedObject["members"]) });
}

function groupChange(view: ClusterView, reports: NodeReports, group: EndpointGroupRecord): PolicyChange {
  const policies = policyKeysOf(group).map((key) => reports.policyRevisions.of(view, key));
  return latest([changeAt(view.modRevision("endpointGroup", group.key)), ...policies]);
}

function changeAt(revision: bigint | undefined): PolicyChange {
  return { revision: revision ?? 0n, atMs: undefined };
}

function latest(changes: readonly PolicyChange[]): PolicyChange {
  return changes.reduce((last, change) => (change.revision > last.revision ? change : last), changeAt(0n));
}

function nodesOfGroups(view: ClusterView, groups: Iterable<string>): Iterable<string> {
  return repeatable(function* () {
    for (const group of groups) yield* view.nodesOfGroup(group);
  });
}

function isRuleOf(object: string, policyKeys: readonly string[]): boolean {
  return policyKeys.some((key) => object.startsWith(`rule/${key}:`));
}

/** One of its policies, or a rule of one. */
function isPolicyOf(object: string, group: EndpointGroupRecord): boolean {
  const policyKeys = policyKeysOf(group);
  return isRuleOf(object, policyKeys) || policyKeys.some((key) => object === `policy/${key}`);
}

const GROUP = "endpointGroup/";

function isGroupOf(object: string, groups: { has(key: string): boolean }): boolean {
  return object.startsWith(GROUP) && groups.has(object.slice(GROUP.length));
}

const ENDPOINT = "endpoint/";

function isEndpointOf(view: ClusterView, object: string, isOurs: (groupKey: string) => boolean): boolean {
  if (!object.startsWith(ENDPOINT)) return false;
  const endpoint = view.records("endpoint").get(object.slice(ENDPOINT.length));
  const groupKey = endpoint && groupKeyOf(endpoint);
  return groupKey !== undefined && isOurs(groupKey);
}
