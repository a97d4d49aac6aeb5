import type { LineLog } from "../state/daemon-log.ts";
import { type Judgement, READY, type Readiness, ReadinessWatch } from "../state/readiness.ts";
import { pause } from "../state/waiting/pause.ts";

/** What a netmaster's readiness follows from. */
export interface ReadinessFacts {
  /** Have all objects been read since the start? */
  readonly isSynced: boolean;
  /** Why changes of the store do not come in; undefined when they do. */
  readonly deafness: string | undefined;
  /** What failed last at etcd, while something fails there. */
  readonly failure: string | undefined;
  readonly isLeading: boolean;
  readonly isStoreFull: boolean;
  readonly leader: "none" | "self" | "other";
  /** Has it been ready or degraded since its start? */
  readonly hasServed: boolean;
  /** What is wrong while requests are answered. */
  readonly conditions: readonly { readonly name: string; readonly message: string }[];
}

/** Before etcd has answered for the first time. */
export function judgeOpening(fault: string | undefined): Judgement {
  if (fault === undefined) return { state: "starting", reasons: ["connecting to etcd"] };
  return { state: "not-ready", reasons: [`etcd does not answer; see that it runs, and --etcd-endpoints: ${fault}`] };
}

/** docs/decisions/readiness.md says what the states mean. */
export function judge(facts: ReadinessFacts): Judgement {
  const { isSynced, deafness, failure, conditions, hasServed } = facts;
  const lacking = isSynced ? leaderless(facts) : "reading the objects in etcd";
  const etcdFault = deafness ?? (lacking === undefined ? undefined : failure);
  if (etcdFault !== undefined) {
    const effect = hasServed ? "what is read may be old, and changes are refused" : "nothing can be read yet";
    return { state: "not-ready", reasons: [`etcd does not answer, so ${effect}; see that etcd runs: ${etcdFault}`] };
  }
  if (lacking !== undefined) return { state: hasServed && isSynced ? "not-ready" : "starting", reasons: [lacking] };
  if (conditions.length === 0) return READY;
  return { state: "degraded", reasons: conditions.map(({ name, message }) => `${name}: ${message}`) };
}

/** A full store elects no leader, and reads are right all the same. */
function leaderless({ isLeading, isStoreFull, leader }: ReadinessFacts): string | undefined {
  if (isLeading || isStoreFull || leader === "other") return undefined;
  return leader === "none"
    ? "no netmaster leads, so changes are refused; one is elected within seconds when etcd answers"
    : "this netmaster was elected leader and does not lead yet, so changes are refused; it leads within seconds when etcd answers";
}

/** Lateness of etcd, and a leader that does not come, are no events: they are looked for. */
const LOOK_INTERVAL_MS = 1_000;

/** The readiness of this process, from its start on. */
export class NetmasterReadiness {
  readonly #watch: ReadinessWatch;
  #openingFault: string | undefined;
  #facts: (() => Omit<ReadinessFacts, "hasServed">) | undefined;
  #hasServed = false;

  constructor(log: LineLog) {
    this.#watch = new ReadinessWatch({ daemon: "netmaster", log, judge: () => this.#judge() });
  }

  /** etcd has not answered yet. */
  opening(fault: string): void {
    this.#openingFault = fault;
    this.current();
  }

  /** etcd has answered. */
  opened(facts: () => Omit<ReadinessFacts, "hasServed">): void {
    this.#facts = facts;
    this.current();
  }

  current(): Readiness {
    const readiness = this.#watch.look();
    if (readiness.state === "ready" || readiness.state === "degraded") this.#hasServed = true;
    return readiness;
  }

  /** Looks regularly until the signal aborts. */
  async watch(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.current();
      await pause(LOOK_INTERVAL_MS, signal);
    }
  }

  #judge(): Judgement {
    if (this.#facts === undefined) return judgeOpening(this.#openingFault);
    return judge({ ...this.#facts(), hasServed: this.#hasServed });
  }
}
