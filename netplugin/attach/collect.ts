import { endpointKeyOf } from "../../state/endpoint-key.ts";
import { asNetError, NetError } from "../../state/errors.ts";
import type { GcRequest } from "../cni/request.ts";
import { POD_ROLE } from "../machine/attachment.ts";
import type { NodeRuntime } from "./attaching-node.ts";
import { detach } from "./detach.ts";

/** Detaches every pod of this configuration that the runtime does not know any more. */
export async function collect(runtime: NodeRuntime, request: GcRequest, signal: AbortSignal): Promise<void> {
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
