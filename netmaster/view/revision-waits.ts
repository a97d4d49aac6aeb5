import { NetError } from "../../state/errors.ts";
import { abortError } from "../../state/store/waiting.ts";
import type { FrozenView } from "./cluster-view.ts";

interface Wait {
  readonly revision: bigint;
  readonly settle: (result: FrozenView | NetError) => void;
}

/** Those who wait until the view shows a revision. */
export class RevisionWaits {
  readonly #waits = new Set<Wait>();

  add(revision: bigint, timeoutMs: number, signal: AbortSignal | undefined): Promise<FrozenView> {
    const doing = `see revision ${revision}`;
    if (signal?.aborted) return Promise.reject(abortError(signal, doing));
    return new Promise((resolve, reject) => {
      const late = () =>
        settle(new NetError("TIMEOUT", `Cannot ${doing}: the store did not show it in ${timeoutMs} ms`));
      const onAbort = () => settle(abortError(signal as AbortSignal, doing));
      const timer = setTimeout(late, timeoutMs);
      const wait: Wait = { revision, settle };
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
    for (const wait of [...this.#waits]) if (wait.revision <= view.revision) wait.settle(view);
  }

  rejectAll(error: NetError): void {
    for (const wait of [...this.#waits]) wait.settle(error);
  }
}
