import { endpointKeyOf } from "../../state/endpoint-key.ts";
import { asNetError, NetError } from "../../state/errors.ts";
import type { GcRequest } from "../cni/request.ts";
import { callOf, POD_ROLE } from "../machine/attachment.ts";
import type { AttachingNode } from "./attaching-node.ts";
import { detachOne } from "./detach.ts";

/** Detaches what calls of this configuration have made that the runtime does not know any more; other calls' is spared. */
export async function collect(node: AttachingNode, request: GcRequest, signal: AbortSignal): Promise<void> {
  const valid = new Set(request.validAttachments.map(endpointKeyOf));
  const stale = [...node.attachments().values()].filter(
    (each) =>
      each.role === POD_ROLE && each.configName === request.configName && !valid.has(endpointKeyOf(callOf(each))),
  );
  const failures: string[] = [];
  for (const attachment of stale) {
    try {
      await detachOne(node, attachment, { netnsPath: undefined, mayTellLater: true, signal });
    } catch (error) {
      failures.push(asNetError(error, `collect ${attachment.endpointKey}`).message);
    }
  }
  await node.leases.told(); // nobody waits for a GC, and whoever has called it may look at what is left
  if (failures.length > 0)
    throw new NetError("REJECTED", `Cannot collect ${failures.length} stale attachments: ${failures.join("; ")}`);
}
