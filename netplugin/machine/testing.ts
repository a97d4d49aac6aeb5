import { type Attachment, attachmentOf, type MarkedPort } from "./attachment.ts";

/** All attachments of this machine, by endpoint key. */
export function attachmentsOf(ports: ReadonlyMap<string, MarkedPort>): ReadonlyMap<string, Attachment> {
  const attachments = new Map<string, Attachment>();
  for (const port of ports.values()) {
    const attachment = attachmentOf(port);
    if (attachment !== undefined) attachments.set(attachment.endpointKey, attachment);
  }
  return attachments;
}
