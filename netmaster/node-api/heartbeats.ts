import { isDeepStrictEqual } from "node:util";
import type { NodeCondition, NodeRecord } from "../../state/kinds/node.ts";
import type { Heartbeat, Receipt } from "../../state/node-api.ts";
import type { Clock } from "../../state/store/clock.ts";
import type { NodeStateChange } from "../intents/node.ts";
import type { ClusterView } from "../view/types.ts";

interface LastHeard {
  readonly atMs: number;
  readonly heartbeat: Heartbeat;
  /** When its conditions were last written to the store. */
  notedAtMs: number;
}

export interface LivenessOptions {
  /** Silence after which a node counts as unreachable. */
  readonly nodeTimeoutMs: number;
  readonly clock: Clock;
}

/** Conditions of one node are written at most this often, however they flap. */
const NOTE_INTERVAL_MS = 5_000;

/** What the nodes said last, in memory. Only nodes that are registered are remembered. */
export class Heartbeats {
  readonly #options: LivenessOptions;
  readonly #byNode = new Map<string, LastHeard>();
  /** Nobody counts as silent for longer than this process has been listening. */
  #listeningSinceMs: number;

  constructor(options: LivenessOptions) {
    this.#options = options;
    this.#listeningSinceMs = options.clock.nowMs();
  }

  /** A new leader grants every node a full timeout. */
  listen(): void {
    this.#listeningSinceMs = this.#options.clock.nowMs();
  }

  receipt(nodeName: string): Receipt | undefined {
    return this.#byNode.get(nodeName)?.heartbeat.receipt;
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
    const heard = { atMs: nowMs, heartbeat, notedAtMs: last?.notedAtMs ?? Number.NEGATIVE_INFINITY };
    this.#byNode.set(name, heard);
    if (node.state === "unreachable") return { name, state: "ready", conditions: heartbeat.conditions };
    if (isSame(node.conditions, heartbeat.conditions) || nowMs - heard.notedAtMs < NOTE_INTERVAL_MS) return undefined;
    heard.notedAtMs = nowMs;
    return { name, state: "ready", conditions: heartbeat.conditions };
  }

  /** Forgets nodes that are not registered any more. */
  forgetUnknown(view: ClusterView): void {
    for (const name of this.#byNode.keys()) if (!view.records("node").has(name)) this.#byNode.delete(name);
  }

  /** The nodes that the store shows as ready and that have been silent for too long. */
  silent(view: ClusterView): readonly NodeStateChange[] {
    const silent: NodeStateChange[] = [];
    for (const [name, node] of view.records("node").entries()) {
      if (node.state !== "ready" || !this.isSilent(name)) continue;
      silent.push({ name: node.registration.name, state: "unreachable" });
    }
    return silent;
  }
}

function isSame(left: readonly NodeCondition[], right: readonly NodeCondition[]): boolean {
  return isDeepStrictEqual(left, right);
}
