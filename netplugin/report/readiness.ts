import type { LineLog } from "../../state/daemon-log.ts";
import type { NodeCondition } from "../../state/kinds/node.ts";
import { LossLog } from "../../state/loss-log.ts";
import { type Judgement, READY, type Readiness, ReadinessWatch } from "../../state/readiness.ts";
import type { Reachability } from "./reachability.ts";

/** What of the readiness the parts of a node know, once they are up. */
export interface NodeFacts {
  /** Why runtimes cannot reach this process; undefined when they can. */
  cniFault(): string | undefined;
  /** What keeps each network driver from attaching pods; undefined: nothing. */
  driverFaults(): readonly (string | undefined)[];
  isViewComplete(): boolean;
  conditions(): readonly NodeCondition[];
}

/** All that a node's readiness follows from. */
export interface ReadinessFacts {
  /** What the start is doing; not looked at once the parts are up. */
  readonly step: string;
  /** What keeps the start from going on. */
  readonly startFault: string | undefined;
  readonly isRegistered: boolean;
  /** Why netmaster has not taken the last report. */
  readonly netmasterFault: string | undefined;
  /** Undefined until the parts are up. */
  readonly node: NodeFacts | undefined;
}

/** docs/decisions/readiness.md says what the states mean. */
export function judge(facts: ReadinessFacts): Judgement {
  return whyNoAdd(facts) ?? notReady(facts.netmasterFault) ?? degraded(facts.node?.conditions() ?? []) ?? READY;
}

/** Why an ADD would be in vain; while netmaster is not reached it is tried all the same, because most outages are shorter than its patience. */
export function whyNoAdd({
  step,
  startFault,
  isRegistered,
  netmasterFault,
  node,
}: ReadinessFacts): Judgement | undefined {
  if (node === undefined) return notReady(startFault) ?? starting(step);
  const driverFaults = node.driverFaults();
  // One driver that works is enough: what another's networks need is found out by their own ADD.
  const isCut = driverFaults.every((fault) => fault !== undefined);
  const fault = node.cniFault() ?? (isCut ? (driverFaults[0] ?? "This node has no network driver") : undefined);
  if (fault !== undefined) return notReady(fault);
  if (!isRegistered) return notReady(netmasterFault) ?? starting("registering with netmaster (--netmaster-urls)");
  if (!node.isViewComplete()) return notReady(netmasterFault) ?? starting("reading this node's objects from netmaster");
  return undefined;
}

function starting(reason: string): Judgement {
  return { state: "starting", reasons: [reason] };
}

function notReady(reason: string | undefined): Judgement | undefined {
  return reason === undefined ? undefined : { state: "not-ready", reasons: [reason] };
}

function degraded(conditions: readonly NodeCondition[]): Judgement | undefined {
  const wrong = conditions.filter(({ status }) => status !== "ok");
  if (wrong.length === 0) return undefined;
  return { state: "degraded", reasons: wrong.map(({ type, message }) => `${type}: ${message}`) };
}

export interface NodeReadinessOptions {
  readonly log: LineLog;
  readonly reachability: Pick<Reachability, "isRegistered" | "netmasterFault">;
}

/** A step of the start that takes longer is logged. */
const SLOW_STEP_MS = 1_000;
/** Several events of one cause are looked at together. */
const SETTLE_MS = 100;

/** The readiness of this node, from its process's start on: for probes, CNI, log and metrics, and as netmaster is told. */
export class NodeReadiness {
  readonly #options: NodeReadinessOptions;
  readonly #watch: ReadinessWatch;
  readonly #toldWatch: ReadinessWatch;
  readonly #switchLoss: LossLog;
  readonly #listeners = new Set<() => void>();
  #step = "its process has begun";
  #slowStep: NodeJS.Timeout | undefined;
  #startFault: string | undefined;
  #node: NodeFacts | undefined;
  #soon: NodeJS.Timeout | undefined;

  constructor(options: NodeReadinessOptions) {
    const { log } = options;
    this.#options = options;
    this.#watch = new ReadinessWatch({ daemon: "netplugin", log, judge: () => judge(this.#facts()) });
    this.#toldWatch = new ReadinessWatch({
      daemon: "netplugin",
      judge: () => judge({ ...this.#facts(), isRegistered: true, netmasterFault: undefined }),
      onChange: () => {
        for (const listener of this.#listeners) listener();
      },
    });
    const lost = "Open vSwitch does not answer on this node; no pod can be attached until it does";
    this.#switchLoss = new LossLog({ log, lost, back: "Open vSwitch answers again" });
  }

  /** What the start does from now on. */
  step(step: string): void {
    this.#step = step;
    this.#startFault = undefined;
    clearTimeout(this.#slowStep);
    this.#slowStep = setTimeout(() => {
      const { state, reasons } = this.current();
      if (state === "starting") this.#options.log.info({ state, reasons }, "netplugin is starting");
    }, SLOW_STEP_MS).unref();
    this.current();
  }

  /** The switch keeps the start from going on. */
  switchFault(fault: string): void {
    this.#startFault = fault;
    this.current();
  }

  /** The parts of the node are up. */
  up(node: NodeFacts): void {
    clearTimeout(this.#slowStep);
    this.#startFault = undefined;
    this.#node = node;
    this.current();
  }

  current(): Readiness {
    this.#noteSwitch();
    this.#toldWatch.look();
    return this.#watch.look();
  }

  /** As netmaster is told: whoever tells it has reached it. */
  told(): Readiness {
    this.current();
    return this.#toldWatch.look();
  }

  /** Why an ADD is refused, as text; undefined: it is tried. */
  whyNoAdd(): string | undefined {
    const found = whyNoAdd(this.#facts());
    return found && sentenceOf(found);
  }

  /** Why nothing can be attached now, as text; undefined: it can. */
  whyNotReady(): string | undefined {
    const readiness = this.current();
    return readiness.state === "ready" || readiness.state === "degraded" ? undefined : sentenceOf(readiness);
  }

  /** Something may have changed: look again soon. */
  request(): void {
    this.#soon ??= setTimeout(() => {
      this.#soon = undefined;
      this.current();
    }, SETTLE_MS).unref();
  }

  /** Called when netmaster is to be told something else. */
  onChange(listener: () => void): void {
    this.#listeners.add(listener);
  }

  #facts(): ReadinessFacts {
    const { reachability } = this.#options;
    return {
      ...{ step: this.#step, startFault: this.#startFault, node: this.#node },
      ...{ isRegistered: reachability.isRegistered(), netmasterFault: reachability.netmasterFault() },
    };
  }

  #noteSwitch(): void {
    const fault = this.#node === undefined ? this.#startFault : this.#node.driverFaults()[0];
    if (fault !== undefined) this.#switchLoss.lost(fault);
    else if (this.#node !== undefined) this.#switchLoss.back();
  }
}

function sentenceOf({ state, reasons }: Judgement): string {
  return `netplugin is ${state} on this node: ${reasons.join("; ")}`;
}
