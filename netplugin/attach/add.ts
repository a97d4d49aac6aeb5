import { type NetnsHandle, openNetns } from "../../drivers/netlink/netns.ts";
import { type DressParts, dressPod } from "../../drivers/ovs/pod-ports/pod-end.ts";
import type { WarmPort } from "../../drivers/ovs/types.ts";
import { checkPod, undressPod } from "../../drivers/pod-interface.ts";
import { endpointKeyOf, endpointKeysOf } from "../../state/endpoint-key.ts";
import { asNetError, NetError } from "../../state/errors.ts";
import type { EndpointReply } from "../../state/node-api.ts";
import type { AddRequest } from "../cni/request.ts";
import type { CniResult } from "../cni/result.ts";
import { knownNeighbours } from "../desired/known-neighbours.ts";
import { type Attachment, attachmentMarks, POD_ROLE } from "../machine/attachment.ts";
import { leaseMark } from "../machine/lease-mark.ts";
import { aliasesOf } from "../machine/link-alias.ts";
import type { NodeRuntime } from "./attaching-node.ts";
import { attachmentsFor, detach, endUnattached, undressTarget } from "./detach.ts";
import { lease, refuseUnsupported } from "./lease-request.ts";
import { podLink, resultOf } from "./result.ts";

const UNDO_TIMEOUT_MS = 20_000;

export async function add(runtime: NodeRuntime, request: AddRequest, signal: AbortSignal): Promise<CniResult> {
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
