import { randomUUID } from "node:crypto";
import { z } from "zod";
import type { StoredValue } from "../../state/store/store.ts";
import { EPOCH_PATTERN } from "./store-revision.ts";

/** What a leader's commit leaves in the store (`MARK_KEY`). */
const Mark = z.object({
  epoch: z.string().regex(EPOCH_PATTERN),
  commit: z.string(),
  /** The nodes have not been heard yet in this epoch. */
  isOpen: z.boolean().default(false),
});

/** The mark as this process has seen it. */
export interface SeenMark {
  readonly value: string;
  /** Changes whenever nobody can prove that the store is still the one it was; its revisions then say nothing about earlier ones. */
  readonly epoch: string;
  /** Pods may live whose addresses this store does not show as leased: the nodes have not all offered them yet. */
  readonly isOpen: boolean;
}

/** Reads a mark; one of another release, or a damaged one, has an epoch of its own. */
export function readMark({ value, modRevision }: StoredValue): SeenMark {
  try {
    const { epoch, isOpen } = Mark.parse(JSON.parse(value));
    return { value, epoch, isOpen };
  } catch {
    return { value, epoch: `unknown-${modRevision}`, isOpen: true };
  }
}

/** A mark that no store has had before. */
export function newMark(epoch: string, isOpen: boolean): SeenMark {
  return { epoch, isOpen, value: JSON.stringify({ epoch, commit: randomUUID(), isOpen }) };
}

/** The epoch after the given ones; its number tells an operator the order, its random part makes it unique. */
export function nextEpoch(...earlier: readonly (string | undefined)[]): string {
  const numbers = earlier.map((epoch) => Number(/^(\d{1,9})-/.exec(epoch ?? "")?.[1] ?? 0));
  return `${Math.max(0, ...numbers) + 1}-${randomUUID().slice(0, 8)}`;
}
