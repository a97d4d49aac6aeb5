import type { Logger } from "pino";
import type { StackGuard } from "../../../drivers/stack-guard/guard.ts";
import { every } from "../../../state/waiting/alarm.ts";
import { startTicketLoop } from "../loop/ticket-loop.ts";

export interface StackKeeperOptions {
  readonly guard: Pick<StackGuard, "repairTables" | "repairLinks" | "fault">;
  readonly onRepair: (what: "table" | "link", count: number) => void;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** Keeps what the switch reads from the node's kernel, whatever others do to packet filter and settings. */
export interface StackKeeper {
  /** Compares everything soon. */
  compare(): void;
  /** Compares everything now; rejects when something stays open. */
  closed(signal: AbortSignal): Promise<void>;
  readonly ended: Promise<void>;
}

/** Other programs replace the whole packet filter with one command; a look at our tables takes less than a millisecond. */
const TABLES_INTERVAL_MS = 3_000;
/** Nobody tells when a link's setting is changed; looking at those of 250 ports takes some milliseconds. */
const TABLES_PER_LINKS = 4;

/** Starts the loop: tables often, links' settings with each comparison. */
export function startStackKeeper(options: StackKeeperOptions): StackKeeper {
  const { guard, onRepair, log, signal } = options;
  let told: string | undefined;

  function tell(what: "table" | "link", found: readonly string[]): void {
    if (found.length === 0) return;
    onRepair(what, found.length);
    const [first, ...more] = found;
    log.warn(
      { first, more: more.length },
      "Packets for the switch could reach this node's kernel; they are blocked again",
    );
  }

  /** One line when it begins, one when it ends. */
  function tellFault(): void {
    const fault = guard.fault();
    if (fault === told) return;
    if (fault === undefined) log.info("Packets for the switch do not reach this node's kernel");
    else log.warn({ reason: fault }, "Only settings of links keep packets for the switch from this node's kernel");
    told = fault;
  }

  const loop = startTicketLoop({
    work: async (full) => {
      tell("table", await guard.repairTables());
      if (full) tell("link", await guard.repairLinks());
      tellFault();
    },
    signal,
    report: (error) =>
      log.warn({ error: error.message }, "It cannot be compared which packets reach this node's kernel"),
  });
  let turn = 0;
  every(TABLES_INTERVAL_MS, () => loop.kick({ full: ++turn % TABLES_PER_LINKS === 0 }), signal);

  return {
    compare: () => loop.kick({ full: true }),
    closed: (caller) => {
      loop.kick({ full: true });
      return loop.done(caller);
    },
    ended: loop.ended,
  };
}
