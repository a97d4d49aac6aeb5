import type { Kind } from "../../../state/records.ts";
import type { Collection } from "../collection.ts";
import { ENDPOINT_WRITES, objectOf, writableMembers } from "./objects.ts";
import { inspectSchema } from "./oper.ts";
import { JSON_TYPE, jsonAnswer, jsonBody, LINES_TYPE, type Operation, PATCH_TYPE, type Tag } from "./operation.ts";
import { choice, list, members, named, patchSchema, type Schema, text } from "./schema.ts";

/** What can be done with the objects of a collection. */
export interface CollectionOperations {
  readonly list: Operation;
  readonly get: Operation;
  readonly inspect: Operation;
  readonly post: Operation;
  readonly put: Operation;
  readonly patch: Operation;
  readonly delete: Operation;
}

const OBJECT_HEADERS = ["ETag", "contiv-revision"];

export function collectionOperations(collection: Collection): CollectionOperations {
  const { kind, noun, name } = collection;
  const tag = name as Tag;
  const object = objectOf(collection);
  const [one, many] = [idPart(kind), idPart(pluralOf(name))];
  const shown = jsonAnswer(object);
  const written = { tag, description: EMPTY_IS_ABSENT, answer: shown, headers: OBJECT_HEADERS };
  const replaced = { ...written, headers: [...OBJECT_HEADERS, "Warning"] };
  const body = jsonBody(named(kind));
  const revision = ["contiv-revision"];
  return {
    list: {
      ...{ id: `list${many}`, tag, summary: `List all ${pluralOf(noun)}, sorted by key` },
      description: "The whole collection, a page of it (limit), or a stream of its changes (watch).",
      answer: { ...jsonAnswer(list(object, "The objects.")), [LINES_TYPE]: watchSchema(object) },
      headers: [...revision, "contiv-continue"],
    },
    get: {
      ...{ id: `get${one}`, tag, summary: `Show one ${noun}` },
      description: "The object as it is stored, or a stream of its changes (watch).",
      answer: { ...shown, [LINES_TYPE]: watchSchema(object) },
      headers: OBJECT_HEADERS,
      ...(kind === "endpoint" ? { errors: [409] } : {}),
    },
    inspect: {
      ...{ id: `inspect${one}`, tag, summary: `Show one ${noun} with its state`, headers: revision },
      description: "Config is the object as it is stored, Oper what the cluster and its nodes report about it.",
      answer: jsonAnswer(inspectSchema(kind, object)),
      ...(kind === "endpoint" ? { errors: [409] } : {}),
    },
    post: { ...replaced, id: `post${one}`, summary: `Create one ${noun}, or replace what may change of it`, body },
    put: { ...replaced, id: `put${one}`, summary: `The same as POST, for one ${noun}`, body },
    patch: { ...written, ...patchOf(collection), id: `patch${one}`, summary: `Change single members of one ${noun}` },
    delete: {
      ...{ id: `delete${one}`, tag, summary: `Delete one ${noun}`, headers: revision },
      description: DELETION[kind] ?? "Refused while other objects use it; blockers names them.",
      answer: jsonAnswer(text("Key of the object.")),
    },
  };
}

const EMPTY_IS_ABSENT =
  'A member that is null, "" or 0 counts as absent and gets its default. A change of a member that is fixed is refused (409).';

/** What a deletion takes with it, or waits for, where that is not the usual. */
const DELETION: Readonly<Partial<Record<Kind, string>>> = {
  appProfile: "Always allowed; its endpoint groups stay.",
  endpointGroup: "Refused while endpoints or app profiles use it. Rules that name it stay, and match nothing.",
  global: "Always refused (501): the settings can only be changed.",
  node: "Refused while the node sends heartbeats (it is not `unreachable`), because its pods may be alive. The leases of its endpoints end with it.",
  policy: "Deletes its rules, too. Refused while endpoint groups have it.",
  rule: "Always allowed. Connections that only this rule allowed end.",
};

/** Of endpoints only their own limits are an admin's to change. */
function patchOf({ kind, writes }: Collection): Pick<Operation, "description" | "body"> {
  const schema = writes === undefined ? patchSchema(writableMembers(ENDPOINT_WRITES)) : named(`${kind}Patch`);
  return {
    description: "A JSON merge patch (RFC 7396): members that are given replace, null resets, all others stay.",
    body: { mediaType: PATCH_TYPE, schema },
  };
}

/** One line of a watch. */
function watchSchema(object: Schema): Schema {
  return members(
    { type: choice(["put", "delete", "synced", "bookmark", "error"], "What the line says.") },
    {
      key: text("Key of the object, with put and delete."),
      modRevision: text("ETag of the object without its quotes, with put and delete."),
      object,
      revision: text("Store revision in the form of contiv-revision, with synced and bookmark."),
      code: text("Name of the error, with error."),
      detail: text("What is wrong, with error."),
    },
    "One line of a watch.",
  );
}

/** Of a collection that this release does not have. */
export function laterOperations(name: string): CollectionOperations {
  const tag: Tag = "unsupported";
  const one = idPart(name.replace(/s$/, ""));
  const refused = { tag, description: "Not supported by this release: always refused.", answer: undefined };
  const missing = { ...refused, errors: [404] };
  const unsupported = { ...refused, errors: [501] };
  return {
    list: {
      ...{ id: `list${idPart(name)}`, tag, summary: `List ${name}: always empty` },
      description: "This release has no such objects; the route is there for clients of version 1.",
      answer: { [JSON_TYPE]: { ...list({}, "Always empty."), maxItems: 0 } },
      headers: ["contiv-revision"],
    },
    get: { ...missing, id: `get${one}`, summary: `Show one of ${name}` },
    inspect: { ...missing, id: `inspect${one}`, summary: `Show one of ${name} with its state` },
    post: { ...unsupported, id: `post${one}`, summary: `Create one of ${name}` },
    put: { ...unsupported, id: `put${one}`, summary: `Replace one of ${name}` },
    patch: { ...unsupported, id: `patch${one}`, summary: `Change one of ${name}` },
    delete: { ...missing, id: `delete${one}`, summary: `Delete one of ${name}` },
  };
}

function idPart(name: string): string {
  return `${name.charAt(0).toUpperCase()}${name.slice(1)}`;
}

/** The name of the collection of policies is not English. */
function pluralOf(name: string): string {
  if (name === "policys" || name === "policy") return "policies";
  return name.endsWith("s") ? name : `${name}s`;
}
