import type { NetError } from "./errors.ts";

/** What a driver is asked to change: values to create or replace, and keys to remove. */
export interface Delta<V> {
  readonly put: ReadonlyMap<string, V>;
  readonly remove: ReadonlySet<string>;
}

/** What failed, by key; every key that is absent succeeded. */
export type Failures = ReadonlyMap<string, NetError>;

/** Compares what should be with what is. `equal` decides whether a present value may stay as it is. */
export function diff<V, W = V>(
  desired: ReadonlyMap<string, V>,
  actual: ReadonlyMap<string, W>,
  equal: (desired: V, actual: W) => boolean,
): Delta<V> {
  const put = new Map<string, V>();
  const remove = new Set<string>();
  for (const [key, value] of desired) {
    const present = actual.get(key);
    if (present === undefined || !equal(value, present)) put.set(key, value);
  }
  for (const key of actual.keys()) if (!desired.has(key)) remove.add(key);
  return { put, remove };
}

/** True when the delta asks for nothing. */
export function isEmpty<V>(delta: Delta<V>): boolean {
  return delta.put.size === 0 && delta.remove.size === 0;
}
