import type { FlowCount } from "../../../drivers/ovs/openflow/flow-count.ts";
import { type EndpointHits, HIT_REPORT_MAX, type HitReport, type RuleHits } from "../../../state/node-api.ts";

/** What a port of the switch counted; sent and received as the pod sees it. */
export interface PortCount {
  readonly ofport: number;
  readonly sentPackets: bigint;
  readonly sentBytes: bigint;
  readonly receivedPackets: bigint;
  readonly receivedBytes: bigint;
}

export interface Total {
  readonly packets: number;
  readonly bytes: number;
}

/** Turns counters that only grow (or begin anew) into reports of what was added. */
export interface HitDeltas {
  /** Takes what the flows of rules show now. `ruleOf` names the rule of a cookie. */
  readRules(counts: readonly FlowCount[], ruleOf: (cookie: bigint) => string | undefined, nowMs: number): void;
  /** Takes what the ports show now. `endpointOf` names who is on a port. */
  readPorts(counts: readonly PortCount[], endpointOf: (ofport: number) => string | undefined, nowMs: number): void;
  /** What to tell next, at most `HIT_REPORT_MAX` of each kind; the same until it is acknowledged. Undefined when there is nothing. */
  report(): HitReport | undefined;
  acknowledge(sequence: number): void;
  /** Sums since the beginning, of the rules that packets have met. */
  totals(): ReadonlyMap<string, Total>;
  /** Forgets rules that are gone. */
  keepRules(exists: (ruleKey: string) => boolean): void;
}

/** Longest keys of one kind together, in characters: a heartbeat stays well below the body limit. */
const KEYS_MAX_LENGTH = 30_000;

type FlowSeen = readonly [packets: bigint, bytes: bigint];
type PortSeen = readonly [bigint, bigint, bigint, bigint];

export function createHitDeltas(session: string): HitDeltas {
  let flows: Map<string, FlowSeen> | undefined;
  let ports: Map<number, PortSeen> | undefined;
  const rules = new Map<string, RuleHits>();
  const endpoints = new Map<string, EndpointHits>();
  const totals = new Map<string, Total>();
  let sequence = 0;
  let open: HitReport | undefined;

  function addRule(key: string, [packets, bytes]: FlowSeen, lastAtMs: number): void {
    const [addedPackets, addedBytes] = [Number(packets), Number(bytes)];
    const [wasPackets, wasBytes, wasAtMs] = rules.get(key) ?? [0, 0, 0];
    rules.set(key, [wasPackets + addedPackets, wasBytes + addedBytes, Math.max(wasAtMs, lastAtMs)]);
    const total = totals.get(key) ?? { packets: 0, bytes: 0 };
    totals.set(key, { packets: total.packets + addedPackets, bytes: total.bytes + addedBytes });
  }

  function addEndpoint(key: string, [sentPackets, sentBytes, gotPackets, gotBytes]: PortSeen, atMs: number): void {
    const was = endpoints.get(key) ?? [0, 0, 0, 0, 0];
    const sent = [was[0] + Number(sentPackets), was[1] + Number(sentBytes)] as const;
    endpoints.set(key, [...sent, was[2] + Number(gotPackets), was[3] + Number(gotBytes), atMs]);
  }

  return {
    readRules: (counts, ruleOf, nowMs) => {
      const now = new Map<string, FlowSeen>();
      for (const { identity, cookie, packetCount, byteCount, idleMs } of counts) {
        const key = ruleOf(cookie);
        if (key === undefined) continue;
        now.set(identity, [packetCount, byteCount]);
        if (flows === undefined) continue; // counted before this process began
        const added = grown([packetCount, byteCount], flows.get(identity));
        if (added[0] > 0n) addRule(key, added, Math.round(nowMs - idleMs));
      }
      flows = now;
    },
    readPorts: (counts, endpointOf, nowMs) => {
      const now = new Map<number, PortSeen>();
      for (const { ofport, sentPackets, sentBytes, receivedPackets, receivedBytes } of counts) {
        const seen: PortSeen = [sentPackets, sentBytes, receivedPackets, receivedBytes];
        now.set(ofport, seen);
        const key = ports === undefined ? undefined : endpointOf(ofport);
        if (key === undefined) continue;
        const added = grown(seen, ports?.get(ofport));
        if (added.some((count) => count > 0n)) addEndpoint(key, added, Math.round(nowMs));
      }
      ports = now;
    },
    report: () => {
      if (open !== undefined) return open;
      if (rules.size === 0 && endpoints.size === 0) return undefined;
      open = { session, sequence: sequence + 1, rules: takeSome(rules), endpoints: takeSome(endpoints) };
      sequence += 1;
      return open;
    },
    acknowledge: (acknowledged) => {
      if (open?.sequence === acknowledged) open = undefined;
    },
    totals: () => totals,
    keepRules: (exists) => {
      for (const key of totals.keys()) if (!exists(key)) totals.delete(key);
      for (const key of rules.keys()) if (!exists(key)) rules.delete(key);
    },
  };
}

/** What was added; a counter that is lower than before has begun anew. */
function grown<T extends readonly bigint[]>(now: T, before: T | undefined): T {
  if (before === undefined || now.some((count, index) => count < (before[index] ?? 0n))) return now;
  return now.map((count, index) => count - (before[index] ?? 0n)) as readonly bigint[] as T;
}

/** Takes the oldest entries out of the map, as many as a report may have. */
function takeSome<V>(from: Map<string, V>): Record<string, V> {
  const taken: [string, V][] = [];
  let length = 0;
  for (const [key, value] of from) {
    length += key.length;
    if (taken.length === HIT_REPORT_MAX || length > KEYS_MAX_LENGTH) break;
    taken.push([key, value]);
  }
  for (const [key] of taken) from.delete(key);
  return Object.fromEntries(taken);
}
