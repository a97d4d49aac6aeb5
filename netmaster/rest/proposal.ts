import { randomUUID } from "node:crypto";
import { asNetError, NetError } from "../../state/errors.ts";
import type { Epoch } from "../../state/ids.ts";
import { nearHint } from "../../state/near-name.ts";
import { invalid } from "../intents/errors.ts";
import { refuseUnknownMembers } from "../intents/request.ts";
import { type FrozenView, ViewDraft } from "../view/cluster-view.ts";
import type { ClusterView, IntentContext, ObjectChange, Plan } from "../view/types.ts";
import type { Collection, Writes } from "./collection.ts";
import { COLLECTIONS } from "./collections.ts";

/** Objects that are to be thought of as stored, by collection, and keys of objects as deleted. */
export interface Proposal {
  readonly puts: readonly Put[];
  readonly deletes: readonly Removal[];
}

interface Put {
  /** Where it stands in the body. */
  readonly field: string;
  readonly collection: WritableCollection;
  readonly body: unknown;
}

interface Removal {
  readonly field: string;
  readonly collection: WritableCollection;
  readonly key: string;
}

type WritableCollection = Collection & { readonly writes: Writes & Required<Pick<Writes, "keyOf">> };

/** What objects need comes before them; deletions go the other way. Rules cannot be changed, so theirs come first of all. */
const ORDER: readonly string[] = ["tenants", "networks", "netprofiles", "policys", "endpointGroups", "rules"];
/** Names by which a body may call a collection besides its own. */
const ALIASES: Readonly<Record<string, string>> = { policies: "policys", groups: "endpointGroups" };
/** Members of a body that hold proposed objects. */
export const PROPOSAL_MEMBERS: readonly string[] = [...ORDER, ...Object.keys(ALIASES), "deletes"];

/** Most objects of one proposal. */
const OBJECTS_MAX = 1_000;

export function parseProposal(body: Readonly<Record<string, unknown>>): Proposal {
  const puts = listsOf(body).flatMap(({ field, collection, items }) =>
    items.map((item, index): Put => ({ field: `${field}.${index}`, collection, body: item })),
  );
  const removals = listsOf(objectOf(body.deletes ?? {}, "deletes"), "deletes.").flatMap((list) =>
    list.items.map((item, index) => removalOf({ ...list, field: `${list.field}.${index}` }, item)),
  );
  const count = puts.length + removals.length;
  if (count > OBJECTS_MAX) throw new NetError("INVALID", `The body proposes ${count} objects; at most ${OBJECTS_MAX}`);
  return { puts: inOrder(puts), deletes: inOrder(removals).reverse() };
}

interface List {
  readonly field: string;
  readonly collection: WritableCollection;
  readonly items: readonly unknown[];
}

function listsOf(body: Readonly<Record<string, unknown>>, prefix = ""): List[] {
  return Object.entries(body).flatMap(([name, items]) => {
    const wanted = ALIASES[name] ?? name;
    const collection = ORDER.includes(wanted) ? writable(wanted) : undefined;
    const field = `${prefix}${name}`;
    if (collection === undefined) {
      if (prefix === "") return [];
      throw invalid(field, `is not known here${nearHint(name, ORDER)}`);
    }
    if (!Array.isArray(items)) throw invalid(field, "must be a list");
    return [{ field, collection, items }];
  });
}

function writable(name: string): WritableCollection | undefined {
  const collection = COLLECTIONS.find((candidate) => candidate.name === name);
  const { writes } = collection ?? {};
  if (collection === undefined || writes?.keyOf === undefined) return undefined;
  return { ...collection, writes: { ...writes, keyOf: writes.keyOf } };
}

function objectOf(value: unknown, field: string): Readonly<Record<string, unknown>> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return { ...value };
  throw invalid(field, "must be an object of lists of keys");
}

function removalOf({ field, collection }: Omit<List, "items">, key: unknown): Removal {
  if (typeof key !== "string") throw invalid(field, "must be the key of an object");
  return { field, collection, key };
}

function inOrder<T extends { readonly collection: Collection }>(items: readonly T[]): T[] {
  const place = ({ collection }: T) => ORDER.indexOf(collection.name);
  return [...items].sort((left, right) => place(left) - place(right));
}

/** The view as if the proposal were stored: planned by the same intents, committed nowhere. Yields after each object. */
export function* proposedView(view: FrozenView, { puts, deletes }: Proposal): Generator<void, FrozenView> {
  const draft = new ViewDraft(view);
  const head = draft.live(view.revision);
  const context: IntentContext = { now: new Date().toISOString(), newEpoch: () => randomUUID() as Epoch };
  const isRule = ({ collection }: Removal) => collection.name === "rules";
  for (const removal of deletes.filter(isRule)) yield* remove(draft, head, removal, context);
  for (const { field, collection, body } of puts) {
    apply(
      draft,
      head,
      named(field, () => plannedPut(head, { collection, body }, context)),
    );
    yield;
  }
  for (const removal of deletes.filter((each) => !isRule(each))) yield* remove(draft, head, removal, context);
  return draft.freeze(view.revision);
}

/** v1 has no proposals, so nothing in one is ignored. */
function plannedPut(
  head: ClusterView,
  { collection, body }: Omit<Put, "field">,
  context: IntentContext,
): Plan<unknown> {
  const { noun, writes } = collection;
  refuseUnknownMembers(noun, Object.keys(writes.schema.shape), body);
  return writes.upsert(head, { key: writes.keyOf(body), body, isPatch: false }, context);
}

function* remove(
  draft: ViewDraft,
  head: ClusterView,
  { field, collection, key }: Removal,
  context: IntentContext,
): Generator<void, void> {
  for (let remaining = 1; remaining > 0; ) {
    const plan = named(field, () => collection.writes.remove(head, key, context));
    apply(draft, head, plan);
    remaining = plan.reply.remaining;
    yield;
  }
}

/** Says which of the proposed objects cannot be. */
function named<T>(field: string, work: () => T): T {
  try {
    return work();
  } catch (thrown) {
    const error = asNetError(thrown, `propose ${field}`);
    const { code, message, reason, blockers, cause } = error;
    throw new NetError(code, `${field}: ${message}`, {
      ...{ cause, field: error.field === undefined ? field : `${field}.${error.field}` },
      ...(reason === undefined ? {} : { reason }),
      ...(blockers === undefined ? {} : { blockers }),
    });
  }
}

function apply(draft: ViewDraft, head: ClusterView, { puts, deletes }: Plan<unknown>): void {
  const gone = deletes.map(({ kind, key }) => ({ kind, key, record: undefined }));
  const changes = [...gone, ...puts].map(
    ({ kind, key, record }) =>
      ({ kind, key, record, previous: head.records(kind).get(key), modRevision: 0n }) as ObjectChange,
  );
  draft.apply(changes);
}
