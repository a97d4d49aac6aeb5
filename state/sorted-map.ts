import { createRequire } from "node:module";
import type sortedBtree from "sorted-btree";

// A CommonJS module with a `default` member: Node and the test runner disagree what `import` makes of it, `require` is the same.
const BTree = (createRequire(import.meta.url)("sorted-btree") as typeof sortedBtree).default;

/**
 * An ordered map whose `clone()` costs nothing: both copies share their nodes until one of them changes. With it an old view stays
 * valid while the next one is built.
 */
export type SortedMap<K, V> = sortedBtree.default<K, V>;

/** Negative, zero or positive, as for Array.sort. */
export type Compare<K> = (left: K, right: K) => number;

export function sortedMap<K, V>(compare: Compare<K>): SortedMap<K, V> {
  return new BTree<K, V>(undefined, compare);
}

/** Order of UTF-16 code units; for the ASCII keys of this project that is the order of bytes, etcd's order. */
export function compareText(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}

export function compareBigint(left: bigint, right: bigint): number {
  return left < right ? -1 : left > right ? 1 : 0;
}
