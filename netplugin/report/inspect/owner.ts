import { NetError } from "../../../state/errors.ts";
import { allOwners } from "../../desired/flow-set/owners.ts";
import { ownerIdOf, parseCookie } from "../../desired/pipeline/pipeline.ts";
import type { NodeView } from "../../view/node-view.ts";
import { recordOf } from "../../view/query.ts";

/** What a flow is there for. Two objects may share a number, if hardly ever: then both are told. */
export interface CookieOwners {
  readonly cookie: string;
  /** Of the pipeline, when the flow was made. */
  readonly generation: number;
  readonly owners: readonly { readonly kind: string; readonly key: string; readonly object?: unknown }[];
  /** Says what it means that there is no owner. */
  readonly note?: string;
}

/** Whose flow is it? Throws INVALID for what is no cookie of ours. */
export function ownersOfCookie(text: string | null, view: NodeView): CookieOwners {
  const cookie = readCookie(text);
  const parts = parseCookie(cookie);
  if (parts === undefined)
    throw new NetError(
      "INVALID",
      `cookie ${text} is not one of contiv: those begin with 0xc017; somebody else made the flow`,
    );
  const owners = [...ownersWith(parts.ownerId, view)];
  return {
    cookie: `0x${cookie.toString(16)}`,
    ...{ generation: parts.generation, owners },
    ...(owners.length > 0
      ? {}
      : { note: "no object that this node knows: it was deleted, and its flow is about to be" }),
  };
}

function readCookie(text: string | null): bigint {
  if (text === null || !/^0x[0-9a-f]{1,16}$/i.test(text))
    throw new NetError(
      "INVALID",
      "give a flow's cookie as ovs-ofctl shows it: /inspect/owner?cookie=0xc017000237c4c1a6",
    );
  return BigInt(text);
}

function* ownersWith(ownerId: number, view: NodeView): Generator<CookieOwners["owners"][number]> {
  for (const [id, { kind, key }] of allOwners(view)) {
    if (ownerIdOf(id) !== ownerId) continue;
    if (kind === "base") yield { kind, key: "what every node has, whatever there is" };
    else yield { kind, key, object: recordOf(view, kind, key) };
  }
}
