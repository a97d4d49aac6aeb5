import type { EndpointRecord } from "../../state/kinds/endpoint.ts";
import { GLOBAL_DEFAULTS, type Global } from "../../state/kinds/global.ts";
import type { NetworkRecord } from "../../state/kinds/network.ts";
import type { NodeRecord } from "../../state/kinds/node.ts";
import type { RuleRecord } from "../../state/kinds/rule.ts";
import type { NodeName } from "../../state/names.ts";
import type { Kind, RecordOf } from "../../state/records.ts";
import { addressEntry, type IndexName, indexPrefix } from "./indexes.ts";
import type { KeySet, NodeView } from "./node-view.ts";

/** One object, or undefined. The table of a kind holds only records of that kind (messages.ts), hence the cast. */
export function recordOf<K extends Kind>(view: NodeView, kind: K, key: string): RecordOf<K> | undefined {
  return view.tables.get(kind)?.get(key)?.record as RecordOf<K> | undefined;
}

/** All objects of a kind, in ascending order of their keys. */
export function* recordsOf<K extends Kind>(view: NodeView, kind: K): Generator<RecordOf<K>> {
  for (const held of view.tables.get(kind)?.values() ?? []) yield held.record as RecordOf<K>;
}

export function countOf(view: NodeView, kind: Kind): number {
  return view.tables.get(kind)?.size ?? 0;
}

/** The cluster's settings; the contract's defaults until they arrive. */
export function settingsOf(view: NodeView): Global {
  return recordOf(view, "global", "global")?.config ?? GLOBAL_DEFAULTS;
}

/** The network with that number: a network made anew under an old name is another one. */
export function networkOf(view: NodeView, networkId: number): NetworkRecord | undefined {
  const key = view.uniqueIndexes.get("networkById")?.get(indexPrefix(networkId));
  return key === undefined ? undefined : recordOf(view, "network", key);
}

export function nodeOf(view: NodeView, nodeName: string): NodeRecord | undefined {
  return recordOf(view, "node", nodeName);
}

export function networksOfTenant(view: NodeView, tenantId: number): Generator<NetworkRecord> {
  return indexed(view, { index: "networksByTenant", kind: "network", prefix: indexPrefix(tenantId) });
}

export function endpointsOfNetwork(view: NodeView, networkId: number): Generator<EndpointRecord> {
  return indexed(view, { index: "endpointsByNetworkNode", kind: "endpoint", prefix: indexPrefix(networkId) });
}

export function endpointsOfNetworkOnNode(
  view: NodeView,
  networkId: number,
  nodeName: string,
): Generator<EndpointRecord> {
  const prefix = indexPrefix(networkId, nodeName);
  return indexed(view, { index: "endpointsByNetworkNode", kind: "endpoint", prefix });
}

/** Endpoints that the store homes on a node, whether or not they are attached there. */
export function endpointsOfNode(view: NodeView, nodeName: string): Generator<EndpointRecord> {
  return indexed(view, { index: "endpointsByNode", kind: "endpoint", prefix: indexPrefix(nodeName) });
}

export function endpointsOfGroup(view: NodeView, groupId: number): Generator<EndpointRecord> {
  return indexed(view, { index: "endpointsByGroup", kind: "endpoint", prefix: indexPrefix(groupId) });
}

export function rulesOfPolicy(view: NodeView, policyKey: string): Generator<RuleRecord> {
  return indexed(view, { index: "rulesByPolicy", kind: "rule", prefix: indexPrefix(policyKey) });
}

export function hasLogRules(view: NodeView, policyKey: string): boolean {
  return !indexed(view, { index: "logRulesByPolicy", kind: "rule", prefix: indexPrefix(policyKey) }).next().done;
}

/** Log rules of all policies. */
export function logRules(view: NodeView): Generator<RuleRecord> {
  return indexed(view, { index: "logRulesByPolicy", kind: "rule", prefix: "" });
}

/** Rules of one direction that name the group as their peer, whether or not it exists. */
export function rulesNamingGroup(view: NodeView, groupKey: string, direction: "in" | "out"): Generator<RuleRecord> {
  return indexed(view, { index: "rulesByPeerGroup", kind: "rule", prefix: indexPrefix(groupKey, direction) });
}

export function rulesNamingNetwork(view: NodeView, networkKey: string): Generator<RuleRecord> {
  return indexed(view, { index: "rulesByPeerNetwork", kind: "rule", prefix: indexPrefix(networkKey) });
}

/** The first reason why an object whose id begins so cannot be read by this release; undefined when there is none. */
export function quarantineReason(view: NodeView, idPrefix: string): string | undefined {
  const at = view.quarantined.getPairOrNextHigher(idPrefix);
  return at?.[0].startsWith(idPrefix) ? at[1] : undefined;
}

/** The endpoint that holds an address (in its canonical text) within a network. */
export function endpointAt(view: NodeView, networkId: number, address: string): EndpointRecord | undefined {
  const key = view.uniqueIndexes.get("endpointByAddress")?.get(addressEntry(networkId, address));
  return key === undefined ? undefined : recordOf(view, "endpoint", key);
}

/** Nodes that have at least one endpoint of the network, in order; costs one look-up per node, not per endpoint. */
export function* nodesOfNetwork(view: NodeView, networkId: number): Generator<NodeName> {
  const prefix = indexPrefix(networkId);
  for (const keys of setsUnder(view, "endpointsByNetworkNode", prefix)) {
    const nodeName = recordOf(view, "endpoint", keys.minKey() ?? "")?.nodeName;
    if (nodeName !== undefined) yield nodeName;
  }
}

interface IndexScan<K extends Kind> {
  readonly index: IndexName;
  readonly kind: K;
  readonly prefix: string;
}

function* indexed<K extends Kind>(view: NodeView, { index, kind, prefix }: IndexScan<K>): Generator<RecordOf<K>> {
  for (const keys of setsUnder(view, index, prefix)) {
    for (const key of keys.keys()) {
      const record = recordOf(view, kind, key);
      if (record !== undefined) yield record;
    }
  }
}

/** The sets in all places with that prefix, in their order. */
function* setsUnder({ indexes }: NodeView, index: IndexName, prefix: string): Generator<KeySet> {
  for (const [place, keys] of indexes.get(index)?.entries(prefix) ?? []) {
    if (!place.startsWith(prefix)) return;
    yield keys;
  }
}
