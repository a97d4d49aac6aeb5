import { NetError } from "./errors.ts";
import type { NetworkId } from "./ids.ts";
import { KINDS, type Kind } from "./records.ts";

/** Everything that this release keeps in etcd lies below this prefix. */
export const ROOT = "/contiv-ts/v1/";

/** Prefix of all objects, one key each: `<OBJECTS><kind>/<object key>`. */
export const OBJECTS = `${ROOT}objects/`;

/** Prefix of all claims, one key each, created in the same transaction as their owner. The value is the owner's `kind/key`. */
export const CLAIMS = `${ROOT}claims/`;

/**
 * The mark: every commit of a leader compares its value and leaves a new one, unique among all stores and times, so that a store that was
 * restored or replaced is noticed by the write itself. Lies among the objects without being one, so that who watches these sees it with them.
 */
export const MARK_KEY = `${OBJECTS}barrier`;

/** The key whose holder is the leader. */
export const LEADER_KEY = `${ROOT}leader`;

/** Prefix of the REST addresses of the netmasters that run, one key each, under a lease: `<NETMASTERS><id>`. */
export const NETMASTERS = `${ROOT}netmasters/`;

/** Ids that are handed out once per cluster. */
export type ClaimPool = "tenant-id" | "network-id" | "group-id" | "vlan" | "vni";

export function objectKey(kind: Kind, key: string): string {
  return `${OBJECTS}${kind}/${key}`;
}

export function numberClaimKey(pool: ClaimPool, value: number): string {
  return `${CLAIMS}${pool}/${value}`;
}

/** Claim of one address within a network; `ip` in its canonical text form. */
export function addressClaimKey(networkId: NetworkId, ip: string): string {
  return `${CLAIMS}ip/${networkId}/${ip}`;
}

/** Splits an object's store key; object keys may hold anything but are never split further. */
export function parseObjectKey(storeKey: string): { readonly kind: Kind; readonly key: string } {
  const rest = storeKey.slice(OBJECTS.length);
  const slash = rest.indexOf("/");
  const kind = KINDS.find((candidate) => candidate === rest.slice(0, slash));
  if (!storeKey.startsWith(OBJECTS) || slash < 0 || kind === undefined) {
    throw new NetError("PROTOCOL", `Store key "${storeKey}" is not an object key of this release`);
  }
  return { kind, key: rest.slice(slash + 1) };
}
