import type { Logger } from "pino";
import type { Registry } from "prom-client";
import type { BandwidthReport } from "../../state/bandwidth/report.ts";
import type { Readiness } from "../../state/readiness.ts";
import type { NodeReports } from "../node-reports/reports.ts";
import type { Condition } from "../store/condition.ts";
import type { FrozenView } from "../view/cluster-view.ts";
import type { ClusterView, Intent, ObjectChange, ViewChange } from "../view/types.ts";

/** What was written, or found to be there already. */
export interface Submitted<Reply> {
  readonly reply: Reply;
  /** Store revision at which the request's effect can be seen. */
  readonly revision: bigint;
}

export interface LeaderInfo {
  readonly isLeader: boolean;
  /** Address of this netmaster, as others reach it. */
  readonly self: string;
  /** REST URL of the leader (`http://host:port`), also when it is this one; undefined while there is none. */
  readonly leaderUrl: string | undefined;
  /** What netmasters prove to that leader that they forward a request; never shown. */
  readonly proofKey?: string | undefined;
  /** Aborts when that leader leads no longer. */
  readonly term?: AbortSignal;
  /** Addresses of all netmasters that are known. */
  readonly netmasters: readonly string[];
}

/** Everything that the REST API needs of its process; `main.ts` wires it. */
export interface RestServices {
  view(): FrozenView;
  /** Store keys of objects that this release cannot read. */
  unreadable(): readonly string[];
  /** Calls after every step of the view; returns how to end it. */
  onChange(listener: (change: ViewChange) => void): () => void;
  /** Changes after a revision, oldest first; undefined when they are not all remembered. */
  changesSince(revision: bigint): readonly ObjectChange[] | undefined;
  /** Resolves with the first view, of that epoch where one is given, that shows the revision. */
  waitForRevision(
    revision: bigint,
    options: { readonly timeoutMs: number; readonly signal?: AbortSignal; readonly epoch?: string | undefined },
  ): Promise<ClusterView>;
  /** Plans and commits as the leader; rejects with UNAVAILABLE when this is not the leader. */
  submit<Request, Reply>(
    intent: Intent<Request, Reply>,
    request: Request,
    options: { readonly signal: AbortSignal },
  ): Promise<Submitted<Reply>>;
  leader(): LeaderInfo;
  readiness(): Readiness;
  conditions(): readonly Condition[];
  /** What the nodes have told this netmaster; it leads, or knows nothing of the kind. */
  readonly reports: NodeReports;
  /** What a node measured lately of one of its endpoints; undefined when it has told this netmaster nothing of it. */
  bandwidthReport(nodeName: string, key: string): BandwidthReport | undefined;
  readonly metrics: Registry;
  readonly log: Logger;
  readonly build: { readonly gitCommit: string; readonly version: string; readonly buildTime: string };
  /** Shown by inspect: `kubernetes`, `docker`, …. */
  readonly clusterMode: string;
}
