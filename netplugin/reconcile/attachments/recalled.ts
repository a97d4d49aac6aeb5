import { ROLE_MARK } from "../../../drivers/driver.ts";
import type { LinkPair } from "../../../drivers/ovs/pod-ports/link-pairs.ts";
import { WARM_ROLE } from "../../../drivers/ovs/pod-ports/port-pool.ts";
import type { SwitchPort } from "../../../drivers/ovs/types.ts";
import { type Attachment, attachmentOf } from "../../machine/attachment.ts";
import type { AttachmentRecords } from "../../machine/attachment-records.ts";
import { markedLease } from "../../machine/lease-mark.ts";
import type { NodeView } from "../../view/node-view.ts";
import { recordOf } from "../../view/query.ts";
import { factsOfPair } from "./attachment-plan.ts";

export interface RecallInput {
  readonly nodeName: string;
  readonly view: NodeView;
  readonly records: Pick<AttachmentRecords, "all" | "marksOf">;
  readonly pairs: ReadonlyMap<string, LinkPair>;
  readonly ports: ReadonlyMap<string, SwitchPort>;
  /** What switch and kernel show, by endpoint key. */
  readonly attachments: ReadonlyMap<string, Attachment>;
  readonly isPending: (endpointKey: string) => boolean;
}

/**
 * Attachments that the records alone know: nothing in the kernel says whose the port is, and what the switch says is nothing, or of a lease
 * that the store does not know while it knows the recorded one. Of two records of an endpoint the one whose lease lives is right.
 */
export function recalledFrom(input: RecallInput): readonly Attachment[] {
  const { records, attachments, isPending } = input;
  const recalled = new Map<string, Attachment>();
  const all = records.all();
  const byLife = [...all.filter((each) => isLeased(each, input)), ...all.filter((each) => !isLeased(each, input))];
  for (const attachment of byLife) {
    const { endpointKey } = attachment;
    const isKnown = attachments.has(endpointKey) || recalled.has(endpointKey) || isPending(endpointKey);
    if (!isKnown && isOfThisNode(attachment, input) && isLost(attachment, input)) recalled.set(endpointKey, attachment);
  }
  return [...recalled.values()];
}

/** Files may have been copied from another node. */
function isOfThisNode({ endpointKey, portName }: Attachment, { nodeName, view, records }: RecallInput): boolean {
  const homes = [
    recordOf(view, "endpoint", endpointKey)?.nodeName,
    markedLease(records.marksOf(portName))?.endpoint.nodeName,
  ];
  return homes.every((home) => home === undefined || home === nodeName);
}

function isLost(attachment: Attachment, input: RecallInput): boolean {
  const pair = input.pairs.get(attachment.portName);
  if (pair !== undefined && factsOfPair(pair) !== undefined) return false;
  const port = input.ports.get(attachment.portName);
  if (port === undefined) return true;
  if (port.externalIds[ROLE_MARK] === WARM_ROLE) return pair === undefined; // else it is free, and whole
  const shown = attachmentOf(port);
  return shown === undefined || (isLeased(attachment, input) && !isLeased(shown, input));
}

function isLeased({ endpointKey, epoch }: Attachment, { view }: RecallInput): boolean {
  return recordOf(view, "endpoint", endpointKey)?.epoch === epoch;
}
