import { endpointAddressing, endpointMtuBytes } from "../../state/endpoint-addressing.ts";
import { NetError } from "../../state/errors.ts";
import type { EndpointRecord } from "../../state/kinds/endpoint.ts";
import type { NetworkRecord } from "../../state/kinds/network.ts";
import type { NodeRegistration } from "../../state/kinds/node.ts";
import type { EndpointReply } from "../../state/node-api.ts";
import type { Kind } from "../../state/records.ts";
import { groupKeyOf, networkKeyOf } from "../view/indexes.ts";
import type { ClusterView } from "../view/types.ts";
import { putMessage } from "./watch-lines.ts";

/** What a node needs to connect the pod of an endpoint, from a view that shows it. */
export function endpointReply(view: ClusterView, endpoint: EndpointRecord, node: NodeRegistration): EndpointReply {
  const network = view.records("network").get(networkKeyOf(endpoint));
  if (network === undefined) {
    throw new NetError("NOT_FOUND", `Network ${networkKeyOf(endpoint)} of endpoint ${endpoint.key} is gone`);
  }
  return {
    endpoint,
    ...endpointAddressing(endpoint, network),
    mtuBytes: endpointMtuBytes(network, node),
    revision: String(view.revision),
    storeEpoch: view.epoch,
    objects: objectsFor(view, endpoint, network),
  };
}

/** Refuses what could not be answered, before anything is leased. */
export function checkMtu(view: ClusterView, networkKey: string, nodeName: string): void {
  const network = view.records("network").get(networkKey);
  const node = view.records("node").get(nodeName);
  if (network !== undefined && node !== undefined) endpointMtuBytes(network, node.registration);
}

/** The objects that describe the endpoint, as the watch will deliver them. */
function objectsFor(view: ClusterView, endpoint: EndpointRecord, network: NetworkRecord): unknown[] {
  const groupKey = groupKeyOf(endpoint);
  const profileKey = groupKey === undefined ? undefined : netprofileKeyOf(view, groupKey);
  const wanted: readonly (readonly [Kind, string])[] = [
    ["global", "global"],
    ["tenant", endpoint.tenantName],
    ["network", network.key],
    ...(groupKey === undefined ? [] : ([["endpointGroup", groupKey]] as const)),
    ...(profileKey === undefined ? [] : ([["netprofile", profileKey]] as const)),
    ["endpoint", endpoint.key],
  ];
  return wanted.flatMap(([kind, key]) => {
    const record = view.records(kind).get(key);
    return record === undefined ? [] : [putMessage(view, kind, key, record)];
  });
}

/** The group's netprofile: its limits must hold from the pod's first packet on. */
function netprofileKeyOf(view: ClusterView, groupKey: string): string | undefined {
  const { tenantName = "", netProfile = "" } = view.records("endpointGroup").get(groupKey)?.config ?? {};
  return netProfile === "" ? undefined : `${tenantName}:${netProfile}`;
}
