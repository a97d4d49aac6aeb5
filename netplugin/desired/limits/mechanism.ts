import type { LimitMeans } from "../../machine/limit-means.ts";

/**
 * How a pod's sending is limited. `police`: by the kernel, told through the switch's database; `meter`: by the switch; `panel-tbf`:
 * queued on the pod's end in the patch panel; `ifb-tbf`: queued on an ifb that the near end's traffic is redirected to.
 */
export type EgressMechanism = "police" | "meter" | "panel-tbf" | "ifb-tbf";

export interface Choice<M> {
  /** Undefined: this node has nothing that could do it. */
  readonly mechanism: M | undefined;
  /** What the admin asked for and does not get. */
  readonly shortfall: string | undefined;
}

/** Towards the pod there is one way: a tbf on the near end. */
export function ingressMechanism({ tbf }: LimitMeans): Choice<"tbf"> {
  if (tbf) return { mechanism: "tbf", shortfall: undefined };
  return { mechanism: undefined, shortfall: "this kernel has no tbf, so what the pod receives is not limited" };
}

/** Chooses for what the pod sends; nobody's wish means dropping, as Contiv did, or else the best that there is. */
export function egressMechanism(wish: "police" | "shape" | undefined, means: LimitMeans): Choice<EgressMechanism> {
  const [dropping, queueing] = [droppers(means), queuers(means)];
  const wished = wish === "shape" ? queueing : dropping;
  const [mechanism] = [...wished, ...(wish === "shape" ? dropping : queueing)];
  if (mechanism === undefined) {
    return {
      mechanism,
      shortfall: "this node has neither policing nor meters nor a shaper, so what the pod sends is not limited",
    };
  }
  const isWish = wish === undefined || wished.includes(mechanism);
  return {
    mechanism,
    shortfall: isWish ? undefined : `egressMode ${wish} is not possible on this node; ${mechanism} is used`,
  };
}

/**
 * The userspace switch reads a port's packets before the kernel's ingress qdisc sees them: neither policing nor a redirect to an ifb
 * would take any away from it.
 */
function droppers({ datapathType, ingressPolicing, meters }: LimitMeans): readonly EgressMechanism[] {
  if (datapathType === "system" && ingressPolicing) return ["police"];
  return datapathType === "netdev" && meters ? ["meter"] : [];
}

function queuers({ datapathType, tbf, ifbRedirect, podEnd }: LimitMeans): readonly EgressMechanism[] {
  if (!tbf) return [];
  if (podEnd === "macvlan") return ["panel-tbf"];
  return datapathType === "system" && ifbRedirect ? ["ifb-tbf"] : [];
}
