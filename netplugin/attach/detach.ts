import { type ContainerInterface, endpointKeysOf } from "../../state/endpoint-key.ts";
import { asNetError } from "../../state/errors.ts";
import type { CallFacts } from "../cni/handler.ts";
import { type Attachment, callOf, isOneLease, leaseOf, POD_ROLE } from "../machine/attachment.ts";
import { recordOf } from "../view/query.ts";
import { type AttachingNode, networkDriverOf } from "./attaching-node.ts";

export interface DetachOptions {
  /** The caller's path of the pod's namespace; undefined when that is gone. */
  readonly netnsPath: string | undefined;
  readonly signal: AbortSignal;
  /** The answer need not wait until netmaster has been told of the lease's end. */
  readonly mayTellLater?: boolean;
  /** Told what is detached, for the log. */
  readonly note?: ((facts: CallFacts) => void) | undefined;
}

/**
 * Takes away every attachment that the call has made; if the interface that it names is not known here, what is found of it in the pod.
 * What fails does not keep the others.
 */
export async function detach(node: AttachingNode, call: ContainerInterface, options: DetachOptions): Promise<void> {
  const later = { ...options, mayTellLater: true };
  const named = attachmentsFor(node, call);
  for (const { endpointKey } of named) options.note?.(factsOf(node, endpointKey));
  const attachments = new Set([...named, ...attachmentsOf(node, call)]);
  const works = [...attachments].map((attachment) => detachOne(node, attachment, later));
  if (named.length === 0) works.push(detachUnknown(node, call, options));
  for (const outcome of await Promise.allSettled(works)) if (outcome.status === "rejected") throw outcome.reason;
  node.unfinished.end(call);
}

function factsOf(node: AttachingNode, endpointKey: string): CallFacts {
  const endpoint = recordOf(node.view(), "endpoint", endpointKey);
  if (endpoint === undefined) return {};
  const { podNamespace, podName, tenantName, networkName, ipv4, ipv6 } = endpoint;
  return {
    ...(podName === "" ? {} : { pod: `${podNamespace}/${podName}` }),
    network: `${tenantName}:${networkName}`,
    addresses: [ipv4, ...(ipv6 === undefined ? [] : [ipv6])],
  };
}

/** Off the network first, then the lease's end; the link is deleted afterwards, with others. One that has gone meanwhile is fine. */
export async function detachOne(node: AttachingNode, attachment: Attachment, options: DetachOptions): Promise<void> {
  if (!isStillThere(node, attachment)) return;
  const { endpointKey, epoch, portName, ifName, netnsPath } = attachment;
  const driver = networkDriverOf(node, attachment);
  const home = recordOf(node.view(), "endpoint", endpointKey)?.nodeName;
  const isOurs = home === undefined || home === node.nodeName; // another node's pod lives on, whatever is plugged in here
  if (isOurs) node.holder.releaseEarly(endpointKey, epoch);
  // The caller's path first: the one of ADD may lead elsewhere by now.
  const netnsPaths = [...(options.netnsPath === undefined ? [] : [options.netnsPath]), netnsPath];
  const outcomes = await Promise.allSettled([
    node.flows.withdrawn(options.signal),
    driver.detach(portName, { netnsPaths, ifName }, options.signal),
  ]);
  for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
  releaseOf(node, attachment);
  if (!isOurs) return;
  const lease = leaseOf(attachment);
  if (options.mayTellLater && node.leases.releaseSoon(lease)) return;
  await node.leases.release(lease, options.signal);
}

/** Gives its place up, unless somebody else has done so: the place may be another pod's by now. */
export function releaseOf(node: AttachingNode, attachment: Attachment): void {
  if (isStillThere(node, attachment)) networkDriverOf(node, attachment).release(attachment.portName);
}

function isStillThere(node: AttachingNode, attachment: Attachment): boolean {
  const present = node.attachments().get(attachment.endpointKey);
  return present?.portName === attachment.portName && isOneLease(present, attachment);
}

async function detachUnknown(node: AttachingNode, call: ContainerInterface, options: DetachOptions): Promise<void> {
  const { netnsPath, signal } = options;
  const { containerId, ifName } = call;
  if (netnsPath !== undefined && (await node.knowsAll(signal))) {
    const isTaken = (key: string) => [...node.attachments().values()].some(({ portName }) => portName === key);
    for (const driver of node.drivers.values()) {
      if (!(await driver.removeStray({ netnsPath, ifName, isTaken }, signal))) continue;
      const text = "An interface of contiv whose attachment is not known any more was removed from the pod";
      node.log.warn({ container: containerId, ifName, driver: driver.name }, text);
    }
  }
  await endUnattached(node, call, signal);
}

/** What is plugged in for a container's interface: one attachment, or also one of an earlier lease under another key. */
export function attachmentsFor(node: AttachingNode, wanted: ContainerInterface): readonly Attachment[] {
  const attachments = node.attachments();
  return endpointKeysOf(wanted, node.nodeName).flatMap((key) => attachments.get(key) ?? []);
}

/** What a CNI call has made here, which may be more than the interface that it names. */
export function attachmentsOf(node: AttachingNode, call: ContainerInterface): readonly Attachment[] {
  const found: Attachment[] = [];
  for (const each of node.attachments().values()) {
    const isOfPod = each.containerId === call.containerId && each.role === POD_ROLE;
    if (isOfPod && callOf(each).ifName === call.ifName) found.push(each);
  }
  return found;
}

export async function endUnattached(
  { leases, nodeName }: AttachingNode,
  wanted: ContainerInterface,
  signal: AbortSignal,
): Promise<void> {
  for (const key of endpointKeysOf(wanted, nodeName)) await leases.endUnattached(key, signal);
}

/** Calls that were under way when this process ended have been answered by nobody: what they have made so far goes. */
export async function undoUnfinished(node: AttachingNode, signal: AbortSignal): Promise<void> {
  for (const call of node.unfinished.all()) {
    const found = attachmentsOf(node, call);
    if (found.length === 0) continue; // the kernel may know more than the switch: its DEL will, or the next start
    try {
      for (const attachment of found) await detachOne(node, attachment, { netnsPath: undefined, signal });
      node.unfinished.end(call);
      node.log.warn(
        { ...call },
        "A CNI call for several interfaces was interrupted when netplugin ended; its interfaces are removed",
      );
    } catch (error) {
      const { message } = asNetError(error, `take back what ADD of ${call.containerId} has made`);
      node.log.warn(
        { ...call, error: message },
        "The interfaces of an interrupted CNI call cannot be removed; its DEL removes them",
      );
    }
  }
}
