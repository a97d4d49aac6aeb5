import { NetError } from "../../state/errors.ts";
import type { EndpointRecord } from "../../state/kinds/endpoint.ts";
import { compareText } from "../../state/sorted-map.ts";
import { notFound } from "../intents/errors.ts";
import { isPod, namespacedPod } from "../intents/pod-name.ts";
import { scopedKey } from "../intents/references.ts";
import type { ClusterView } from "../view/types.ts";
import { endpointBandwidth } from "./bandwidth.ts";
import { omitEmpty, type Rendered, repeatable, StreamedList } from "./streamed.ts";

/** An endpoint as inspect shows it (contract §7). `lookedUp` is the text that found it; nested endpoints have none. */
export function endpointOper(view: ClusterView, endpoint: EndpointRecord, lookedUp?: string): Record<string, Rendered> {
  return endpointMembers(view, endpoint, { key: lookedUp });
}

/** An endpoint as `GET /api/v1/endpoints/` shows it: inspect's members and what only this release has. */
export function endpointObject(view: ClusterView, endpoint: EndpointRecord): Record<string, Rendered> {
  const { key, createdAt, epoch, podNamespace, tenantName } = endpoint;
  return endpointMembers(view, endpoint, { key, createdAt, epoch, podNamespace, tenantName });
}

/** Members that not every form of an endpoint has. */
interface AddedMembers {
  readonly key: string | undefined;
  readonly createdAt?: string;
  readonly epoch?: string;
  readonly podNamespace?: string;
  readonly tenantName?: string;
}

/** In byte order behind the key, without sorting: lists have 100,000 of them. */
function endpointMembers(view: ClusterView, endpoint: EndpointRecord, added: AddedMembers): Record<string, Rendered> {
  const { tenantName, networkName, groupName } = endpoint;
  return omitEmpty({
    key: added.key,
    bandwidth: endpointBandwidth(view, endpoint),
    containerID: endpoint.containerId,
    containerName: endpoint.podName,
    createdAt: added.createdAt,
    driver: endpoint.driver,
    endpointGroupId: endpoint.groupId,
    endpointGroupKey: groupName === "" ? "" : `${groupName}:${tenantName}`,
    endpointID: endpoint.endpointId,
    epoch: added.epoch,
    homingHost: endpoint.nodeName,
    intfName: endpoint.ifName,
    ipAddress: [endpoint.ipv4, endpoint.ipv6 ?? ""],
    labels: labelsText(endpoint.labels),
    macAddress: endpoint.mac,
    network: `${networkName}.${tenantName}`,
    podNamespace: added.podNamespace,
    serviceName: groupName,
    tenantName: added.tenantName,
    vtepIP: view.records("node").get(endpoint.nodeName)?.registration.vtepIp,
  });
}

/** Go's form of a map: `map[k1:v1 k2:v2]`, sorted by key. */
function labelsText(labels: Readonly<Record<string, string>>): string {
  const entries = Object.entries(labels).sort(([left], [right]) => compareText(left, right));
  return `map[${entries.map(([name, value]) => `${name}:${value}`).join(" ")}]`;
}

/** The endpoints of the keys, rendered as they are written. */
export function endpointList(view: ClusterView, keys: Iterable<string>): StreamedList {
  return new StreamedList(repeatable(() => renderAll(view, keys)));
}

function* renderAll(view: ClusterView, keys: Iterable<string>): Iterator<Rendered> {
  for (const key of keys) {
    const endpoint = view.records("endpoint").get(key);
    if (endpoint !== undefined) yield endpointOper(view, endpoint);
  }
}

/** Yields now and then, so that a caller can let others run; returns the endpoint that the text means (contract §7, or `namespace/pod`). */
export function* findEndpoint(view: ClusterView, text: string): Generator<void, EndpointRecord> {
  const direct = view.records("endpoint").get(text);
  if (direct !== undefined) return direct;
  const pod = namespacedPod(text);
  const exact: EndpointRecord[] = [];
  const partial: EndpointRecord[] = [];
  let lookedAt = 0;
  for (const [, endpoint] of view.records("endpoint").entries()) {
    const names = [endpoint.endpointId, endpoint.containerId, endpoint.podName];
    if (names.includes(text) || isPod(endpoint, pod)) keepFew(exact, endpoint);
    else if (text !== "" && names.some((name) => name.includes(text))) keepFew(partial, endpoint);
    lookedAt += 1;
    if (lookedAt % 1_000 === 0) yield;
  }
  return (
    onlyOne(
      text,
      exact.filter(({ endpointId }) => endpointId === text),
    ) ??
    onlyOne(text, exact) ??
    onlyOne(text, partial) ??
    missing(text)
  );
}

/**
 * The key of an endpoint that is named by its key or by `namespace/pod`, and by nothing less: for what is done to it. Unknown text stays
 * as it is. Yields now and then.
 */
export function* endpointKeyOf(view: ClusterView, text: string): Generator<void, string> {
  const pod = view.records("endpoint").has(text) ? undefined : namespacedPod(text);
  if (pod === undefined) return text;
  const found: EndpointRecord[] = [];
  let lookedAt = 0;
  for (const [, endpoint] of view.records("endpoint").entries()) {
    if (isPod(endpoint, pod)) keepFew(found, endpoint);
    lookedAt += 1;
    if (lookedAt % 1_000 === 0) yield;
  }
  return onlyOne(text, found)?.key ?? text;
}

const CANDIDATES_SHOWN = 3;

function keepFew(found: EndpointRecord[], endpoint: EndpointRecord): void {
  if (found.length <= CANDIDATES_SHOWN) found.push(endpoint);
}

function onlyOne(text: string, found: readonly EndpointRecord[]): EndpointRecord | undefined {
  if (found.length <= 1) return found[0];
  const names = found.slice(0, CANDIDATES_SHOWN).map(describe).join(", ");
  const more = found.length > CANDIDATES_SHOWN ? ", …" : "";
  throw new NetError("CONFLICT", `"${text}" may mean several endpoints: ${names}${more}`, { reason: "ambiguous" });
}

function describe({ endpointId, tenantName, networkName, podName, podNamespace }: EndpointRecord): string {
  const pod = podNamespace === "" ? podName : `${podNamespace}/${podName}`;
  return `${endpointId} (${pod === "" ? "" : `${pod} `}in ${scopedKey(tenantName, networkName)})`;
}

function missing(text: string): never {
  throw notFound("endpoint", text);
}
