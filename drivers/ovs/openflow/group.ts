import type { Action } from "./action.ts";
import type { Port } from "./values.ts";

/** One of a group's action lists. */
export interface Bucket {
  /** Unique within the group, below 0xffffff00. */
  readonly id: number;
  /** Share of the traffic, `select` groups only. */
  readonly weight?: number;
  /** The bucket counts as live while this port is up. */
  readonly watchPort?: Port;
  readonly watchGroup?: number;
  readonly actions: readonly Action[];
}

/** How a `select` group chooses its bucket (netronome-ext.h, struct ntr_group_prop_selection_method). */
export interface Selection {
  readonly method: "hash" | "dp_hash";
  readonly param?: bigint;
}

/** A group: every bucket (`all`), one by hash (`select`), the only one (`indirect`), or the first live one. */
export interface Group {
  readonly id: number;
  readonly type: "all" | "select" | "indirect" | "fastFailover";
  readonly buckets: readonly Bucket[];
  readonly selection?: Selection;
}

/** Place of a bucket: before all others, after all others, or a bucket's id. */
export type BucketPlace = "first" | "last" | number;

/** A change of the group table (openflow-1.5.h, struct ofp15_group_mod). Deleting an absent group succeeds. */
export type GroupMod =
  | { readonly kind: "group-add"; readonly group: Group }
  /** Replaces the whole group, which must exist. */
  | { readonly kind: "group-modify"; readonly group: Group }
  /** Adds or replaces (an extension of Open vSwitch, OFPGC11_ADD_OR_MOD). */
  | { readonly kind: "group-put"; readonly group: Group }
  | { readonly kind: "group-delete"; readonly id: number | "all" }
  /** Puts buckets `first`, `last`, or after the bucket of the given id. */
  | {
      readonly kind: "group-insert-buckets";
      readonly id: number;
      readonly place: BucketPlace;
      readonly type: Group["type"];
      readonly buckets: readonly Bucket[];
    }
  | { readonly kind: "group-remove-bucket"; readonly id: number; readonly bucket: BucketPlace | "all" };

/** What a group counted; `buckets` in the order of the group's. */
export interface GroupStats {
  readonly id: number;
  readonly refCount: number;
  readonly packetCount: bigint;
  readonly byteCount: bigint;
  readonly durationMs: number;
  readonly buckets: readonly { readonly packetCount: bigint; readonly byteCount: bigint }[];
}
