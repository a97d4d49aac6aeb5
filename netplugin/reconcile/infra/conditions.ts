import type { NodeCondition } from "../../../state/kinds/node.ts";
import type { RoundResult } from "./round.ts";

type Outcome = Pick<RoundResult, "working" | "refused" | "failures">;

/** A heartbeat holds 100 conditions at most; others need room too. */
const CONDITIONS_MAX = 20;

/** What an admin must know: one line for what works, one for each network that does not. */
export function infraConditions({ working, refused, failures }: Outcome): readonly NodeCondition[] {
  const troubles: NodeCondition[] = [
    ...[...refused].map(([key, reason]) => trouble("failed", key, `This node has no port in it: ${reason}`)),
    ...[...failures].map(([key, reason]) => trouble("degraded", key, `${reason}; tried again`)),
  ];
  if (troubles.length + working.size === 0) return [];
  const total = working.size + troubles.length;
  const shown = troubles.slice(0, CONDITIONS_MAX);
  const more = troubles.length > shown.length ? `; ${shown.length} of ${troubles.length} troubles are shown` : "";
  const status = troubles.length === 0 ? "ok" : "degraded";
  return [{ type: "infra", status, message: `Ports in ${working.size} of ${total} infra networks${more}` }, ...shown];
}

function trouble(status: NodeCondition["status"], key: string, message: string): NodeCondition {
  return { type: `infra/${key}`, status, message };
}
