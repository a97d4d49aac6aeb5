import type { Receipt } from "../../state/node-api.ts";
import type { HitCounters } from "../node-api/hit-counters.ts";
import type { PolicyRevisions } from "./policy-revisions.ts";

/** What the nodes have told the leader, in memory. */
export interface NodeReports {
  /** The last receipt of a node; undefined when it has sent none to this netmaster. */
  readonly receipt: (nodeName: string) => Receipt | undefined;
  readonly hits: Pick<HitCounters, "ofRule" | "ofEndpoint" | "endpointCount" | "rules">;
  readonly policyRevisions: Pick<PolicyRevisions, "of">;
}
