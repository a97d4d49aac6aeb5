import { EndpointBandwidth } from "../../../state/bandwidth/endpoint-config.ts";
import type { Kind } from "../../../state/records.ts";
import type { Change, Collection, Writes } from "../collection.ts";
import { TAGS, type Tag } from "./operation.ts";
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

/** When a member can be changed, in words. */
export const CHANGES: Readonly<Record<Change | "fixed", string>> = {
  fixed: "Fixed when the object is created.",
  replaced: "Can be changed at any time.",
  kept: "Can be changed at any time; a POST or PUT without it leaves it as it is.",
  "kept-without-networks": "Can be changed while there are no networks; a POST or PUT without it leaves it as it is.",
  patched: "Can be changed at any time, by PATCH only.",
};

/** The members that a client sends, each with its meaning and when it can be changed. */
export function writableMembers({ schema, changes }: Pick<Writes, "schema" | "changes">): Members {
  const described = Object.entries(membersOf(requestSchema(schema))).map(([name, member]) => {
    const description = `${member.description} ${CHANGES[changes[name] ?? "fixed"]}`;
    return [name, { ...member, description }] as const;
  });
  return Object.fromEntries(described);
}

/** What an admin may change of an endpoint, which belongs to its node. */
export const ENDPOINT_WRITES: Pick<Writes, "schema" | "changes"> = {
  schema: EndpointBandwidth,
  changes: { ingressBandwidth: "patched", ingressBurst: "patched", egressBandwidth: "patched", egressBurst: "patched" },
};

/** Of a kind that clients write: the object as they send it, as replies show it, and its merge patch. */
export function writableSchemas({ kind, name, writes }: Collection): Schema {
  if (writes === undefined) return {};
  const { properties: _, ...rest } = requestSchema(writes.schema);
  const written = writableMembers(writes);
  const description = TAGS[name as Tag];
  return {
    [kind]: { ...rest, description, properties: { key: KEY, ...written, ...linkMembers(kind) } },
    [`${kind}Object`]: { description, allOf: [named(kind), members({ key: text("Key of the object.") }, {})] },
    [`${kind}Patch`]: patchSchema(written),
  };
}

/** The schema of an object in replies. */
export function objectOf({ kind, writes }: Collection): Schema {
  return named(writes === undefined ? kind : `${kind}Object`);
}
