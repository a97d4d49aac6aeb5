import type { EndpointHits, HitReport, RuleHits } from "../../state/node-api.ts";
import type { ClusterView, ViewChange } from "../view/types.ts";

/** Packets and bytes, and when the last of them was seen (Unix time, ms). */
export interface Hits {
  readonly packets: number;
  readonly bytes: number;
  readonly lastAtMs: number;
}

/** As the endpoint sees it. */
export interface Traffic {
  readonly sent: Omit<Hits, "lastAtMs">;
  readonly received: Omit<Hits, "lastAtMs">;
  readonly lastAtMs: number;
}

interface LastReport {
  readonly session: string;
  readonly sequence: number;
}

/** What the nodes counted since this netmaster leads, summed over them; in memory, and only of objects that exist. */
export class HitCounters {
  readonly #rules = new Map<string, Hits>();
  readonly #endpoints = new Map<string, Traffic>();
  readonly #lastByNode = new Map<string, LastReport>();

  /** Adds a node's report; one that came before is not counted again. */
  note(view: ClusterView, nodeName: string, { session, sequence, rules, endpoints }: HitReport): void {
    const last = this.#lastByNode.get(nodeName);
    if (last?.session === session && sequence <= last.sequence) return;
    this.#lastByNode.set(nodeName, { session, sequence });
    for (const [key, added] of Object.entries(rules)) {
      if (view.records("rule").has(key)) this.#rules.set(key, withRule(this.#rules.get(key), added));
    }
    for (const [key, added] of Object.entries(endpoints)) {
      if (view.records("endpoint").has(key)) this.#endpoints.set(key, withTraffic(this.#endpoints.get(key), added));
    }
  }

  /** An object that is made anew begins at nothing. */
  follow({ changes }: ViewChange): void {
    for (const { kind, key, record } of changes) {
      if (record !== undefined) continue;
      if (kind === "rule") this.#rules.delete(key);
      if (kind === "endpoint") this.#endpoints.delete(key);
      if (kind === "node") this.#lastByNode.delete(key);
    }
  }

  /** Forgets everything. */
  clear(): void {
    for (const map of [this.#rules, this.#endpoints, this.#lastByNode]) map.clear();
  }

  ofRule(key: string): Hits | undefined {
    return this.#rules.get(key);
  }

  ofEndpoint(key: string): Traffic | undefined {
    return this.#endpoints.get(key);
  }

  /** Endpoints that have sent or got something. */
  get endpointCount(): number {
    return this.#endpoints.size;
  }

  rules(): ReadonlyMap<string, Hits> {
    return this.#rules;
  }
}

function withRule(before: Hits | undefined, [packets, bytes, lastAtMs]: RuleHits): Hits {
  return addHits(before, { packets, bytes, lastAtMs });
}

/** The sum of both, and the later moment. */
export function addHits(before: Hits | undefined, { packets, bytes, lastAtMs }: Hits): Hits {
  if (before === undefined) return { packets, bytes, lastAtMs };
  return {
    packets: before.packets + packets,
    bytes: before.bytes + bytes,
    lastAtMs: Math.max(before.lastAtMs, lastAtMs),
  };
}

function withTraffic(
  before: Traffic | undefined,
  [sentPackets, sentBytes, gotPackets, gotBytes, lastAtMs]: EndpointHits,
): Traffic {
  const sent = { packets: sentPackets, bytes: sentBytes };
  return addTraffic(before, { sent, received: { packets: gotPackets, bytes: gotBytes }, lastAtMs });
}

export function addTraffic(before: Traffic | undefined, added: Traffic): Traffic {
  if (before === undefined) return added;
  const sum = (side: "sent" | "received") => ({
    packets: before[side].packets + added[side].packets,
    bytes: before[side].bytes + added[side].bytes,
  });
  const lastAtMs = Math.max(before.lastAtMs, added.lastAtMs);
  return { sent: sum("sent"), received: sum("received"), lastAtMs };
}
