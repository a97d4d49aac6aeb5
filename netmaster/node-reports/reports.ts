import type { CeilingReport } from "../../state/bandwidth/report.ts";
import type { Receipt } from "../../state/node-api.ts";
import type { HitCounters } from "./hit-counters.ts";
import type { PolicyRevisions } from "./policy-revisions.ts";

/** What the nodes have told the leader, in memory. */
export interface NodeReports {
  /** The last receipt of a node; undefined when it has sent none to this netmaster. */
  readonly receipt: (nodeName: string) => Receipt | undefined;
  /** What a node measured lately of its pods of a group or tenant (by key) that has a ceiling. */
  readonly ceiling: (nodeName: string, key: string) => CeilingReport | undefined;
  readonly hits: Pick<HitCounters, "ofRule" | "ofEndpoint" | "endpointCount" | "rules">;
  readonly policyRevisions: Pick<PolicyRevisions, "of">;
}
