import { asNetError, type NetError } from "../../../state/errors.ts";

/** Functions to call when something happens; one that throws does not keep the others from being called. */
export interface Listeners<T> {
  /** Adds a listener and returns what removes it. */
  add(listener: (event: T) => void): () => void;
  call(event: T): void;
}

/** Opens a set of listeners; `report` receives what they throw. */
export function createListeners<T>(name: string, report: (error: NetError) => void): Listeners<T> {
  const listeners = new Set<{ readonly listener: (event: T) => void }>();

  function add(listener: (event: T) => void): () => void {
    const entry = { listener }; // the same function may be added twice
    listeners.add(entry);
    return () => {
      listeners.delete(entry);
    };
  }

  function call(event: T): void {
    for (const { listener } of [...listeners]) contain(() => listener(event));
  }

  /** A listener may be async against its type: its rejection is contained too. */
  function contain(run: () => unknown): void {
    try {
      const outcome = run();
      if (outcome instanceof Promise) outcome.catch(fail);
    } catch (thrown) {
      fail(thrown);
    }
  }

  function fail(thrown: unknown): void {
    report(asNetError(thrown, `finish a listener of ${name}`));
  }

  return { add, call };
}
