import type { Kind } from "../../../state/records.ts";
import type { Collection } from "../collection.ts";
import { type Members, members, membersOf, named, patchSchema, requestSchema, type Schema, text } from "./schema.ts";

interface LinkNames {
  readonly sets: readonly string[];
  readonly links: readonly string[];
}

/** The members of `link-sets` and `links` (contract §3). */
const LINKS: Readonly<Partial<Record<Kind, LinkNames>>> = {
  appProfile: { sets: ["EndpointGroups"], links: ["Tenant"] },
  endpointGroup: { sets: ["MatchRules", "Policies"], links: ["AppProfile", "NetProfile", "Network", "Tenant"] },
  netprofile: { sets: ["EndpointGroups"], links: ["Tenant"] },
  network: { sets: ["EndpointGroups"], links: ["Tenant"] },
  policy: { sets: ["EndpointGroups", "Rules"], links: ["Tenant"] },
  rule: { sets: ["Policies"], links: ["MatchEndpointGroup"] },
  tenant: { sets: ["AppProfiles", "EndpointGroups", "NetProfiles", "Networks", "Policies"], links: [] },
};

const KEY: Schema = { ...text("Key of the object, made from its members."), readOnly: true };

function linkMembers(kind: Kind): Members {
  const { sets = [], links = [] } = LINKS[kind] ?? {};
  const ofSets = Object.fromEntries(sets.map((name) => [name, named("LinkSet")]));
  const ofLinks = Object.fromEntries(links.map((name) => [name, named("Link")]));
  const readOnly = { readOnly: true };
  return {
    ...(sets.length === 0
      ? {}
      : { "link-sets": { ...members({}, ofSets, "Objects that belong to it."), ...readOnly } }),
    ...(links.length === 0 ? {} : { links: { ...members({}, ofLinks, "Objects that it names."), ...readOnly } }),
  };
}

/** Of a kind that clients write: the object as they send it, as replies show it, and its merge patch. */
export function writableSchemas({ kind, writes }: Collection): Schema {
  if (writes === undefined) return {};
  const request = requestSchema(writes.schema);
  const { properties: _, ...rest } = request;
  return {
    [kind]: { ...rest, properties: { key: KEY, ...membersOf(request), ...linkMembers(kind) } },
    [`${kind}Object`]: { allOf: [named(kind), members({ key: text("Key of the object.") }, {})] },
    [`${kind}Patch`]: patchSchema(writes.schema),
  };
}

/** The schema of an object in replies. */
export function objectOf({ kind, writes }: Collection): Schema {
  return named(writes === undefined ? kind : `${kind}Object`);
}
