import { onAbort } from "../../state/waiting/signals.ts";

/** Lets works with one key run one after the other, in the order of their arrival; others run side by side. */
export interface Turns {
  /** Waits for its turn and works. When `signal` aborts while it waits, `work` is not begun. */
  run<T>(key: string, signal: AbortSignal, work: () => Promise<T>): Promise<T>;
  /** Keys that somebody works on or waits for. */
  readonly size: number;
}

/** The queue of a key is bounded by whoever calls: the server by its number of connections. */
export function createTurns(): Turns {
  const tails = new Map<string, Promise<void>>();

  async function run<T>(key: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const before = tails.get(key) ?? Promise.resolve();
    let finish: () => void = () => {};
    const mine = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const tail = before.then(() => mine);
    tails.set(key, tail);
    void tail.then(() => {
      if (tails.get(key) === tail) tails.delete(key);
    });
    try {
      await settledOrAborted(before, signal);
      return await work();
    } finally {
      finish();
    }
  }

  return {
    run,
    get size() {
      return tails.size;
    },
  };
}

/** Bounds how many works run at once; the rest wait in order. */
export interface Slots {
  run<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T>;
  readonly busy: number;
  readonly waiting: number;
}

export function createSlots(slotCount: number): Slots {
  const waiting = new Set<() => void>();
  let busy = 0;

  async function take(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (busy < slotCount) {
      busy += 1;
      return;
    }
    let enter: () => void = () => {};
    const entered = new Promise<void>((resolve) => {
      enter = resolve;
    });
    waiting.add(enter);
    try {
      await settledOrAborted(entered, signal);
    } catch (thrown) {
      if (!waiting.delete(enter)) give(); // the slot came at the same moment
      throw thrown;
    }
  }

  /** Hands the slot to the first who waits, so that nobody overtakes. */
  function give(): void {
    const [next] = waiting;
    if (next === undefined) {
      busy -= 1;
      return;
    }
    waiting.delete(next);
    next();
  }

  return {
    async run(signal, work) {
      await take(signal);
      try {
        return await work();
      } finally {
        give();
      }
    },
    get busy() {
      return busy;
    },
    get waiting() {
      return waiting.size;
    },
  };
}

/** Resolves with the promise, or rejects with the signal's reason, whichever is first. */
export async function settledOrAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  let unlink = () => {};
  const aborted = new Promise<never>((_, reject) => {
    unlink = onAbort(signal, reject);
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    unlink();
  }
}
