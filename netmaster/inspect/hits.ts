import { addHits, addTraffic, type Hits, type Traffic } from "../node-reports/hit-counters.ts";
import type { NodeReports } from "../node-reports/reports.ts";
import type { ClusterView } from "../view/types.ts";
import { type Rendered, StreamedValue } from "./streamed.ts";

function shownHits({ packets, bytes, lastAtMs }: Hits): object {
  return { packets, bytes, lastHit: new Date(lastAtMs).toISOString() };
}

export function shownTraffic({ sent, received, lastAtMs }: Traffic): object {
  return { sent, received, lastHit: new Date(lastAtMs).toISOString() };
}

/** What a rule has decided over (a log rule: what it matched); undefined while that is nothing. */
export function ruleHits({ hits }: NodeReports, ruleKey: string): Rendered {
  const found = hits.ofRule(ruleKey);
  return found && shownHits(found);
}

const PER_STEP = 200;

/** The sum of a policy's rules that decide, and each rule that has met packets. */
export function policyHits(view: ClusterView, { hits }: NodeReports, policyKey: string): Rendered {
  if (hits.rules().size === 0) return undefined;
  return new StreamedValue(function* () {
    let sum: Hits | undefined;
    const rules: Record<string, object> = {};
    let lookedAt = 0;
    for (const key of view.rulesOfPolicy(policyKey)) {
      if (lookedAt++ % PER_STEP === 0) yield;
      const found = hits.ofRule(key);
      if (found === undefined) continue;
      if (view.records("rule").get(key)?.config.action !== "log") sum = addHits(sum, found);
      rules[key] = shownHits(found);
    }
    if (Object.keys(rules).length === 0) return undefined;
    return { ...(sum && shownHits(sum)), rules };
  });
}

/** What the group's endpoints have sent and got, those that are gone left out. */
export function groupTraffic(view: ClusterView, { hits }: NodeReports, groupKey: string): Rendered {
  if (hits.endpointCount === 0) return undefined;
  return new StreamedValue(function* () {
    let sum: Traffic | undefined;
    let lookedAt = 0;
    for (const key of view.endpointsOfGroup(groupKey)) {
      if (lookedAt++ % PER_STEP === 0) yield;
      const found = hits.ofEndpoint(key);
      if (found !== undefined) sum = addTraffic(sum, found);
    }
    return sum && shownTraffic(sum);
  });
}
