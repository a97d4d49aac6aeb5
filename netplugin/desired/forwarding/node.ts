import type { NodeRecord } from "../../../state/kinds/node.ts";
import { objectId } from "../../view/messages.ts";
import { type FlowContext, NO_FLOWS, type OwnedFlows, own } from "../engine/context.ts";
import { canonicalIpv6, isIpv6 } from "../pipeline/actions.ts";
import { Priority, Table } from "../pipeline/pipeline.ts";

/** Lets in what comes by tunnel from another node: from its registered address and no other; from a node that has none nothing. */
export function nodeFlows(context: FlowContext, node: NodeRecord): OwnedFlows {
  const { machine } = context;
  const { vtepIp: address } = node.registration;
  if (node.key === machine.nodeName || machine.tunnelOfport === undefined || address === undefined) return NO_FLOWS;
  const vtepIp = canonicalIpv6(address);
  if (vtepIp === machine.vtepIp) return { flows: [], failure: `It claims the tunnel address of this node, ${vtepIp}` };
  const source = isIpv6(vtepIp) ? { tunIpv6Src: vtepIp } : { tunSrc: vtepIp };
  const match = { inPort: machine.tunnelOfport, ...source };
  const draft = { table: Table.classify, priority: Priority.classify.tunnelSource, match, goto: Table.tunnel };
  return { flows: own(context, objectId("node", node.key), [draft]), failure: undefined };
}
