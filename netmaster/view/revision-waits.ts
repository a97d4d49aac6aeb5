import type { NetError } from "../../state/errors.ts";
import { limitOf, waitFor } from "../../state/waiting/limit.ts";
import type { FrozenView } from "./cluster-view.ts";

interface Wait {
  readonly isShown: () => boolean;
  readonly done: (view: FrozenView) => void;
  readonly fail: (error: NetError) => void;
}

/** What is waited for: `doing` completes "Cannot …". */
export interface Awaited {
  readonly doing: string;
  readonly isShown: () => boolean;
}

/** Those who wait until the view shows something. */
export class RevisionWaits {
  readonly #waits = new Set<Wait>();

  add({ doing, isShown }: Awaited, timeoutMs: number, signal: AbortSignal | undefined): Promise<FrozenView> {
    const limit = limitOf(doing, { signal }, timeoutMs);
    return waitFor({ ...limit, lacking: "the store did not show it" }, (done, fail) => {
      const wait = { isShown, done, fail };
      this.#waits.add(wait);
      return () => this.#waits.delete(wait);
    });
  }

  reached(view: FrozenView): void {
    for (const wait of [...this.#waits]) if (wait.isShown()) wait.done(view);
  }

  rejectAll(error: NetError): void {
    for (const wait of [...this.#waits]) wait.fail(error);
  }
}
