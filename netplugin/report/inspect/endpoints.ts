import { NetError } from "../../../state/errors.ts";
import type { Attachment } from "../../machine/attachment.ts";
import { recordOf } from "../../view/query.ts";
import type { ToldNode } from "../told-node.ts";

/** What is plugged in, with the names that people know it by; those are absent while netmaster has not told of the endpoint. */
interface InspectedEndpoint extends Attachment {
  /** `namespace/pod`, or `pod` alone outside Kubernetes. */
  readonly pod?: string;
  readonly network?: string;
  readonly group?: string;
  readonly ipv4?: string;
  readonly ipv6?: string | undefined;
  readonly mac?: string;
}

/** All endpoints of this node, or those of one pod. Throws NOT_FOUND when that pod has none here. */
export function inspectEndpoints(
  node: Pick<ToldNode, "attachments" | "view" | "nodeName">,
  pod: string | null,
): readonly InspectedEndpoint[] {
  const view = node.view();
  const all = [...node.attachments().values()].map((attachment) => {
    const record = recordOf(view, "endpoint", attachment.endpointKey);
    if (record === undefined) return attachment;
    const { tenantName, networkName, groupName, podNamespace, podName, ipv4, ipv6, mac } = record;
    return {
      ...(podName === "" ? {} : { pod: podNamespace === "" ? podName : `${podNamespace}/${podName}` }),
      network: `${tenantName}:${networkName}`,
      ...(groupName === "" ? {} : { group: `${tenantName}:${groupName}` }),
      ...{ ipv4, ipv6, mac },
      ...attachment,
    };
  });
  if (pod === null) return all;
  const found = all.filter((endpoint: InspectedEndpoint) => endpoint.pod === pod);
  if (found.length === 0)
    throw new NetError("NOT_FOUND", `pod ${pod} has no endpoint on node ${node.nodeName}; write it as namespace/pod`);
  return found;
}
