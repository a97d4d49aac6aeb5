import type { PortState } from "../../../drivers/ovs/pod-ports/port-state.ts";
import { type LimitPlan, policingOf, tbfOf } from "./limit-plan.ts";

/** What the plan of an endpoint means for its port. */
export function portStateOf({ podIngress, podEgress }: LimitPlan): PortState {
  const egress = podEgress?.mechanism;
  return {
    near: podIngress && tbfOf(podIngress),
    far: podEgress && egress === "panel-tbf" ? tbfOf(podEgress) : undefined,
    ifb: podEgress && egress === "ifb-tbf" ? tbfOf(podEgress) : undefined,
    policing: podEgress && egress === "police" ? policingOf(podEgress) : undefined,
  };
}
