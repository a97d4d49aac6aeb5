import type { PolicyWorld } from "../../state/policy/world.ts";
import { objectId } from "./messages.ts";
import type { NodeView } from "./node-view.ts";
import {
  endpointAt,
  networksOfTenant,
  quarantineReason,
  recordOf,
  recordsOf,
  rulesOfPolicy,
  settingsOf,
} from "./query.ts";

const worlds = new WeakMap<NodeView, PolicyWorld>();

/** The view as the policy evaluator asks it; the same instance for the same view. */
export function policyWorldOf(view: NodeView): PolicyWorld {
  const known = worlds.get(view);
  if (known !== undefined) return known;
  const world: PolicyWorld = {
    isRouting: settingsOf(view).fwdMode === "routing",
    network: (key) => recordOf(view, "network", key),
    networksOfTenant: (tenantName) => networksNamed(view, tenantName),
    group: (key) => recordOf(view, "endpointGroup", key),
    policyFault: (key) => policyFault(view, key),
    rulesOfPolicy: (key) => rulesOfPolicy(view, key),
    endpointAt: ({ networkId }, address) => endpointAt(view, networkId, address),
  };
  worlds.set(view, world);
  return world;
}

function* networksNamed(view: NodeView, tenantName: string) {
  for (const network of recordsOf(view, "network")) {
    if (network.config.tenantName !== tenantName) continue;
    yield* networksOfTenant(view, network.tenantId);
    return;
  }
}

/** What this release cannot read it cannot enforce; a last good version of it is not what the admin wants. */
function policyFault(view: NodeView, policyKey: string): string | undefined {
  if (recordOf(view, "policy", policyKey) === undefined) return `policy ${policyKey} is not known`;
  const reason = quarantineReason(view, `${objectId("rule", policyKey)}:`);
  return reason === undefined ? undefined : `a rule of policy ${policyKey} cannot be read: ${reason}`;
}
