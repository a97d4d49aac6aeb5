/** How much is written. */
export interface LineLimits {
  /** Lines of this node, and of one rule, per second in the long run. */
  readonly linesPerSecond: number;
  readonly ruleLinesPerSecond: number;
  /** Within this time a connection is told of once, by one rule with one verdict. */
  readonly foldMs: number;
}

/** What becomes of a sample. */
export type Admission =
  | {
      readonly outcome: "logged";
      /** Samples of the same connection since the line before. */
      readonly repeats: number;
      /** Samples of the same rule that were too many, since its line before. */
      readonly suppressed: number;
    }
  | { readonly outcome: "folded" | "suppressed" };

export interface LineLimiter {
  admit(rule: string, connection: string, nowMs: number): Admission;
  /** Rules that have been silent for a while about what they suppressed: each is told of once. Forgets what is old. */
  sweep(nowMs: number): { readonly rule: string; readonly suppressed: number }[];
}

/** A bucket holds so many seconds' worth: the first connections of a burst are all told of. */
const BURST_S = 4;
const MS_PER_S = 1_000;
const CONNECTIONS_MAX = 4_096;
/** A connection that comes again within this time tells how often it was folded. */
const CONNECTION_KEPT_MS = 60_000;
const SILENCE_MS = 10_000;

interface Bucket {
  tokens: number;
  atMs: number;
}

interface RuleState {
  readonly bucket: Bucket;
  suppressed: number;
  suppressedAtMs: number;
}

interface Folded {
  readonly sinceMs: number;
  count: number;
}

export function createLineLimiter(limits: LineLimits): LineLimiter {
  const node = fullBucket(limits.linesPerSecond);
  const rules = new Map<string, RuleState>();
  /** In the order of their last line. */
  const connections = new Map<string, Folded>();

  function stateOf(rule: string): RuleState {
    const present = rules.get(rule);
    if (present !== undefined) return present;
    const made = { bucket: fullBucket(limits.ruleLinesPerSecond), suppressed: 0, suppressedAtMs: 0 };
    rules.set(rule, made);
    return made;
  }

  function remember(connection: string, nowMs: number): void {
    connections.delete(connection);
    connections.set(connection, { sinceMs: nowMs, count: 0 });
    const [oldest] = connections.keys();
    if (connections.size > CONNECTIONS_MAX && oldest !== undefined) connections.delete(oldest);
  }

  return {
    admit: (rule, connection, nowMs) => {
      const id = `${rule} ${connection}`;
      const before = connections.get(id);
      if (before !== undefined && nowMs - before.sinceMs < limits.foldMs) {
        before.count += 1;
        return { outcome: "folded" };
      }
      const state = stateOf(rule);
      refill(state.bucket, limits.ruleLinesPerSecond, nowMs);
      refill(node, limits.linesPerSecond, nowMs);
      if (state.bucket.tokens < 1 || node.tokens < 1) {
        state.suppressed += 1;
        state.suppressedAtMs = nowMs;
        return { outcome: "suppressed" };
      }
      state.bucket.tokens -= 1;
      node.tokens -= 1;
      remember(id, nowMs);
      const { suppressed } = state;
      state.suppressed = 0;
      return { outcome: "logged", repeats: before?.count ?? 0, suppressed };
    },
    sweep: (nowMs) => {
      for (const [id, { sinceMs }] of connections) {
        if (nowMs - sinceMs < CONNECTION_KEPT_MS) break;
        connections.delete(id);
      }
      const silent: { rule: string; suppressed: number }[] = [];
      for (const [rule, state] of rules) {
        refill(state.bucket, limits.ruleLinesPerSecond, nowMs);
        if (nowMs - state.suppressedAtMs < SILENCE_MS) continue;
        if (state.suppressed > 0) silent.push({ rule, suppressed: state.suppressed });
        state.suppressed = 0;
        if (isFull(state.bucket, limits.ruleLinesPerSecond)) rules.delete(rule);
      }
      return silent;
    },
  };
}

function fullBucket(perSecond: number): Bucket {
  return { tokens: perSecond * BURST_S, atMs: 0 };
}

function isFull({ tokens }: Bucket, perSecond: number): boolean {
  return tokens >= perSecond * BURST_S;
}

function refill(bucket: Bucket, perSecond: number, nowMs: number): void {
  const added = (Math.max(nowMs - bucket.atMs, 0) / MS_PER_S) * perSecond;
  bucket.tokens = Math.min(bucket.tokens + added, perSecond * BURST_S);
  bucket.atMs = nowMs;
}
