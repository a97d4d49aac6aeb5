import { z } from "zod";
import { EndpointRecord } from "../../state/kinds/endpoint.ts";
import { type EndpointReply, GivenInterface } from "../../state/node-api.ts";

/** A lease as this node has seen it in the store, the store's epoch at that time, and what the pod was given at ADD, where that is known. */
const KnownLease = z.object({
  storeEpoch: z.string(),
  endpoint: EndpointRecord,
  given: GivenInterface.optional(),
});
export type KnownLease = Readonly<z.infer<typeof KnownLease>>;

const LEASE_KEY = "contiv-lease";

/** What a port says of its lease, beside the marks that make it an attachment: enough to offer it to a store that has lost it. */
export function leaseMark(reply: EndpointReply, mtuBytes: number): Record<string, string> {
  const { endpoint, storeEpoch, ipv4, ipv6 } = reply;
  if (storeEpoch === undefined) return {};
  const given = { ipv4, ...(ipv6 === undefined ? {} : { ipv6 }), mtuBytes };
  return markOf({ storeEpoch, endpoint, given });
}

/** The mark alone, of all that a port says; empty when there is none. */
export function leaseMarkAmong(externalIds: Readonly<Record<string, string>>): Record<string, string> {
  const mark = externalIds[LEASE_KEY];
  return mark === undefined ? {} : { [LEASE_KEY]: mark };
}

/** The mark that says this of the port's lease. */
export function markOf(lease: KnownLease): Record<string, string> {
  return { [LEASE_KEY]: JSON.stringify(lease) };
}

/** What the driver gives does not change; all marks are looked at in each comparison, and few are new. */
const parsed = new WeakMap<Readonly<Record<string, string>>, KnownLease | undefined>();

/** Reads a port's mark; undefined when there is none, or none of this release. */
export function markedLease(externalIds: Readonly<Record<string, string>>): KnownLease | undefined {
  if (!parsed.has(externalIds)) parsed.set(externalIds, parsedMark(externalIds));
  return parsed.get(externalIds);
}

function parsedMark(externalIds: Readonly<Record<string, string>>): KnownLease | undefined {
  try {
    return KnownLease.parse(JSON.parse(externalIds[LEASE_KEY] ?? ""));
  } catch {
    return undefined;
  }
}
