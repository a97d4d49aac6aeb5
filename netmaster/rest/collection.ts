import type { z } from "zod";
import { NetError } from "../../state/errors.ts";
import type { Kind, RecordOf } from "../../state/records.ts";
import { compareText } from "../../state/sorted-map.ts";
import type { Links } from "../inspect/links.ts";
import { omitEmpty, type Rendered, StreamedObject } from "../inspect/streamed.ts";
import { notFound } from "../intents/errors.ts";
import type { Changed, Removed } from "../intents/plan.ts";
import { parseRequest, refuseAlmostOurs, refuseUnknownMembers } from "../intents/request.ts";
import type { NodeReports } from "../node-reports/reports.ts";
import type { ClusterView, Intent, IntentContext, Plan } from "../view/types.ts";

/** What a write request of one object says. */
export interface Upsert {
  readonly key: string;
  readonly body: unknown;
  /** The body is a JSON merge patch (RFC 7396) of the stored object. */
  readonly isPatch: boolean;
}

/** How a member of an object that exists can be changed. A member without such a word is fixed when the object is created. */
export type Change =
  /** POST, PUT and PATCH replace it. */
  | "replaced"
  /** The same, but a POST or PUT without it leaves it as it is. */
  | "kept"
  /** The same, while there are no networks. */
  | "kept-without-networks"
  /** PATCH alone changes it. */
  | "patched";

/** How a client changes objects of a collection. */
export interface Writes {
  readonly schema: z.ZodObject;
  readonly changes: Readonly<Record<string, Change>>;
  /** The key that the members of a body make; throws INVALID when they are wrong. Undefined: a body does not name its object. */
  readonly keyOf?: (body: unknown) => string;
  readonly upsert: Intent<Upsert, Changed>;
  readonly remove: Intent<string, Removed>;
}

/** One collection of the API, whatever it holds. */
export interface Collection {
  /** In the URL. */
  readonly name: string;
  /** In messages, singular. */
  readonly noun: string;
  readonly kind: Kind;
  /** The object as GET shows it; undefined when it does not exist. */
  render(view: ClusterView, key: string): Rendered | undefined;
  /** The same of a record that is not stored (yet). */
  preview(view: ClusterView, record: RecordOf<Kind>): Rendered;
  /** `{"Config":…,"Oper":…}`; undefined when the object does not exist. */
  inspect(view: ClusterView, key: string, env: InspectEnv): Rendered | undefined;
  /** Undefined: the API only shows these objects. */
  readonly writes: Writes | undefined;
  /** Only deletion is offered. */
  readonly remove: Intent<string, Removed> | undefined;
}

/** What inspect shows besides the view. */
export interface InspectEnv extends NodeReports {
  readonly clusterMode: string;
}

/** The kinds that an admin configures: their records have a `config`. */
export type ConfigKind = {
  [K in Kind]: RecordOf<K> extends { readonly config: object } ? K : never;
}[Kind];

export interface ConfigSpec<K extends ConfigKind, S extends z.ZodObject> {
  readonly name: string;
  readonly noun: string;
  readonly kind: K;
  /** Schema of the request body. */
  readonly schema: S;
  /** Its members that v1 did not have. */
  readonly ours: readonly (keyof S["shape"] & string)[];
  /** Those of its members that can be changed. */
  readonly changes: Readonly<Partial<Record<keyof S["shape"] & string, Change>>>;
  keyOf(config: z.infer<S>): string;
  upsert(view: ClusterView, config: z.infer<S>, context: IntentContext): Plan<Changed>;
  /** Takes the merged object of a PATCH, where that may change more or less than an upsert. */
  patch?(view: ClusterView, config: z.infer<S>, context: IntentContext): Plan<Changed>;
  remove(view: ClusterView, key: string, context: IntentContext): Plan<Removed>;
  links(view: ClusterView, record: RecordOf<K>): Links;
  oper?(view: ClusterView, record: RecordOf<K>, env: InspectEnv): Rendered;
}

/** Makes a collection of configured objects. */
export function configCollection<K extends ConfigKind, S extends z.ZodObject>(spec: ConfigSpec<K, S>): Collection {
  const fields = Object.keys(spec.schema.shape).sort(compareText);
  function show(view: ClusterView, record: RecordOf<K>): Rendered {
    return renderConfig(record.key, fields, record.config, spec.links(view, record));
  }
  function render(view: ClusterView, key: string): Rendered | undefined {
    const record = view.records(spec.kind).get(key);
    return record && show(view, record);
  }
  return {
    name: spec.name,
    noun: spec.noun,
    kind: spec.kind,
    render,
    // Only this collection's own intents make the records that come here.
    preview: (view, record) => show(view, record as RecordOf<K>),
    inspect(view, key, env) {
      const record = view.records(spec.kind).get(key);
      if (record === undefined) return undefined;
      return new StreamedObject({ Config: render(view, key), Oper: spec.oper?.(view, record, env) });
    },
    writes: {
      schema: spec.schema,
      changes: spec.changes as Readonly<Record<string, Change>>,
      keyOf: (body) => spec.keyOf(parseRequest(spec.schema, body)),
      upsert: upsertOf(spec),
      remove: spec.remove,
    },
    remove: spec.remove,
  };
}

/** `key` first, then the members in byte order, then `link-sets` and `links` (contract §3). */
function renderConfig(key: string, fields: readonly string[], config: object, { sets, links }: Links): Rendered {
  const members = Object.fromEntries(fields.map((field) => [field, Reflect.get(config, field)]));
  return {
    key,
    ...omitEmpty(members),
    ...(sets === undefined ? {} : { "link-sets": sets }),
    ...(links === undefined ? {} : { links }),
  };
}

function upsertOf<K extends ConfigKind, S extends z.ZodObject>(spec: ConfigSpec<K, S>): Intent<Upsert, Changed> {
  const fields = Object.keys(spec.schema.shape);
  return (view, { key, body, isPatch }, context) => {
    const stored: object | undefined = view.records(spec.kind).get(key)?.config;
    if (isPatch && stored === undefined) throw notFound(spec.noun, key);
    if (isPatch) refuseUnknownMembers(spec.noun, fields, body);
    else refuseAlmostOurs(spec.noun, { names: fields, ours: spec.ours }, body);
    const config = parseRequest(spec.schema, isPatch && stored !== undefined ? mergePatch(stored, body) : body);
    const ownKey = spec.keyOf(config);
    if (ownKey !== key) {
      const message = `key: the URL says "${key}", and the body's members make "${ownKey}"`;
      throw new NetError("INVALID", message, { reason: "key-mismatch", field: "key" });
    }
    return isPatch && spec.patch !== undefined ? spec.patch(view, config, context) : spec.upsert(view, config, context);
  };
}

/** RFC 7396 for objects whose members are values and lists: null removes, everything else replaces. */
function mergePatch(stored: object, patch: unknown): unknown {
  if (typeof patch !== "object" || patch === null || Array.isArray(patch)) return patch;
  const merged = new Map<string, unknown>(Object.entries(stored));
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) merged.delete(name);
    else merged.set(name, value);
  }
  return Object.fromEntries(merged);
}
