import type { EndpointRecord } from "../kinds/endpoint.ts";
import type { EndpointGroupRecord } from "../kinds/endpoint-group.ts";
import { indexRules, type RuleIndex } from "./rule-index.ts";
import { type ResolvedRule, resolveRule } from "./rule-match.ts";
import { atOnce } from "./steps.ts";
import type { PolicyWorld } from "./world.ts";

/** Everything that one list of policies says, arranged for judging packets. */
export interface PolicyRules {
  readonly policyCount: number;
  readonly in: RuleIndex;
  readonly out: RuleIndex;
  /** Rules that decide nothing: what they match is told in the node's log. */
  readonly logs: { readonly in: RuleIndex; readonly out: RuleIndex };
  /** All rules of both directions, those that match nothing included. */
  readonly all: readonly ResolvedRule[];
}

/** The rules of a group's endpoints. */
export interface GroupRules {
  /** Undefined while the group is not known. */
  readonly group: EndpointGroupRecord | undefined;
  /** Why it is not known what should be enforced: then nothing is allowed. */
  readonly fault: string | undefined;
  readonly rules: PolicyRules;
}

/** What has been made for a world: for each endpoint asked for, of each group, and of each list of policies (groups often have equal ones). */
interface Made {
  readonly byEndpoint: Map<EndpointRecord, GroupRules | undefined>;
  readonly byGroup: Map<string, GroupRules>;
  readonly byPolicies: Map<string, PolicyRules>;
}

const madeByWorld = new WeakMap<PolicyWorld, Made>();

function madeFor(world: PolicyWorld): Made {
  const present = madeByWorld.get(world);
  if (present !== undefined) return present;
  const made: Made = { byEndpoint: new Map(), byGroup: new Map(), byPolicies: new Map() };
  madeByWorld.set(world, made);
  return made;
}

/** The rules of an endpoint's group, made once per world; undefined for an endpoint without group. */
export function groupRules(world: PolicyWorld, endpoint: EndpointRecord): GroupRules | undefined {
  const { byEndpoint } = madeFor(world);
  const known = byEndpoint.get(endpoint);
  if (known !== undefined || byEndpoint.has(endpoint)) return known;
  return atOnce(groupRulesInSteps(world, endpoint));
}

/** The same; yields now and then, for a group can have ten thousand rules. */
export function* groupRulesInSteps(
  world: PolicyWorld,
  endpoint: EndpointRecord,
): Generator<void, GroupRules | undefined> {
  const { byEndpoint } = madeFor(world);
  if (byEndpoint.has(endpoint)) return byEndpoint.get(endpoint);
  const rules = yield* rulesOfGroup(world, endpoint);
  byEndpoint.set(endpoint, rules);
  return rules;
}

function* rulesOfGroup(
  world: PolicyWorld,
  { groupId, groupName, tenantName }: EndpointRecord,
): Generator<void, GroupRules | undefined> {
  if (groupId === undefined && groupName === "") return undefined;
  const { byGroup } = madeFor(world);
  const groupKey = `${tenantName}:${groupName}`;
  const id = `${groupKey}/${groupId}`;
  const present = byGroup.get(id);
  if (present !== undefined) return present;
  const group = world.group(groupKey);
  const fault = groupFault(world, group, { groupKey, groupId });
  const policyKeys = group === undefined || fault !== undefined ? [] : policyKeysOf(group);
  const made = { group, fault, rules: yield* policyRules(world, policyKeys) };
  byGroup.set(id, made);
  return made;
}

/** No name holds it. */
const SEPARATOR = " ";

/** How many rules are looked up between two chances to do something else. */
const RULES_PER_STEP = 200;

function* policyRules(world: PolicyWorld, policyKeys: readonly string[]): Generator<void, PolicyRules> {
  const { byPolicies } = madeFor(world);
  const id = policyKeys.join(SEPARATOR);
  const present = byPolicies.get(id);
  if (present !== undefined) return present;
  const all: ResolvedRule[] = [];
  for (const key of policyKeys) {
    for (const record of world.rulesOfPolicy(key)) {
      all.push(resolveRule(world, record));
      if (all.length % RULES_PER_STEP === 0) yield;
    }
  }
  const logs = all.filter(({ action }) => action === "log");
  const deciding = logs.length === 0 ? all : all.filter(({ action }) => action !== "log");
  const made = {
    policyCount: policyKeys.length,
    ...(yield* indexBoth(deciding)),
    logs: yield* indexBoth(logs),
    all,
  };
  byPolicies.set(id, made);
  return made;
}

function* indexBoth(rules: readonly ResolvedRule[]): Generator<void, PolicyRules["logs"]> {
  return {
    in: yield* indexRules(rules.filter(({ direction }) => direction === "in")),
    out: yield* indexRules(rules.filter(({ direction }) => direction === "out")),
  };
}

/** Keys of the policies of a group, each once, ascending: two groups with equal lists are enforced alike. */
export function policyKeysOf({ config }: EndpointGroupRecord): readonly string[] {
  return [...new Set(config.policies)].sort().map((name) => `${config.tenantName}:${name}`);
}

/** A group made anew under an old name is another one: its policies say nothing of endpoints of the old one. */
export function groupFault(
  world: Pick<PolicyWorld, "policyFault">,
  group: EndpointGroupRecord | undefined,
  { groupKey, groupId }: { readonly groupKey: string; readonly groupId: number | undefined },
): string | undefined {
  if (group === undefined) return `endpoint group ${groupKey} is not known`;
  if (group.groupId !== groupId) return `endpoint group ${groupKey} is not the one (number ${groupId}) of the endpoint`;
  for (const key of policyKeysOf(group)) {
    const fault = world.policyFault(key);
    if (fault !== undefined) return fault;
  }
  return undefined;
}
