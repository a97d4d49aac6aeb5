import sortedBtree from "sorted-btree";

/**
 * An ordered map whose `clone()` costs nothing: both copies share their nodes until one of them changes. With it an old view stays
 * valid while the next one is built.
 */
export type SortedMap<K, V> = sortedBtree.default<K, V>;

/** Negative, zero or positive, as for Array.sort. */
export type Compare<K> = (left: K, right: K) => number;

export function sortedMap<K, V>(compare: Compare<K>): SortedMap<K, V> {
  return new sortedBtree.default<K, V>(undefined, compare);
}

/** Order of UTF-16 code units; for the ASCII keys of this project that is the order of bytes, etcd's order. */
export function compareText(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}

export function compareBigint(left: bigint, right: bigint): number {
  return left < right ? -1 : left > right ? 1 : 0;
}
