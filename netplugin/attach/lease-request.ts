import { endpointKeysOf } from "../../state/endpoint-key.ts";
import { CREATE_IT_FIRST, inWordsOf, NetError, UNKNOWN_REFERENCE } from "../../state/errors.ts";
import type { EndpointReply } from "../../state/node-api.ts";
import { retry } from "../../state/waiting/repeat.ts";
import { cniFault } from "../cni/errors.ts";
import type { AddRequest } from "../cni/request.ts";
import type { AttachingNode } from "./attaching-node.ts";
import { statedLimits } from "./stated-limits.ts";

/** How a pod's owner calls what netmaster finds wrong with a lease. */
const SAID_BY = {
  tenantName: "label io.contiv.tenant",
  networkName: "label io.contiv.network",
  groupName: "label io.contiv.net-group",
  requestedIpv4: "requested IPv4 address",
  requestedIpv6: "requested IPv6 address",
};

/** Other nodes tell netmaster 100 ms after a DEL. */
const TOLD_EVERYWHERE_MS = 300;
const ASK_AGAIN_MS = 100;

/** The lease of one wish. @throws NetError in the words of the pod's owner */
export async function lease(node: AttachingNode, request: AddRequest, signal: AbortSignal): Promise<EndpointReply> {
  await node.leases.told(endpointKeysOf(request, node.nodeName)); // else an earlier DEL's news might end this lease
  const ask = () => node.client.createEndpoint(endpointRequest(request), signal);
  try {
    const reply = await ask().catch((error: unknown) => askAgain(node, error, ask, signal));
    node.leases.taken(reply.endpoint);
    return reply;
  } catch (error) {
    throw error instanceof NetError ? inWordsOfPod(error) : error;
  }
}

/** An address that is not free may be one of a pod that is off the network: netmaster is told of those within a moment. */
async function askAgain<T>(
  node: AttachingNode,
  error: unknown,
  ask: () => Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  if (!mayBeFreeSoon(error)) throw error;
  await node.leases.told();
  const untilMs = performance.now() + TOLD_EVERYWHERE_MS;
  const mayRetry = (again: unknown) => mayBeFreeSoon(again) && performance.now() < untilMs;
  return await retry(ask, { pauseMs: ASK_AGAIN_MS, mayRetry, signal });
}

function mayBeFreeSoon(error: unknown): boolean {
  return error instanceof NetError && (error.code === "EXHAUSTED" || error.reason === "address-taken");
}

/** Either the object is missing or its name is wrong; what then helps is said once, in the message. */
export function inWordsOfPod(error: NetError): NetError {
  const { code, message, field, cause, reason } = inWordsOf(SAID_BY, error);
  if (reason !== UNKNOWN_REFERENCE || field === error.field) return inWordsOf(SAID_BY, error);
  const fact = message.endsWith(CREATE_IT_FIRST) ? message.slice(0, -CREATE_IT_FIRST.length) : message;
  const details = { cause, reason, ...(field === undefined ? {} : { field }) };
  return new NetError(code, `${fact}; create it, or set the label to one that exists`, details);
}

/** A capability that the runtime asks for is honoured or refused, never ignored. */
export function refuseUnsupported(request: AddRequest): void {
  if (request.requestedMac !== undefined) {
    throw cniFault(
      "unsupported-field",
      `mac ${request.requestedMac}: a pod's MAC follows from its IPv4 address; ask for none`,
    );
  }
  if (request.deviceId !== undefined) {
    throw cniFault(
      "unsupported-field",
      `deviceID ${request.deviceId}: devices are not supported by this release; take deviceID off the capabilities`,
    );
  }
}

function endpointRequest(request: AddRequest) {
  const requested = (family: 4 | 6) => request.requestedIps.find((ip) => ip.family === family)?.address;
  const ipv4 = requested(4);
  const ipv6 = requested(6);
  const limits = statedLimits(request);
  return {
    containerId: request.containerId,
    ifName: request.ifName,
    tenantName: request.placement.tenantName,
    networkName: request.placement.networkName,
    groupName: request.placement.groupName ?? "",
    podName: request.pod.name ?? "",
    podNamespace: request.pod.namespace ?? "",
    labels: Object.fromEntries(request.labels),
    takesAnyKey: true,
    ...(ipv4 === undefined ? {} : { requestedIpv4: ipv4 }),
    ...(ipv6 === undefined ? {} : { requestedIpv6: ipv6 }),
    ...(Object.keys(limits).length === 0 ? {} : { limits }),
  };
}
