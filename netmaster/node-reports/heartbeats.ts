import { isDeepStrictEqual } from "node:util";
import type { BandwidthReport, CeilingReport } from "../../state/bandwidth/report.ts";
import { HEARTBEAT_CONDITION, type NodeCondition, type NodeRecord } from "../../state/kinds/node.ts";
import type { Heartbeat, Receipt } from "../../state/node-api.ts";
import type { Readiness } from "../../state/readiness.ts";
import type { Clock } from "../../state/waiting/clock.ts";
import type { NodeStateChange } from "../intents/node.ts";
import type { ClusterView } from "../view/types.ts";
import { createBandwidthReports } from "./bandwidth-reports.ts";

interface LastHeard {
  readonly atMs: number;
  readonly heartbeat: Heartbeat;
  /** When its conditions were last written to the store. */
  notedAtMs: number;
  /** Since when it says that it is starting; undefined: it does not say so. */
  readonly startingSinceMs: number | undefined;
}

export interface LivenessOptions {
  /** Silence after which a node counts as unreachable. */
  readonly nodeTimeoutMs: number;
  readonly clock: Clock;
  /** Epoch of the store that this process reads. */
  readonly storeEpoch: () => string;
}

/** Conditions of one node are written at most this often, however they flap. */
const NOTE_INTERVAL_MS = 5_000;
/** A start that is over sooner is not written: a release that is rolled out restarts every agent. */
const STARTING_MS = 2_000;

/** What the nodes said last, in memory. Only nodes that are registered are remembered. */
export class Heartbeats {
  readonly #options: LivenessOptions;
  readonly #byNode = new Map<string, LastHeard>();
  readonly #bandwidth = createBandwidthReports<BandwidthReport>();
  readonly #ceilings = createBandwidthReports<CeilingReport>();
  /** Nobody counts as silent for longer than this process has been listening. */
  #listeningSinceMs: number;

  constructor(options: LivenessOptions) {
    this.#options = options;
    this.#listeningSinceMs = options.clock.nowMs();
  }

  /** Silence after which a node counts as unreachable. */
  get nodeTimeoutMs(): number {
    return this.#options.nodeTimeoutMs;
  }

  /** A new leader grants every node a full timeout. */
  listen(): void {
    this.#listeningSinceMs = this.#options.clock.nowMs();
  }

  /** The last receipt of a node. One of another epoch of the store proves nothing: its revisions are not those of this store. */
  receipt(nodeName: string): Receipt | undefined {
    const receipt = this.#byNode.get(nodeName)?.heartbeat.receipt;
    const isOfOther = receipt?.storeEpoch !== undefined && receipt.storeEpoch !== this.#options.storeEpoch();
    return isOfOther ? { ...receipt, enforcedRevision: "0" } : receipt;
  }

  /** The last epoch of the store in which the node has offered all that the store lacked. */
  settledEpoch(nodeName: string): string | undefined {
    return this.#byNode.get(nodeName)?.heartbeat.settledEpoch;
  }

  /** What the node measured lately of one of its endpoints. */
  bandwidthReport(nodeName: string, key: string): BandwidthReport | undefined {
    return this.#bandwidth.find(nodeName, key, this.#options.clock.nowMs());
  }

  /** What it measured lately of all its pods of a group, or of a tenant, that has a ceiling. */
  ceilingReport(nodeName: string, key: string): CeilingReport | undefined {
    return this.#ceilings.find(nodeName, key, this.#options.clock.nowMs());
  }

  /** How long the node has been silent, as far as this process can tell, in milliseconds. */
  silenceMs(nodeName: string): number {
    const heardAtMs = this.#byNode.get(nodeName)?.atMs ?? 0;
    return this.#options.clock.nowMs() - Math.max(heardAtMs, this.#listeningSinceMs);
  }

  isSilent(nodeName: string): boolean {
    return this.silenceMs(nodeName) >= this.#options.nodeTimeoutMs;
  }

  /** Takes a heartbeat of a registered node. The result is what the store should learn from it. */
  note(node: NodeRecord, heartbeat: Heartbeat): NodeStateChange | undefined {
    const { name } = node.registration;
    const nowMs = this.#options.clock.nowMs();
    const last = this.#byNode.get(name);
    const isStarting = heartbeat.readiness?.state === "starting";
    const heard: LastHeard = {
      ...{ atMs: nowMs, heartbeat, notedAtMs: last?.notedAtMs ?? Number.NEGATIVE_INFINITY },
      startingSinceMs: isStarting ? (last?.startingSinceMs ?? nowMs) : undefined,
    };
    this.#byNode.set(name, heard);
    this.#bandwidth.note(name, heartbeat.bandwidth ?? [], nowMs);
    this.#ceilings.note(name, heartbeat.ceilings ?? [], nowMs);
    const { conditions } = heartbeat;
    const readiness = this.#readinessOf(node, heard);
    const change: NodeStateChange = { name, state: "ready", conditions, readiness };
    if (node.state === "unreachable") return change;
    const isOther = readiness?.state !== node.readiness?.state;
    if (!isOther && isSame(node.conditions, conditions) && isSame(node.readiness?.reasons, readiness?.reasons))
      return undefined;
    const isBetter = isOther && readiness?.state === "ready";
    if (!isBetter && nowMs - heard.notedAtMs < NOTE_INTERVAL_MS) return undefined;
    heard.notedAtMs = nowMs;
    return change;
  }

  /** What the store is to show of it. */
  #readinessOf(
    { readiness: stored }: NodeRecord,
    { atMs, heartbeat, startingSinceMs }: LastHeard,
  ): Readiness | undefined {
    const isBrief = startingSinceMs !== undefined && atMs - startingSinceMs < STARTING_MS;
    return isBrief && stored !== undefined ? stored : heartbeat.readiness;
  }

  /** Forgets nodes that are not registered any more. */
  forgetUnknown(view: ClusterView): void {
    for (const name of this.#byNode.keys()) if (!view.records("node").has(name)) this.#byNode.delete(name);
    for (const reports of [this.#bandwidth, this.#ceilings]) reports.keep((name) => view.records("node").has(name));
  }

  /** The nodes that the store shows as ready and that have been silent for too long. */
  silent(view: ClusterView): readonly NodeStateChange[] {
    const silent: NodeStateChange[] = [];
    for (const [name, node] of view.records("node").entries()) {
      if (node.state !== "ready" || !this.isSilent(name)) continue;
      const others = node.conditions.filter(({ type }) => type !== HEARTBEAT_CONDITION);
      const conditions = [this.#silence(name), ...others];
      silent.push({ name: node.registration.name, state: "unreachable", conditions });
    }
    return silent;
  }

  #silence(nodeName: string): NodeCondition {
    const silenceS = Math.round(this.silenceMs(nodeName) / 1_000);
    const message = `Nothing was heard of it for ${silenceS} s; see that netplugin runs there and reaches a netmaster. Its pods may be alive and keep their addresses`;
    return { type: HEARTBEAT_CONDITION, status: "failed", message };
  }
}

function isSame(left: unknown, right: unknown): boolean {
  return isDeepStrictEqual(left, right);
}
