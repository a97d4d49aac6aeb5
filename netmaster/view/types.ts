import type { AddressPoolView } from "../../state/allocators/address-pool.ts";
import type { IdPoolView } from "../../state/allocators/id-pool.ts";
import type { Epoch, NetworkId } from "../../state/ids.ts";
import type { ClaimPool } from "../../state/keys.ts";
import type { Kind, RecordOf } from "../../state/records.ts";

/** The objects of one kind, in ascending order of their keys. */
export interface OrderedRecords<K extends Kind> {
  readonly size: number;
  get(key: string): RecordOf<K> | undefined;
  has(key: string): boolean;
  /** From the first key that is not lower than `fromKey`. */
  entries(fromKey?: string): IterableIterator<[string, RecordOf<K>]>;
}

/** Keys of objects that an index found, in ascending order. An index without entries is an empty one, never undefined. */
export interface KeySet extends Iterable<string> {
  readonly size: number;
  has(key: string): boolean;
}

/** Both families of one network. */
export interface NetworkAddresses {
  readonly ipv4: AddressPoolView;
  readonly ipv6: AddressPoolView | undefined;
}

/** The whole cluster at one revision; never changes. Object keys are those of contract §4. */
export interface ClusterView {
  /** Store revision that this view shows. */
  readonly revision: bigint;
  /** The store's epoch: revisions of different epochs are not comparable. Empty until a leader has written its mark. */
  readonly epoch: string;
  records<K extends Kind>(kind: K): OrderedRecords<K>;
  /** Revision of the object's last write; 0n while that write is planned but not committed, so that no guard matches it. */
  modRevision(kind: Kind, key: string): bigint | undefined;

  endpointsOfNetwork(networkKey: string): KeySet;
  endpointsOfGroup(groupKey: string): KeySet;
  endpointsOfNode(nodeName: string): KeySet;
  /** Nodes that have endpoints in the network. */
  nodesOfNetwork(networkKey: string): KeySet;
  /** Nodes that have endpoints of the group. */
  nodesOfGroup(groupKey: string): KeySet;
  /** Networks and groups of the node's endpoints. */
  networksOfNode(nodeName: string): KeySet;
  groupsOfNode(nodeName: string): KeySet;
  /** Bare allocations of a network (kind `address`). */
  addressesOfNetwork(networkKey: string): KeySet;
  networksOfTenant(tenantName: string): KeySet;
  /** Networks that every node takes part in. */
  infraNetworks(): KeySet;
  groupsOfTenant(tenantName: string): KeySet;
  policiesOfTenant(tenantName: string): KeySet;
  netprofilesOfTenant(tenantName: string): KeySet;
  appProfilesOfTenant(tenantName: string): KeySet;
  rulesOfPolicy(policyKey: string): KeySet;
  groupsOfPolicy(policyKey: string): KeySet;
  groupsOfNetwork(networkKey: string): KeySet;
  groupsOfNetprofile(netprofileKey: string): KeySet;
  /** App profiles that list the group; the contract shows the first. */
  appProfilesOfGroup(groupKey: string): KeySet;
  /** Rules that name the group as from- or to-group, whether or not it exists. */
  rulesNaming(groupKey: string): KeySet;

  /** Undefined when no network has that id. */
  addresses(networkId: NetworkId): NetworkAddresses | undefined;
  ids(pool: ClaimPool): IdPoolView;
}

/** One object to create or replace. */
export type PlannedPut = {
  [K in Kind]: { readonly kind: K; readonly key: string; readonly record: RecordOf<K> };
}[Kind];

export interface PlannedDelete {
  readonly kind: Kind;
  readonly key: string;
}

/** One claim to make (state/keys.ts). It must not exist, unless `replaces`: then it exists and changes its owner. */
export interface Claim {
  readonly storeKey: string;
  /** `kind/key` of the owner. */
  readonly owner: string;
  readonly replaces?: boolean;
}

/**
 * What an intent wants to be written, all or nothing. Plans of one group commit may touch the same store key (one releases an
 * address that the next one claims): the committer folds them into one write of that key, and guards what held before the group.
 * A plan that writes nothing (an idempotent repetition) has empty lists.
 */
export interface Plan<Reply> {
  readonly puts: readonly PlannedPut[];
  readonly deletes: readonly PlannedDelete[];
  readonly claims: readonly Claim[];
  readonly releases: readonly string[];
  readonly reply: Reply;
}

/** What an intent may know besides view and request. */
export interface IntentContext {
  /** Time of the request, RFC 3339. */
  readonly now: string;
  newEpoch(): Epoch;
  /** Why no new address may be handed out now. */
  readonly addressHold?: string | undefined;
}

/** Decides purely what a request changes; throws NetError when it may not. A plan needs at most MAX_PLAN_OPERATIONS. */
export type Intent<Request, Reply> = (view: ClusterView, request: Request, context: IntentContext) => Plan<Reply>;

/** Most puts, deletes, claims and releases of one plan together (below the store's MAX_COMMIT_OPERATIONS). */
export const MAX_PLAN_OPERATIONS = 96;

/** One object that changed; `record` is undefined when it was deleted. */
export type ObjectChange = {
  [K in Kind]: {
    readonly kind: K;
    readonly key: string;
    readonly record: RecordOf<K> | undefined;
    readonly previous: RecordOf<K> | undefined;
    /** Revision of the write, or of the deletion. */
    readonly modRevision: bigint;
  };
}[Kind];

/** A step from one view to the next. */
export interface ViewChange {
  /** The view after the change. */
  readonly view: ClusterView;
  readonly changes: readonly ObjectChange[];
}
