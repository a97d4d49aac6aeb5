import { type NetnsHandle, openNetns } from "../../drivers/netlink/netns.ts";
import { peerNameOf } from "../../drivers/ovs/pod-ports/port-pool.ts";
import type { WarmPort } from "../../drivers/ovs/types.ts";
import {
  checkPod,
  type DressParts,
  dressPod,
  type PodLink,
  type UndressTarget,
  undressPod,
} from "../../drivers/pod-interface.ts";
import { endpointKeyOf, endpointKeysOf } from "../../state/endpoint-key.ts";
import { asNetError, inWordsOf, NetError } from "../../state/errors.ts";
import type { EndpointReply } from "../../state/node-api.ts";
import { cniFault } from "../cni/errors.ts";
import type { CniHandler } from "../cni/handler.ts";
import type { AddRequest, CheckRequest, Attachment as CniAttachment, GcRequest } from "../cni/request.ts";
import { type CniResult, NO_DNS } from "../cni/result.ts";
import { knownNeighbours } from "../desired/known-neighbours.ts";
import { type Attachment, attachmentMarks, POD_ROLE } from "../machine/attachment.ts";
import { leaseMark } from "../machine/lease-mark.ts";
import { aliasesOf } from "../machine/link-alias.ts";
import { recordOf } from "../view/query.ts";
import type { NodeRuntime } from "./attaching-node.ts";
import { statedLimits } from "./stated-limits.ts";

const UNDO_TIMEOUT_MS = 20_000;
/** RFC 8200 §5. */
const IPV6_MTU_MIN_BYTES = 1_280;

/** How a pod is attached, given the node's runtime. */
export function createCniHandler(runtime: NodeRuntime): CniHandler {
  return {
    add: (request, signal) => add(runtime, request, signal),
    del: (request, signal) => detach(runtime, request, { netnsPath: request.netns, signal }),
    check: (request, signal) => check(runtime, request, signal),
    gc: (request, signal) => collect(runtime, request, signal),
    status: async () => {
      const failure = runtime.notReady() ?? runtime.netmasterAway();
      if (failure !== undefined) throw cniFault("not-available", failure);
    },
  };
}

async function add(runtime: NodeRuntime, request: AddRequest, signal: AbortSignal): Promise<CniResult> {
  const failure = runtime.notReady();
  if (failure !== undefined) throw new NetError("UNAVAILABLE", failure);
  refuseUnsupported(request);
  using netns = openNetns(request.netns);
  const [key, keyAtNode] = endpointKeysOf(request, runtime.nodeName);
  using _pending = runtime.leases.pending(key);
  using _pendingAtNode = runtime.leases.pending(keyAtNode);
  const taken = runtime.pool.take({ signal }).catch((error: unknown) => asNetError(error, "take a ready port"));
  let unused = true;
  try {
    const reply = await lease(runtime, request, signal);
    const existing = await adoptable(runtime, request, { reply, signal });
    if (existing !== undefined) return existing;
    const port = await taken;
    if (port instanceof NetError) throw port;
    unused = false;
    return await attach(runtime, { request, reply, netns, port, signal });
  } catch (error) {
    await releaseFailed(runtime, request);
    throw error;
  } finally {
    if (unused) void taken.then((port) => (port instanceof NetError ? undefined : runtime.pool.giveBack(port)));
  }
}

/** How a pod's owner calls what netmaster finds wrong with a lease. */
const SAID_BY = {
  tenantName: "label io.contiv.tenant",
  networkName: "label io.contiv.network",
  groupName: "label io.contiv.net-group",
  requestedIpv4: "requested IPv4 address",
  requestedIpv6: "requested IPv6 address",
};

async function lease(runtime: NodeRuntime, request: AddRequest, signal: AbortSignal): Promise<EndpointReply> {
  try {
    return await runtime.client.createEndpoint(endpointRequest(request), signal);
  } catch (error) {
    throw error instanceof NetError ? inWordsOf(SAID_BY, error) : error;
  }
}

/** What is plugged in for a container's interface: one attachment, or also one of an earlier lease under another key. */
function attachmentsFor(runtime: NodeRuntime, pod: CniAttachment): readonly Attachment[] {
  const attachments = runtime.attachments();
  return endpointKeysOf(pod, runtime.nodeName).flatMap((key) => attachments.get(key) ?? []);
}

/** The lease of an ADD that did not get as far as its port; one whose port is plugged in is the runtime's to DEL. */
async function releaseFailed(runtime: NodeRuntime, request: AddRequest): Promise<void> {
  if (attachmentsFor(runtime, request).length > 0) return;
  try {
    await endUnattached(runtime, request, AbortSignal.timeout(UNDO_TIMEOUT_MS));
  } catch (error) {
    const { message } = asNetError(error, "release the lease");
    runtime.log.warn(
      { endpoint: endpointKeyOf(request), error: message },
      "cannot undo a failed ADD now; the next comparison of leases will",
    );
  }
}

async function endUnattached(runtime: NodeRuntime, pod: CniAttachment, signal: AbortSignal): Promise<void> {
  for (const key of endpointKeysOf(pod, runtime.nodeName)) await runtime.leases.endUnattached(key, signal);
}

/** A capability that the runtime asks for is honoured or refused, never ignored. */
function refuseUnsupported(request: AddRequest): void {
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

/** A repeated ADD: the pod that has this lease already and is as it should be keeps its interface; a stale port goes. */
async function adoptable(
  runtime: NodeRuntime,
  request: AddRequest,
  parts: Pick<AttachParts, "reply" | "signal">,
): Promise<CniResult | undefined> {
  for (const attachment of attachmentsFor(runtime, request)) {
    const result = await adopted(runtime, attachment, { request, ...parts });
    if (result !== undefined) return result;
  }
  return undefined;
}

async function adopted(
  runtime: NodeRuntime,
  attachment: Attachment,
  { request, reply, signal }: Pick<AttachParts, "request" | "reply" | "signal">,
): Promise<CniResult | undefined> {
  try {
    if (attachment.epoch !== reply.endpoint.epoch) throw new NetError("CONFLICT", "it belongs to an earlier lease");
    if (attachment.ofport === undefined) throw new NetError("CONFLICT", "it is not plugged in");
    await checkPod(request.netns, podLink(request, reply), await runtime.lowerIfIndex(attachment.portName));
    return resultOf(request, reply, attachment.portName);
  } catch (error) {
    runtime.log.info(
      { endpoint: attachment.endpointKey, reason: asNetError(error, "adopt").message },
      "replacing a stale port",
    );
    const podEnd = await undressPod(await undressTarget(runtime, attachment, request.netns), signal);
    runtime.removePort(attachment, podEnd);
    return undefined;
  }
}

interface AttachParts {
  readonly request: AddRequest;
  readonly reply: EndpointReply;
  readonly netns: NetnsHandle;
  readonly port: WarmPort;
  readonly signal: AbortSignal;
}

/** Marks the port, then dresses the pod's end while the flows are installed. What fails on the way is taken back. */
async function attach(runtime: NodeRuntime, parts: AttachParts): Promise<CniResult> {
  const { request, reply, port, signal } = parts;
  const facts = attachmentFor(request, reply);
  try {
    await runtime.markPort(port.name, {
      ...attachmentMarks(facts),
      ...leaseMark(reply, request.mtuBytes || reply.mtuBytes),
    });
  } catch (error) {
    runtime.pool.giveBack(port);
    throw error;
  }
  try {
    runtime.holder.applyReply(reply);
    const outcomes = await Promise.allSettled([
      dressPod(dressParts(runtime, parts, aliasesOf(facts)?.far), signal),
      enforced(runtime, reply, signal),
      runtime.limits.keeper.enforced(reply.endpoint.key, signal),
    ]);
    for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
    signal.throwIfAborted();
    return resultOf(request, reply, port.name);
  } catch (error) {
    const undoing = { netnsPath: request.netns, signal: AbortSignal.timeout(UNDO_TIMEOUT_MS) };
    await detach(runtime, request, undoing).catch((failure: unknown) => {
      const { message } = asNetError(failure, "take the pod off the network");
      runtime.log.warn({ container: request.containerId, error: message }, "cannot undo a failed ADD");
    });
    throw error;
  }
}

function dressParts(
  runtime: NodeRuntime,
  { request, reply, port, netns }: AttachParts,
  alias: string | undefined,
): DressParts {
  const { netlink, panel } = runtime;
  const link = { ...podLink(request, reply), neighbours: knownNeighbours(runtime, reply.ipv6?.gateway) };
  return { netlink, panel, port, netns, link, alias };
}

/** A pod with a group is answered when the stream has brought all that its policies name, up to the revision of its lease. */
async function enforced(
  runtime: NodeRuntime,
  { endpoint, revision, storeEpoch }: EndpointReply,
  signal: AbortSignal,
): Promise<void> {
  if (endpoint.groupName !== "") await runtime.holder.reached(BigInt(revision), storeEpoch, signal);
  await runtime.flows.enforced(endpoint.key, signal);
}

function attachmentFor(request: AddRequest, reply: EndpointReply): Omit<Attachment, "portName" | "ofport"> {
  return {
    endpointKey: reply.endpoint.key,
    epoch: reply.endpoint.epoch,
    role: POD_ROLE,
    containerId: request.containerId,
    ifName: request.ifName,
    configName: request.configName,
    netnsPath: request.netns,
  };
}

function podLink(request: AddRequest | CheckRequest, reply: EndpointReply): PodLink {
  return {
    ifName: request.ifName,
    mac: reply.endpoint.mac,
    mtuBytes: mtuOf(request, reply),
    addresses: [reply.ipv4.address, ...(reply.ipv6 === undefined ? [] : [reply.ipv6.address])],
    routes: reply.routes,
  };
}

/** The configuration may ask for a smaller MTU, never for one that the underlay does not carry. */
function mtuOf(request: AddRequest | CheckRequest, reply: EndpointReply): number {
  const asked = request.mtuBytes ?? 0;
  if (asked === 0) return reply.mtuBytes;
  if (asked < IPV6_MTU_MIN_BYTES && reply.ipv6 !== undefined) {
    const reason = `this network has IPv6, which needs ${IPV6_MTU_MIN_BYTES} bytes or more`;
    throw cniFault("invalid-config", `mtu ${asked} is too small: ${reason}; raise it or leave it out`);
  }
  if (asked <= reply.mtuBytes) return asked;
  throw cniFault("invalid-config", `mtu ${asked} is more than the ${reply.mtuBytes} bytes that this network carries`);
}

function resultOf(request: AddRequest, reply: EndpointReply, hostName: string): CniResult {
  const link = podLink(request, reply);
  const mtuBytes = link.mtuBytes;
  const gateways = [reply.ipv4.gateway, reply.ipv6?.gateway];
  return {
    interfaces: [
      { name: hostName, mac: undefined, mtuBytes, sandbox: undefined },
      { name: link.ifName, mac: link.mac, mtuBytes, sandbox: request.netns },
    ],
    ips: link.addresses.map((address, index) => ({ address, gateway: gateways[index], interfaceIndex: 1 })),
    routes: reply.routes.map(({ destination, gateway }) => ({ destination, gateway })),
    dns: request.dns ?? NO_DNS,
  };
}

interface DetachOptions {
  readonly netnsPath: string | undefined;
  readonly signal: AbortSignal;
}

/** Off the network first, then the lease; the link is deleted afterwards, with others. */
async function detach(runtime: NodeRuntime, pod: CniAttachment, options: DetachOptions): Promise<void> {
  const attachments = attachmentsFor(runtime, pod);
  if (attachments.length === 0) return endUnattached(runtime, pod, options.signal);
  for (const attachment of attachments) await unplug(runtime, attachment, options);
}

async function unplug(runtime: NodeRuntime, attachment: Attachment, options: DetachOptions): Promise<void> {
  const target = await undressTarget(runtime, attachment, options.netnsPath);
  const { endpointKey, epoch } = attachment;
  const home = recordOf(runtime.view(), "endpoint", endpointKey)?.nodeName;
  const isOurs = home === undefined || home === runtime.nodeName; // another node's pod lives on, whatever is plugged in here
  if (isOurs) runtime.holder.releaseEarly(endpointKey, epoch);
  const [withdrawn, undressed] = await Promise.allSettled([
    runtime.flows.withdrawn(options.signal),
    undressPod(target, options.signal),
  ]);
  const podEnd = undressed.status === "fulfilled" ? undressed.value : undefined;
  for (const outcome of [withdrawn, undressed]) {
    if (outcome.status === "fulfilled") continue;
    podEnd?.netns[Symbol.dispose]();
    throw outcome.reason;
  }
  runtime.removePort(attachment, podEnd);
  if (isOurs) await runtime.leases.release({ key: endpointKey, epoch }, options.signal);
}

/** The caller's path first: the one of ADD may lead elsewhere by now. */
async function undressTarget(
  { panel, lowerIfIndex }: NodeRuntime,
  { ifName, portName, netnsPath }: Attachment,
  given: string | undefined,
): Promise<UndressTarget> {
  const netnsPaths = [...(given === undefined ? [] : [given]), netnsPath];
  return { netnsPaths, panel, ifName, lowerIfIndex: await lowerIfIndex(portName), spareName: peerNameOf(portName) };
}

/** Detaches every pod of this configuration that the runtime does not know any more. */
async function collect(runtime: NodeRuntime, request: GcRequest, signal: AbortSignal): Promise<void> {
  const valid = new Set(request.validAttachments.map(endpointKeyOf));
  const stale = [...runtime.attachments().values()].filter(
    (each) => each.role === POD_ROLE && each.configName === request.configName && !valid.has(endpointKeyOf(each)),
  );
  const failures: string[] = [];
  for (const attachment of stale) {
    try {
      await detach(runtime, attachment, { netnsPath: undefined, signal });
    } catch (error) {
      failures.push(asNetError(error, `collect ${attachment.endpointKey}`).message);
    }
  }
  if (failures.length > 0)
    throw new NetError("REJECTED", `Cannot collect ${failures.length} stale attachments: ${failures.join("; ")}`);
}

async function check(runtime: NodeRuntime, request: CheckRequest, signal: AbortSignal): Promise<void> {
  const [attachment] = attachmentsFor(runtime, request);
  if (attachment === undefined)
    throw cniFault("container-unknown", `Container ${request.containerId} is not attached here`);
  await runtime.flows.check(attachment, signal);
  await runtime.stack.closed(signal);
  const wanted = linkFromResult(request);
  await checkPod(request.netns, wanted, await runtime.lowerIfIndex(attachment.portName));
}

/** What ADD said it made: the interface of that name in this namespace, its addresses and routes. */
function linkFromResult(request: CheckRequest): PodLink {
  const { interfaces, ips, routes } = request.prevResult;
  const index = interfaces.findIndex((each) => each.sandbox !== undefined && each.name === request.ifName);
  const found = interfaces[index];
  if (found === undefined)
    throw cniFault("invalid-config", `prevResult names no interface "${request.ifName}" in the pod`);
  const mine = ips.filter((ip) => ip.interfaceIndex === index || ip.interfaceIndex === undefined);
  return {
    ifName: request.ifName,
    mac: found.mac ?? "",
    mtuBytes: found.mtuBytes ?? 0,
    addresses: mine.map((ip) => ip.address),
    routes: routes.map(({ destination, gateway }) => ({ destination, gateway })),
  };
}
