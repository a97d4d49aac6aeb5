import { isDeepStrictEqual } from "node:util";
import { BARE_PORT, type PortState } from "../../../drivers/ovs/pod-ports/port-state.ts";
import type { EndpointRecord } from "../../../state/kinds/endpoint.ts";
import { type LimitMeans, NO_MEANS } from "../../machine/limit-means.ts";
import type { Changes, NodeView } from "../../view/node-view.ts";
import { isCeilinged, NO_CEILINGS } from "./ceilings.ts";
import { type GroupLimits, groupLimits, type LimitPlan, NO_LIMITS, planFor } from "./limit-plan.ts";
import { portStateOf } from "./port-state-of.ts";

/** Everything that limits one endpoint on this node, as one frozen value. */
export interface EndpointLimits {
  readonly plan: LimitPlan;
  /** What its port carries beside meters. */
  readonly port: PortState;
}

export const UNLIMITED: EndpointLimits = Object.freeze({ plan: NO_LIMITS, port: BARE_PORT });

/** Of a group: what limits its pods, and the limits of a pod of it that has none of its own. */
interface PlannedGroup extends GroupLimits {
  readonly limits: EndpointLimits;
}

/** What was planned in one view. */
interface Planned {
  readonly view: NodeView;
  readonly means: LimitMeans;
  readonly groups: Map<string, PlannedGroup>;
  /** Of endpoints that are limited otherwise than others of their group. */
  readonly own: Map<EndpointRecord, EndpointLimits>;
}

/** Views are never changed in place: what was planned in one holds as long as it does. */
const plannedIn = new WeakMap<NodeView, Planned>();

/** The limits of an endpoint as this node keeps them, planned once per view; `UNLIMITED` itself when it has none. */
export function limitsOf(
  view: NodeView,
  endpoint: EndpointRecord,
  means: LimitMeans | undefined = NO_MEANS,
): EndpointLimits {
  const planned = plannedWith(view, means);
  const { limits, profile, ceilings } = plannedGroup(planned, endpoint);
  const isUnder = ceilings.length === 0 || isCeilinged(view, endpoint);
  if (endpoint.limits === undefined && isUnder) return limits;
  const known = planned.own.get(endpoint);
  if (known !== undefined) return known;
  const own = limitsFor(planFor(endpoint.limits, { profile, ceilings: isUnder ? ceilings : NO_CEILINGS }, means));
  planned.own.set(endpoint, own);
  return own;
}

function plannedWith(view: NodeView, means: LimitMeans): Planned {
  const known = plannedIn.get(view);
  if (known?.means === means) return known;
  const planned: Planned = { view, means, groups: new Map(), own: new Map() };
  plannedIn.set(view, planned);
  return planned;
}

function plannedGroup({ view, means, groups }: Planned, { tenantName, groupName }: EndpointRecord): PlannedGroup {
  const key = `${tenantName}:${groupName}`;
  const known = groups.get(key);
  if (known !== undefined) return known;
  const group = groupLimits(view, { tenantName, groupName }, means);
  const planned = { ...group, limits: limitsFor(planFor(undefined, group, means)) };
  groups.set(key, planned);
  return planned;
}

function limitsFor(plan: LimitPlan): EndpointLimits {
  return plan === NO_LIMITS ? UNLIMITED : Object.freeze({ plan: Object.freeze(plan), port: portStateOf(plan) });
}

/** May these changes be of limits other than an endpoint's own? Who it is that they touch says `limitChanges`. */
export function concernsLimits(changes: Changes): boolean {
  for (const { kind } of changes.values()) {
    if (kind === "netprofile" || kind === "endpointGroup" || kind === "tenant") return true;
  }
  return false;
}

/** What limits follow from. */
export interface LimitSources {
  readonly view: NodeView;
  readonly means: LimitMeans | undefined;
}

export interface LimitChange {
  readonly endpoint: EndpointRecord;
  readonly before: EndpointLimits;
  readonly after: EndpointLimits;
}

/** Which of these endpoints are limited otherwise than before. One whose own record has changed is compared as it is now. */
export function* limitChanges(
  before: LimitSources,
  after: LimitSources,
  endpoints: Iterable<EndpointRecord>,
): Generator<LimitChange> {
  const isSame = sameness();
  for (const endpoint of endpoints) {
    const was = limitsOf(before.view, endpoint, before.means);
    const is = limitsOf(after.view, endpoint, after.means);
    if (!isSame(was, is)) yield { endpoint, before: was, after: is };
  }
}

/** Many pods share their limits, and mostly with the same pods as before: each two values are compared once. */
function sameness(): (was: EndpointLimits, is: EndpointLimits) => boolean {
  const compared = new Map<EndpointLimits, { readonly was: EndpointLimits; readonly isSame: boolean }>();
  return (was, is) => {
    if (was === is) return true;
    const known = compared.get(is);
    if (known?.was === was) return known.isSame;
    const isSame = isDeepStrictEqual(was.plan, is.plan);
    compared.set(is, { was, isSame });
    return isSame;
  };
}
