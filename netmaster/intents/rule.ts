import { parseAddress } from "../../state/address.ts";
import type { Rule } from "../../state/kinds/rule.ts";
import { singleRuleAddress } from "../../state/rule-address.ts";
import type { ClusterView, Plan } from "../view/types.ts";
import { immutable, invalid, notFound, unknownReference } from "./errors.ts";
import { type Changed, changed, type Removed, removed } from "./plan.ts";
import { requireGroup, requireNetwork, scopedKey } from "./references.ts";

type RuleField = keyof Rule & `${"from" | "to"}${string}`;

/** What a direction cannot say, and what cannot be said together (contract §6.5). */
const FORBIDDEN: Readonly<Record<Rule["direction"], readonly RuleField[]>> = {
  in: ["toEndpointGroup", "toNetwork"],
  out: ["fromEndpointGroup", "fromIpAddress", "fromNetwork"],
};
const EXCLUSIVE: readonly (readonly [RuleField, RuleField])[] = [
  ["fromNetwork", "fromIpAddress"],
  ["fromNetwork", "fromEndpointGroup"],
  ["toNetwork", "toIpAddress"],
  ["toNetwork", "toEndpointGroup"],
];
/** Names and numbers of the protocols that have ports we can match. */
const PROTOCOLS_WITH_PORTS: readonly string[] = ["tcp", "udp", "6", "17"];

/** Creates a rule; an update is always refused. */
export function upsertRule(view: ClusterView, config: Rule): Plan<Changed> {
  const key = `${config.tenantName}:${config.policyName}:${config.ruleId}`;
  checkFields(config);
  if (view.records("rule").has(key)) {
    throw immutable(`rule ${key} exists already, and a rule cannot be changed; delete it and create it anew`);
  }
  checkReferences(view, config);
  checkOwnAddress(view, config);
  return changed({ kind: "rule", key, record: { key, config } });
}

function checkFields(rule: Rule): void {
  for (const field of FORBIDDEN[rule.direction]) {
    if (rule[field] !== "") throw invalid(field, `cannot be given in a rule of direction "${rule.direction}"`);
  }
  for (const [one, other] of EXCLUSIVE) {
    if (rule[one] !== "" && rule[other] !== "") throw invalid(one, `and ${other} exclude each other`);
  }
  checkPorts(rule);
}

function checkPorts({ port, portEnd, ports, protocol }: Rule): void {
  const field = port === 0 ? "ports" : "port";
  if ((port !== 0 || ports !== undefined) && !PROTOCOLS_WITH_PORTS.includes(protocol)) {
    const given = protocol === "" ? "any protocol" : `"${protocol}"`;
    throw invalid(field, `${port === 0 ? ports : port} needs the protocol tcp or udp, not ${given}`);
  }
  if (ports !== undefined && port !== 0) throw invalid("ports", "and port exclude each other");
  if (portEnd === undefined) return;
  if (port === 0) throw invalid("portEnd", "needs port, the first port of the range");
  if (portEnd < port) throw invalid("portEnd", `${portEnd} is lower than port ${port}, the first of the range`);
}

function checkReferences(view: ClusterView, rule: Rule): void {
  const { tenantName } = rule;
  const policyKey = scopedKey(tenantName, rule.policyName);
  if (!view.records("policy").has(policyKey)) throw unknownReference("policyName", "policy", policyKey);
  for (const field of ["fromEndpointGroup", "toEndpointGroup"] as const) {
    if (rule[field] !== "") requireGroup(view, scopedKey(tenantName, rule[field]), field);
  }
  for (const field of ["fromNetwork", "toNetwork"] as const) {
    if (rule[field] !== "") requireNetwork(view, scopedKey(tenantName, rule[field]), field);
  }
}

/** `toIpAddress` of an incoming rule must be an endpoint's own address, in the only group that has the policy. */
function checkOwnAddress(view: ClusterView, rule: Rule): void {
  if (rule.direction !== "in" || rule.toIpAddress === "") return;
  const policyKey = scopedKey(rule.tenantName, rule.policyName);
  const [groupKey, second] = view.groupsOfPolicy(policyKey);
  if (groupKey === undefined || second !== undefined) {
    const count = view.groupsOfPolicy(policyKey).size;
    throw invalid(
      "toIpAddress",
      `of an incoming rule needs exactly one group that has policy ${policyKey}, and ${count} have it`,
    );
  }
  if (!ownsAddress(view, groupKey, rule.toIpAddress)) {
    throw invalid("toIpAddress", `${rule.toIpAddress} is not the address of an endpoint of group ${groupKey}`);
  }
}

function ownsAddress(view: ClusterView, groupKey: string, text: string): boolean {
  const asked = singleRuleAddress(text.replace(/\/(32|128)$/, ""));
  if (asked === undefined) return false;
  for (const key of view.endpointsOfGroup(groupKey)) {
    const endpoint = view.records("endpoint").get(key);
    const own = asked.family === 4 ? endpoint?.ipv4 : endpoint?.ipv6;
    if (own !== undefined && parseAddress(asked.family, own) === asked.address) return true;
  }
  return false;
}

/** Always allowed. */
export function deleteRule(view: ClusterView, key: string): Plan<Removed> {
  if (!view.records("rule").has(key)) throw notFound("rule", key);
  return removed("rule", key);
}
