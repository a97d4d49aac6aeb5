import type { Kind, RecordOf } from "../../state/records.ts";
import { groupKeyOf, networkKeyOf } from "../view/indexes.ts";
import type { ClusterView, ObjectChange } from "../view/types.ts";

/** What concerns one node. Everything in here follows from the node's own endpoints, and from the networks that all nodes take part in. */
export interface Interest {
  readonly nodeName: string;
  /** Networks of which the node needs everything: record, groups, all endpoints, and the nodes that have some. */
  readonly networks: ReadonlySet<string>;
  /** Single objects besides, as `kind/key`; a policy stands for its rules too. */
  readonly objects: ReadonlySet<string>;
}

/** A reference to an object, as text. */
export function refOf(kind: Kind, key: string): string {
  return `${kind}/${key}`;
}

/** What concerns a node in this view. Costs what the node's networks, groups and rules number, not what its endpoints do. */
export function interestOf(view: ClusterView, nodeName: string): Interest {
  const isRouting = view.records("global").get("global")?.config.fwdMode === "routing";
  const networks = new Set<string>();
  const objects = new Set<string>();
  for (const networkKey of new Set([...view.networksOfNode(nodeName), ...view.infraNetworks()])) {
    networks.add(networkKey);
    const tenantName = view.records("network").get(networkKey)?.config.tenantName;
    if (tenantName === undefined) continue;
    objects.add(refOf("tenant", tenantName));
    if (isRouting) for (const other of view.networksOfTenant(tenantName)) networks.add(other);
  }
  for (const groupKey of view.groupsOfNode(nodeName)) addGroup(view, groupKey, objects);
  return { nodeName, networks, objects };
}

/** The node enforces the policies of its own groups: their rules, and what the rules name. */
function addGroup(view: ClusterView, groupKey: string, objects: Set<string>): void {
  objects.add(refOf("endpointGroup", groupKey));
  const group = view.records("endpointGroup").get(groupKey);
  if (group === undefined) return;
  const { tenantName, policies, netProfile } = group.config;
  if (netProfile !== "") objects.add(refOf("netprofile", `${tenantName}:${netProfile}`));
  for (const policyName of policies) {
    const policyKey = `${tenantName}:${policyName}`;
    objects.add(refOf("policy", policyKey));
    for (const ruleKey of view.rulesOfPolicy(policyKey)) addNamed(view.records("rule").get(ruleKey), objects);
  }
}

function addNamed(rule: RecordOf<"rule"> | undefined, objects: Set<string>): void {
  for (const { kind, key } of namedBy(rule)) objects.add(refOf(kind, key));
}

/** What a rule names. */
function namedBy(
  rule: RecordOf<"rule"> | undefined,
): { readonly kind: "endpointGroup" | "network"; readonly key: string }[] {
  if (rule === undefined) return [];
  const { tenantName, fromEndpointGroup, toEndpointGroup, fromNetwork, toNetwork } = rule.config;
  const groups = [fromEndpointGroup, toEndpointGroup].map((name) => ({ kind: "endpointGroup", name }) as const);
  const networks = [fromNetwork, toNetwork].map((name) => ({ kind: "network", name }) as const);
  return [...groups, ...networks]
    .filter(({ name }) => name !== "")
    .map(({ kind, name }) => ({ kind, key: `${tenantName}:${name}` }));
}

/** Whether an object of the view is to be known by the node. */
export function isInScope(view: ClusterView, interest: Interest, object: Located): boolean {
  const { kind, key, record } = object;
  switch (kind) {
    case "global":
      return true;
    case "node":
      return key === interest.nodeName || hasEndpointsIn(view, key, interest.networks);
    case "endpoint":
      return interest.networks.has(networkKeyOf(record));
    case "network":
      return interest.networks.has(key) || interest.objects.has(refOf(kind, key));
    case "endpointGroup":
      return interest.networks.has(networkKeyOf(record.config)) || interest.objects.has(refOf(kind, key));
    case "rule":
      return interest.objects.has(refOf("policy", policyKeyOf(record)));
    case "tenant":
    case "policy":
    case "netprofile":
      return interest.objects.has(refOf(kind, key));
    case "appProfile":
    case "address":
      return false;
    default:
      return object satisfies never;
  }
}

/** An object with its place. */
export type Located = {
  [K in Kind]: { readonly kind: K; readonly key: string; readonly record: RecordOf<K> };
}[Kind];

function hasEndpointsIn(view: ClusterView, nodeName: string, networks: ReadonlySet<string>): boolean {
  for (const networkKey of view.networksOfNode(nodeName)) if (networks.has(networkKey)) return true;
  return false;
}

function policyKeyOf({ config }: RecordOf<"rule">): string {
  return `${config.tenantName}:${config.policyName}`;
}

/** References of everything that concerns the node; some may not exist. */
export function* scopeRefs(view: ClusterView, interest: Interest): Generator<string> {
  yield refOf("global", "global");
  yield refOf("node", interest.nodeName);
  for (const networkKey of interest.networks) yield* networkRefs(view, networkKey);
  for (const ref of interest.objects) yield* objectRefs(view, ref);
}

/** References of all that comes into a node's scope, or leaves it, with a network. */
function* networkRefs(view: ClusterView, networkKey: string): Generator<string> {
  yield refOf("network", networkKey);
  for (const key of view.groupsOfNetwork(networkKey)) yield refOf("endpointGroup", key);
  for (const key of view.nodesOfNetwork(networkKey)) yield refOf("node", key);
  for (const key of view.endpointsOfNetwork(networkKey)) yield refOf("endpoint", key);
}

function* objectRefs(view: ClusterView, ref: string): Generator<string> {
  yield ref;
  if (!ref.startsWith("policy/")) return;
  for (const key of view.rulesOfPolicy(ref.slice("policy/".length))) yield refOf("rule", key);
}

/** References of what may have entered or left the scope between two interests. */
export function* movedRefs(view: ClusterView, before: Interest, after: Interest): Generator<string> {
  for (const key of difference(before.networks, after.networks)) yield* networkRefs(view, key);
  for (const ref of difference(before.objects, after.objects)) yield* objectRefs(view, ref);
}

function* difference(left: ReadonlySet<string>, right: ReadonlySet<string>): Generator<string> {
  for (const value of left) if (!right.has(value)) yield value;
  for (const value of right) if (!left.has(value)) yield value;
}

/** Topics by which the streams are found that a change may concern; a stream listens to those of its interest. */
export function interestTopics({ nodeName, networks, objects }: Interest): readonly string[] {
  return ["all", homeTopic(nodeName), ...[...networks].map(networkTopic), ...objects];
}

function networkTopic(networkKey: string): string {
  return `everything-of/${networkKey}`;
}

function homeTopic(nodeName: string): string {
  return `home/${nodeName}`;
}

/** The topics of a change: of the object before it and after it. */
export function changeTopics(change: ObjectChange, before: ClusterView, after: ClusterView): ReadonlySet<string> {
  const topics = new Set<string>();
  const { kind, key } = change;
  if (change.record !== undefined) addTopics(change as Located, topics);
  if (change.previous !== undefined) addTopics({ kind, key, record: change.previous } as Located, topics);
  if (kind === "node") {
    for (const view of [before, after])
      for (const network of view.networksOfNode(key)) topics.add(networkTopic(network));
  }
  return topics;
}

function addTopics({ kind, key, record }: Located, topics: Set<string>): void {
  switch (kind) {
    case "global":
      topics.add("all");
      break;
    case "node":
      topics.add(homeTopic(key));
      break;
    case "endpoint":
      topics.add(networkTopic(networkKeyOf(record))).add(homeTopic(record.nodeName));
      break;
    case "network":
      topics.add(networkTopic(key)).add(refOf(kind, key)).add(refOf("tenant", record.config.tenantName));
      if (record.config.nwType === "infra") topics.add("all");
      break;
    case "endpointGroup":
      topics.add(networkTopic(networkKeyOf(record.config))).add(refOf(kind, key));
      break;
    case "rule":
      topics.add(refOf("policy", policyKeyOf(record)));
      break;
    case "tenant":
    case "policy":
    case "netprofile":
      topics.add(refOf(kind, key));
      break;
    case "appProfile":
    case "address":
      break;
    default:
      kind satisfies never;
  }
}

/** References that a change makes a listening stream look at again. */
export function changedRefs(change: ObjectChange, before: ClusterView, after: ClusterView): readonly string[] {
  const ref = refOf(change.kind, change.key);
  if (change.kind !== "endpoint") return [ref];
  const nodes = [change.record, change.previous].flatMap((endpoint) => {
    if (endpoint === undefined) return [];
    const network = networkKeyOf(endpoint);
    const { nodeName } = endpoint;
    const moved = before.nodesOfNetwork(network).has(nodeName) !== after.nodesOfNetwork(network).has(nodeName);
    return moved ? [refOf("node", nodeName)] : [];
  });
  return [ref, ...nodes];
}

export interface Views {
  readonly before: ClusterView;
  readonly after: ClusterView;
}

/** Whether a change may change what concerns the node, and not only one object of it. Costs the same for policies of any size. */
export function changesInterest(change: ObjectChange, interest: Interest, { before, after }: Views): boolean {
  const { nodeName } = interest;
  switch (change.kind) {
    case "global":
      return change.record?.config.fwdMode !== change.previous?.config.fwdMode;
    case "network":
      return true;
    case "endpointGroup":
      return [before, after].some((view) => view.groupsOfNode(nodeName).has(change.key)) && !hasSamePolicies(change);
    case "rule":
      return namesAnew(change, interest) || namesNoMore(change, interest, after);
    case "endpoint":
      return [change.record, change.previous].some(
        (endpoint) => endpoint?.nodeName === nodeName && hasMoved(endpoint, nodeName, before, after),
      );
    default:
      return false;
  }
}

type ChangeOf<K extends Kind> = Extract<ObjectChange, { readonly kind: K }>;

function hasSamePolicies({ record, previous }: ChangeOf<"endpointGroup">): boolean {
  if (record === undefined || previous === undefined) return false;
  const [is, was] = [record.config, previous.config];
  return is.netProfile === was.netProfile && is.policies.join(" ") === was.policies.join(" ");
}

function namesAnew({ record }: ChangeOf<"rule">, { objects }: Interest): boolean {
  return namedBy(record).some(({ kind, key }) => !objects.has(refOf(kind, key)));
}

/** Does what the rule named before perhaps concern the node no more? Not while another rule of the node's policies names the group. */
function namesNoMore({ record, previous }: ChangeOf<"rule">, { objects }: Interest, after: ClusterView): boolean {
  const still = namedBy(record).map(({ kind, key }) => refOf(kind, key));
  return namedBy(previous).some(({ kind, key }) => {
    if (still.includes(refOf(kind, key))) return false;
    return kind === "network" || !isNamedFor(objects, key, after);
  });
}

function isNamedFor(objects: Interest["objects"], groupKey: string, view: ClusterView): boolean {
  for (const ruleKey of view.rulesNaming(groupKey)) {
    const rule = view.records("rule").get(ruleKey);
    if (rule !== undefined && objects.has(refOf("policy", policyKeyOf(rule)))) return true;
  }
  return false;
}

/** Whether the endpoint's network or group has come to the node, or has left it. */
function hasMoved(endpoint: RecordOf<"endpoint">, nodeName: string, before: ClusterView, after: ClusterView): boolean {
  const network = networkKeyOf(endpoint);
  const group = groupKeyOf(endpoint);
  return (
    before.networksOfNode(nodeName).has(network) !== after.networksOfNode(nodeName).has(network) ||
    (group !== undefined && before.groupsOfNode(nodeName).has(group) !== after.groupsOfNode(nodeName).has(group))
  );
}
