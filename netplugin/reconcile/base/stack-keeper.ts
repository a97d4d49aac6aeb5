import type { Logger } from "pino";
import type { GuardFaults, StackGuard } from "../../../drivers/stack-guard/guard.ts";
import { every } from "../../../state/waiting/alarm.ts";
import { startTicketLoop } from "../loop/ticket-loop.ts";

export interface StackKeeperOptions {
  readonly guard: Pick<StackGuard, "repairTables" | "repairLinks" | "faults">;
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

/** For the log: which hold is left, and why the other is not. */
function lineOf({ tables, links }: GuardFaults): { readonly reason: string; readonly sentence: string } | undefined {
  const what = "keep packets for the switch from this node's kernel";
  if (tables !== undefined && links !== undefined)
    return { reason: `${tables}; ${links}`, sentence: `Neither nftables nor settings of all links ${what}` };
  if (tables !== undefined) return { reason: tables, sentence: `Only settings of links ${what}` };
  return links === undefined ? undefined : { reason: links, sentence: `Only nftables ${what}` };
}

/** For the node's conditions. Settings alone let something through (docs/nodes.md), tables alone nothing. */
export function openToKernel(faults: GuardFaults): string | undefined {
  const line = lineOf(faults);
  if (line === undefined || faults.tables === undefined) return undefined;
  return `${line.sentence}: ${line.reason}; what pods and uplinks send from 0.0.0.0 to broadcast addresses and to multicast groups that this node has joined reaches its kernel; load nf_tables (modprobe nf_tables)`;
}

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
    const line = lineOf(guard.faults());
    const text = line && `${line.sentence}: ${line.reason}`;
    if (text === told) return;
    if (line === undefined) log.info("Packets for the switch do not reach this node's kernel");
    else log.warn({ reason: line.reason }, line.sentence);
    told = text;
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
