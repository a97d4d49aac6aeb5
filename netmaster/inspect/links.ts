import { scopedKey } from "../intents/references.ts";
import type { ClusterView } from "../view/types.ts";
import { omitEmpty, type Rendered } from "./streamed.ts";

/** Object types as links name them (contract §3). */
type LinkType = "tenant" | "network" | "endpointGroup" | "policy" | "rule" | "netprofile" | "appProfile";

/** A link, or `{}` when there is nothing to link to. */
function link(type: LinkType, key: string | undefined): object {
  return key === undefined ? {} : { type, key };
}

/** Key → link of all keys; undefined when there are none. */
function linkSet(type: LinkType, keys: Iterable<string>): object | undefined {
  const set: Record<string, object> = {};
  for (const key of keys) set[key] = link(type, key);
  return Object.keys(set).length === 0 ? undefined : set;
}

/** The members `link-sets` and `links` of one object; an object type without one of them leaves it undefined. */
export interface Links {
  readonly sets?: Readonly<Record<string, Rendered>>;
  readonly links?: Readonly<Record<string, object>>;
}

export function tenantLinks(view: ClusterView, key: string): Links {
  const sets = {
    AppProfiles: linkSet("appProfile", view.appProfilesOfTenant(key)),
    EndpointGroups: linkSet("endpointGroup", view.groupsOfTenant(key)),
    NetProfiles: linkSet("netprofile", view.netprofilesOfTenant(key)),
    Networks: linkSet("network", view.networksOfTenant(key)),
    Policies: linkSet("policy", view.policiesOfTenant(key)),
  };
  return { sets: omitEmpty(sets) };
}

export function networkLinks(view: ClusterView, key: string, tenantName: string): Links {
  const sets = omitEmpty({ EndpointGroups: linkSet("endpointGroup", view.groupsOfNetwork(key)) });
  return { sets, links: { Tenant: link("tenant", tenantName) } };
}

interface GroupLinkFields {
  readonly tenantName: string;
  readonly networkName: string;
  readonly netProfile: string;
  readonly policies: readonly string[];
}

export function groupLinks(view: ClusterView, key: string, config: GroupLinkFields): Links {
  const { tenantName, networkName, netProfile, policies } = config;
  const [appProfile] = view.appProfilesOfGroup(key);
  const policyKeys = [...new Set(policies)].sort().map((name) => scopedKey(tenantName, name));
  return {
    sets: omitEmpty({
      MatchRules: linkSet("rule", view.rulesNaming(key)),
      Policies: linkSet("policy", policyKeys),
    }),
    links: {
      AppProfile: link("appProfile", appProfile),
      NetProfile: link("netprofile", netProfile === "" ? undefined : scopedKey(tenantName, netProfile)),
      Network: link("network", scopedKey(tenantName, networkName)),
      Tenant: link("tenant", tenantName),
    },
  };
}

export function policyLinks(view: ClusterView, key: string, tenantName: string): Links {
  const sets = {
    EndpointGroups: linkSet("endpointGroup", view.groupsOfPolicy(key)),
    Rules: linkSet("rule", view.rulesOfPolicy(key)),
  };
  return { sets: omitEmpty(sets), links: { Tenant: link("tenant", tenantName) } };
}

interface RuleLinkFields {
  readonly tenantName: string;
  readonly policyName: string;
  readonly fromEndpointGroup: string;
  readonly toEndpointGroup: string;
}

/** A link to a group that does not exist (any more) is left empty: such a rule matches nothing. */
export function ruleLinks(view: ClusterView, config: RuleLinkFields): Links {
  const { tenantName, policyName, fromEndpointGroup, toEndpointGroup } = config;
  const name = fromEndpointGroup === "" ? toEndpointGroup : fromEndpointGroup;
  const groupKey = scopedKey(tenantName, name);
  const policyKey = scopedKey(tenantName, policyName);
  return {
    sets: { Policies: linkSet("policy", [policyKey]) },
    links: {
      MatchEndpointGroup: link("endpointGroup", view.records("endpointGroup").has(groupKey) ? groupKey : undefined),
    },
  };
}

export function netprofileLinks(view: ClusterView, key: string, tenantName: string): Links {
  const sets = omitEmpty({ EndpointGroups: linkSet("endpointGroup", view.groupsOfNetprofile(key)) });
  return { sets, links: { Tenant: link("tenant", tenantName) } };
}

export function appProfileLinks(tenantName: string, groups: readonly string[]): Links {
  const keys = [...new Set(groups)].sort().map((name) => scopedKey(tenantName, name));
  const sets = omitEmpty({ EndpointGroups: linkSet("endpointGroup", keys) });
  return { sets, links: { Tenant: link("tenant", tenantName) } };
}
