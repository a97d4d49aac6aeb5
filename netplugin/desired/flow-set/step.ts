import { type ObjectId, objectId } from "../../view/messages.ts";
import type { FlowContext } from "../engine/context.ts";

/** What can own flows: an object of one of these kinds, or the base set. A new engine (policy, DSCP) adds a kind of owner here. */
export type Owner =
  | { readonly kind: "base"; readonly key: "" }
  | { readonly kind: "network" | "node" | "endpoint" | "rule"; readonly key: string };

export type Owners = Map<ObjectId, Owner>;

/** Two moments between which objects or ports have changed, and the owners found so far whose flows may differ. */
export interface Step {
  readonly before: FlowContext;
  readonly after: FlowContext;
  readonly owners: Owners;
}

export function addOwner(owners: Owners, owner: Owner): void {
  owners.set(objectId(owner.kind, owner.key), owner);
}
