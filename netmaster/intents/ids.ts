import { NetError } from "../../state/errors.ts";
import type { ClaimPool } from "../../state/keys.ts";
import type { ClusterView } from "../view/types.ts";

/** An id that no object has, and that was not used for as long as possible. */
export function nextId(view: ClusterView, pool: Extract<ClaimPool, `${string}-id`>): number {
  const id = view.ids(pool).nextFree();
  if (id === undefined) {
    throw new NetError("EXHAUSTED", `No ${pool} is left of the 4294967295`, { reason: "ids-exhausted" });
  }
  return id;
}
