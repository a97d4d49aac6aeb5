import { NetError } from "../../state/errors.ts";
import { abortError } from "../../state/store/waiting.ts";
import type { FrozenView } from "./cluster-view.ts";

interface Wait {
  readonly isShown: () => boolean;
  readonly settle: (result: FrozenView | NetError) => void;
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
    if (signal?.aborted) return Promise.reject(abortError(signal, doing));
    return new Promise((resolve, reject) => {
      const late = () =>
        settle(new NetError("TIMEOUT", `Cannot ${doing}: the store did not show it in ${timeoutMs} ms`));
      const onAbort = () => settle(abortError(signal as AbortSignal, doing));
      const timer = setTimeout(late, timeoutMs);
      const wait: Wait = { isShown, settle };
      const waits = this.#waits;
      function settle(result: FrozenView | NetError): void {
        clearTimeout(timer);
        signal?.removeEventListener("abort", onAbort);
        waits.delete(wait);
        if (result instanceof NetError) reject(result);
        else resolve(result);
      }
      signal?.addEventListener("abort", onAbort, { once: true });
      waits.add(wait);
    });
  }

  reached(view: FrozenView): void {
    for (const wait of [...this.#waits]) if (wait.isShown()) wait.settle(view);
  }

  rejectAll(error: NetError): void {
    for (const wait of [...this.#waits]) wait.settle(error);
  }
}
