import { peerNameOf } from "../../drivers/ovs/pod-ports/port-pool.ts";
import { type UndressTarget, undressPod } from "../../drivers/pod-interface.ts";
import { endpointKeysOf } from "../../state/endpoint-key.ts";
import type { Attachment as CniAttachment } from "../cni/request.ts";
import type { Attachment } from "../machine/attachment.ts";
import { recordOf } from "../view/query.ts";
import type { NodeRuntime } from "./attaching-node.ts";

export interface DetachOptions {
  readonly netnsPath: string | undefined;
  readonly signal: AbortSignal;
}

/** Off the network first, then the lease; the link is deleted afterwards, with others. */
export async function detach(runtime: NodeRuntime, pod: CniAttachment, options: DetachOptions): Promise<void> {
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
export async function undressTarget(
  { panel, lowerIfIndex }: NodeRuntime,
  { ifName, portName, netnsPath }: Attachment,
  given: string | undefined,
): Promise<UndressTarget> {
  const netnsPaths = [...(given === undefined ? [] : [given]), netnsPath];
  return {
    netnsPaths,
    forbidden: panel.netns,
    ifName,
    lowerIfIndex: await lowerIfIndex(portName),
    spareName: peerNameOf(portName),
  };
}

/** What is plugged in for a container's interface: one attachment, or also one of an earlier lease under another key. */
export function attachmentsFor(runtime: NodeRuntime, pod: CniAttachment): readonly Attachment[] {
  const attachments = runtime.attachments();
  return endpointKeysOf(pod, runtime.nodeName).flatMap((key) => attachments.get(key) ?? []);
}

export async function endUnattached(runtime: NodeRuntime, pod: CniAttachment, signal: AbortSignal): Promise<void> {
  for (const key of endpointKeysOf(pod, runtime.nodeName)) await runtime.leases.endUnattached(key, signal);
}
