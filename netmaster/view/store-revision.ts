import type { ClusterView } from "./types.ts";

/** A store revision as clients hand it back: it means something only within the epoch that it was read in. */
export interface StoreRevision {
  readonly revision: bigint;
  /** Undefined where it was not told, as by earlier releases: then it belongs to no history that is known. */
  readonly epoch: string | undefined;
}

/** Epochs as marks may hold them: they travel in URLs and headers. */
export const EPOCH_PATTERN = /^[0-9A-Za-z-]{1,64}$/;

/** `42@1-3f9c2a7d`: ETags and revisions in this form match in no history of the store but their own. */
export function revisionText({ epoch }: Pick<ClusterView, "epoch">, revision: bigint): string {
  return `${revision}@${epoch}`;
}

/** Reads `42@1-3f9c2a7d`, or `42`; undefined when it is neither. */
export function readRevision(text: string): StoreRevision | undefined {
  const match = /^([0-9]{1,19})(?:@([0-9A-Za-z-]{0,64}))?$/.exec(text);
  return match === null ? undefined : { revision: BigInt(match[1] ?? ""), epoch: match[2] || undefined };
}

/** Was it read in the history that this view shows? */
export function isOfHistory({ epoch }: StoreRevision, view: Pick<ClusterView, "epoch">): boolean {
  return epoch !== undefined && epoch === view.epoch;
}
