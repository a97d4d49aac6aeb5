import { createHash } from "node:crypto";
import type { RestClient } from "../../deploy/cluster/rest-client.ts";
import type { Rule } from "../../state/kinds/rule.ts";
import { eventually } from "./test-cluster.ts";

const RECEIPTS_TIMEOUT_MS = 30_000;

/** A rule as an admin writes it, of a policy. */
export type RuleSpec = Pick<Rule, "direction" | "action"> &
  Partial<Omit<Rule, "tenantName" | "ruleId">> & { readonly policyName: string };

/** Group → the names of its policies. */
export type Attachments = Readonly<Record<string, readonly string[]>>;

/** What an admin does with the policies of one tenant. */
export interface PolicyAdmin {
  policy(policyName: string): Promise<void>;
  add(rule: RuleSpec): Promise<void>;
  remove(rule: RuleSpec): Promise<void>;
  /** Makes the group when there is none. */
  attach(groupName: string, policies: readonly string[]): Promise<void>;
  /** Waits for the receipts of all nodes: what has been written about these groups is in their switches. */
  untilEnforced(): Promise<void>;
}

/** The same rule always has the same name, and different ones never. */
export function ruleIdOf(rule: RuleSpec): string {
  return `r${createHash("sha256").update(JSON.stringify(rule)).digest("hex").slice(0, 12)}`;
}

interface Inspected {
  readonly Oper?: {
    readonly enforcement?: {
      readonly nodes: readonly { readonly node: string; readonly state: string; readonly lagRevisions?: number }[];
    };
  };
}

/** `networks`: group → its network. */
export function policyAdmin(
  rest: RestClient,
  tenantName: string,
  networks: Readonly<Record<string, string>>,
): PolicyAdmin {
  const rulePath = (rule: RuleSpec) => `/api/v1/rules/${tenantName}:${rule.policyName}:${ruleIdOf(rule)}/`;
  async function lagging(): Promise<readonly string[]> {
    const asked = Object.keys(networks).map(async (group) => {
      const { Oper } = await rest.get<Inspected>(`/api/v1/inspect/endpointGroups/${tenantName}:${group}/`);
      const behind = (Oper?.enforcement?.nodes ?? []).filter(({ state, lagRevisions = 0 }) => {
        return lagRevisions > 0 || state === "unknown" || state === "unreachable";
      });
      return behind.map(({ node, state }) => `${group} ${state} on ${node}`);
    });
    return (await Promise.all(asked)).flat();
  }
  return {
    policy: (policyName) => rest.post(`/api/v1/policys/${tenantName}:${policyName}/`, { tenantName, policyName }),
    add: (rule) => rest.post(rulePath(rule), { ...rule, tenantName, ruleId: ruleIdOf(rule) }),
    remove: (rule) => rest.delete(rulePath(rule)),
    attach: (groupName, policies) => {
      const group = { tenantName, groupName, networkName: networks[groupName], policies };
      return rest.post(`/api/v1/endpointGroups/${tenantName}:${groupName}/`, group);
    },
    untilEnforced: async () => {
      await eventually("policies in force", lagging, (behind) => behind.length === 0, RECEIPTS_TIMEOUT_MS);
    },
  };
}
