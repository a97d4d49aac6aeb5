import type { Schema } from "./schema.ts";

/** What the description says of the tags that group its operations. */
export const TAGS = {
  appProfiles: "Lists of endpoint groups that belong to an application.",
  endpointGroups: "Groups of endpoints in one network, and the policies that hold for them.",
  endpoints: "Attachments of pods to networks. Nodes create and release them.",
  globals: "Settings of the whole cluster.",
  netprofiles: "Bandwidth limits and DSCP of the endpoints of groups.",
  networks: "Networks over VLAN or VXLAN, with their subnets.",
  nodes: "Hosts that run netplugin.",
  policys: "Sets of rules that groups can have.",
  rules: "What endpoints of a group may receive and send.",
  tenants: "Owners of everything else; names are unique in a tenant.",
  explain: "Would a packet pass, and why.",
  netmaster: "This process: release, health, metrics.",
  plugin: "Calls of version 1's container runtimes.",
  debug: "Diagnosis and clean-up.",
  unsupported: "Collections of version 1 that this release does not have: always empty, writes are refused.",
} as const;

export type Tag = keyof typeof TAGS;

/** What the API's description says of a route besides its path. */
export interface Operation {
  /** Name that generated clients call it by; it never changes. */
  readonly id: string;
  readonly tag: Tag;
  readonly summary: string;
  readonly description: string;
  /** Query parameters told of, where they are not those of the route. */
  readonly query?: readonly string[];
  readonly body?: { readonly mediaType: string; readonly schema: Schema };
  /** Body of a success by media type; empty: no body. Undefined: it never succeeds. */
  readonly answer: Readonly<Record<string, Schema>> | undefined;
  /** Names of the headers that a success has. */
  readonly headers?: readonly string[];
  /** Errors besides those that the route's nature brings. */
  readonly errors?: readonly number[];
  /** Answers that are neither a success nor a problem document, by status. */
  readonly others?: Readonly<Record<number, { readonly description: string; readonly mediaType: string }>>;
}

export const JSON_TYPE = "application/json";
export const PATCH_TYPE = "application/merge-patch+json";
export const LINES_TYPE = "application/x-ndjson";
export const TEXT_TYPE = "text/plain";

export function jsonBody(schema: Schema): NonNullable<Operation["body"]> {
  return { mediaType: JSON_TYPE, schema };
}

export function jsonAnswer(schema: Schema): NonNullable<Operation["answer"]> {
  return { [JSON_TYPE]: schema };
}
