import type { Logger } from "pino";
import type { PacketIn } from "../../../drivers/ovs/openflow/packet.ts";
import { type ConnectionLine, describeSample, type LineContext, lineOf, namedRules } from "./connection-line.ts";
import { createLineLimiter, type LineLimits } from "./line-limiter.ts";
import { type ConnectionSample, isSample, readConnectionSample } from "./sample.ts";

/** What became of samples. `dropped`: too many waited already; `unreadable`: a packet that could not be understood. */
export type SampleOutcome = "logged" | "folded" | "suppressed" | "dropped" | "unreadable";

export interface ConnectionLogOptions {
  readonly context: () => LineContext;
  readonly limits: LineLimits;
  readonly log: Pick<Logger, "info">;
  readonly count: (outcome: SampleOutcome) => void;
  /** Something cannot be logged for a reason that is ours. */
  readonly report: (error: unknown) => void;
  readonly nowMs?: () => number;
}

/** A line as it was written, with what had been left out before it. */
export interface WrittenLine extends ConnectionLine {
  /** ISO 8601. */
  readonly at: string;
  readonly repeats: number;
  readonly suppressed: number;
}

/** Writes what log rules match into the log: one line per connection, not too many, with names. */
export interface ConnectionLog {
  /** Takes a packet that the switch sent; does nothing about other ones. Never waits. */
  receive(packet: PacketIn): void;
  /** Tells of what was suppressed and has had no line since. */
  sweep(): void;
  /** The last lines, the newest first. */
  recent(): readonly WrittenLine[];
  /** Resolves when nothing waits. */
  idle(): Promise<void>;
}

const WAITING_MAX = 512;
const RECENT_MAX = 256;

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

export function createConnectionLog(options: ConnectionLogOptions): ConnectionLog {
  const { context, log, count, nowMs = () => performance.now() } = options;
  const limiter = createLineLimiter(options.limits);
  const waiting: PacketIn[] = [];
  const recent: WrittenLine[] = [];
  let working: Promise<void> | undefined;

  async function work(): Promise<void> {
    for (let packet = waiting.shift(); packet !== undefined; packet = waiting.shift()) {
      await take(packet).catch(options.report);
      await nextTurn();
    }
    working = undefined;
  }

  async function take(packet: PacketIn): Promise<void> {
    const sample = readConnectionSample(packet);
    if (sample === undefined) return count("unreadable");
    for (const named of namedRules(context().view, sample)) {
      const admission = limiter.admit(named.rule, connectionOf(sample), nowMs());
      count(admission.outcome);
      if (admission.outcome !== "logged") continue;
      const { repeats, suppressed } = admission;
      write({ ...lineOf(await described(sample), named), repeats, suppressed });
    }
  }

  async function described(sample: ConnectionSample) {
    const steps = describeSample(context(), sample);
    for (let step = steps.next(); ; step = steps.next()) {
      if (step.done === true) return step.value;
      await nextTurn();
    }
  }

  function write(line: Omit<WrittenLine, "at">): void {
    log.info(line, "connection");
    recent.unshift({ at: new Date().toISOString(), ...line });
    if (recent.length > RECENT_MAX) recent.pop();
  }

  return {
    receive: (packet) => {
      if (!isSample(packet)) return;
      if (waiting.length >= WAITING_MAX) return count("dropped");
      waiting.push(packet);
      working ??= work();
    },
    sweep: () => {
      for (const silent of limiter.sweep(nowMs()))
        log.info(silent, "Connections were not logged, because there were too many");
    },
    recent: () => recent,
    idle: async () => {
      await working;
    },
  };
}

/** What makes two samples of one connection. */
function connectionOf({ verdict, headers }: ConnectionSample): string {
  const { protocol, source, sourcePort, destination, port, icmpType } = headers;
  return [verdict, protocol, source, sourcePort, destination, port, icmpType].join(" ");
}
