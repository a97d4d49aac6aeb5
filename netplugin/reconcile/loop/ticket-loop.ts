import { asNetError, type NetError } from "../../../state/errors.ts";
import { BackOff } from "../../../state/waiting/back-off.ts";
import { pause } from "../../../state/waiting/pause.ts";
import { onAbort } from "../../../state/waiting/signals.ts";

export interface TicketLoopOptions {
  /** Brings the machine to what is wanted now; `full` = believe nothing that was known before. */
  readonly work: (full: boolean, signal: AbortSignal) => Promise<void>;
  readonly signal: AbortSignal;
  readonly report: (error: NetError) => void;
}

/** A loop that is told "look again"; any number of calls while it works lead to one more round. */
export interface TicketLoop {
  /** Asks for a round. */
  kick(options?: { readonly full?: boolean }): void;
  /** Asks for a round and waits until one that began after this call has succeeded; rejects with the error of one that failed. */
  done(signal: AbortSignal): Promise<void>;
  /** Resolves when the loop has ended, after its signal. */
  readonly ended: Promise<void>;
}

interface Waiter {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

const RETRY = { firstMs: 100, maxMs: 2_000 };

/** Starts the loop; its first round is a full one. */
export function startTicketLoop(options: TicketLoopOptions): TicketLoop {
  const { signal } = options;
  let waiters: Waiter[] = [];
  let wanted = true;
  let wantedFull = true;
  let wake: (() => void) | undefined;

  function kick({ full = false }: { readonly full?: boolean } = {}): void {
    wanted = true;
    wantedFull ||= full;
    wake?.();
  }

  async function idle(): Promise<void> {
    if (wanted || signal.aborted) return;
    await new Promise<void>((resolve) => {
      wake = resolve;
    });
    wake = undefined;
  }

  async function round(): Promise<boolean> {
    const full = wantedFull;
    const served = waiters;
    wanted = false;
    wantedFull = false;
    waiters = [];
    try {
      await options.work(full, signal);
      for (const waiter of served) waiter.resolve();
      return true;
    } catch (thrown) {
      const error = asNetError(thrown, "bring the switch to the wanted state");
      for (const waiter of served) waiter.reject(error);
      if (!signal.aborted) options.report(error);
      wanted = true;
      wantedFull = true; // what is in the switch is not known any more
      return false;
    }
  }

  async function run(): Promise<void> {
    onAbort(signal, () => wake?.());
    const backOff = new BackOff(RETRY);
    while (!signal.aborted) {
      await idle();
      if (signal.aborted) break;
      if (await round()) backOff.reset();
      else await pause(backOff.nextMs(), signal);
    }
    for (const waiter of waiters) waiter.reject(signal.reason);
  }

  function done(caller: AbortSignal): Promise<void> {
    caller.throwIfAborted();
    return new Promise((resolve, reject) => {
      const unlink = onAbort(caller, reject);
      const settle = <T>(act: (value: T) => void) => {
        return (value: T) => {
          unlink();
          act(value);
        };
      };
      waiters.push({ resolve: settle<void>(resolve), reject: settle(reject) });
      kick();
    });
  }

  return { kick, done, ended: run() };
}
