import { NetError } from "../../state/errors.ts";
import { jsonChunks, type Rendered, StreamedObject } from "../inspect/streamed.ts";
import { invalid } from "../intents/errors.ts";
import { isOfHistory, readRevision, revisionText, type StoreRevision } from "../view/store-revision.ts";
import type { ClusterView, ObjectChange } from "../view/types.ts";
import type { Answer, Call } from "./call.ts";
import type { Collection } from "./collection.ts";
import type { RestServices } from "./services.ts";
import { inPieces } from "./slices.ts";

/** A stream that is silent for this long sends a bookmark. */
const BOOKMARK_INTERVAL_MS = 15_000;
/** How long a watch waits for a revision that this netmaster has not seen yet. */
const FUTURE_REVISION_TIMEOUT_MS = 5_000;

/**
 * `?watch=true`: the changes of a collection, or of one object, as lines of JSON. Without `?revision=` it begins with all objects and
 * a `synced` line. A slow reader costs nothing: lines are made when it reads, from the bounded journal of changes; when the journal
 * has moved on, the stream ends with an error line that says to list again.
 */
export async function watchCollection(call: Call, collection: Collection, onlyKey?: string): Promise<Answer> {
  const { services } = call;
  const from = await beginningOf(call);
  const view = services.view();
  const scope = { services, collection, onlyKey, epoch: view.epoch };
  const revision = from ?? view.revision;
  const start = from === undefined ? initialLines(scope, view) : bookmarkOf(scope, revision);
  const lines = (signal: AbortSignal) => watchLines(scope, { revision, start, signal });
  return { is: "lines", revision: revisionText(scope, revision), lines };
}

interface Scope {
  readonly services: RestServices;
  readonly collection: Collection;
  readonly onlyKey: string | undefined;
  /** A stream stays within one history of the store. */
  readonly epoch: string;
}

/** Where the client wants to go on; what this netmaster cannot tell it completely is refused. */
async function beginningOf({ services, query, signal }: Call): Promise<bigint | undefined> {
  if (query.revision === undefined) return undefined;
  const from = readRevision(query.revision);
  if (from === undefined)
    throw invalid("revision", `must be a contiv-revision like 42@1-3f9c2a7d, not "${query.revision.slice(0, 20)}"`);
  const { revision, epoch } = from;
  refuseOtherHistory(services, from);
  await services.waitForRevision(revision, { timeoutMs: FUTURE_REVISION_TIMEOUT_MS, signal, epoch });
  refuseOtherHistory(services, from);
  if (services.changesSince(revision) === undefined) throw tooOld(`Revision ${revision} is too old to watch from`);
  return revision;
}

function refuseOtherHistory(services: RestServices, from: StoreRevision): void {
  if (isOfHistory(from, services.view())) return;
  const what =
    from.epoch === undefined
      ? `Revision ${from.revision} does not say in which epoch of the store it was read`
      : `Since revision ${from.revision} was read, the store was restored or replaced, or all netmasters were restarted (then it was epoch ${from.epoch})`;
  throw tooOld(what);
}

function tooOld(what: string): NetError {
  const message = `${what}; list the collection again and watch from the list's contiv-revision`;
  return new NetError("CONFLICT", message, { reason: "revision-too-old", field: "revision" });
}

/** Tells the client at once that the watch has begun. */
async function* bookmarkOf(scope: Scope, revision: bigint): AsyncGenerator<string> {
  yield line({ type: "bookmark", revision: revisionText(scope, revision) });
}

function initialLines(scope: Scope, view: ClusterView): AsyncGenerator<string> {
  return inPieces(allLines(scope, view));
}

function* allLines({ collection, onlyKey }: Scope, view: ClusterView): Generator<string> {
  for (const [key] of view.records(collection.kind).entries(onlyKey)) {
    if (onlyKey !== undefined && key !== onlyKey) break;
    const revision = view.modRevision(collection.kind, key) ?? view.revision;
    yield line({ type: "put", key, modRevision: revisionText(view, revision), object: collection.render(view, key) });
  }
  yield line({ type: "synced", revision: revisionText(view, view.revision) });
}

function line(members: Readonly<Record<string, Rendered>>): string {
  return `${[...jsonChunks(new StreamedObject(members))].join("")}\n`;
}

interface Start {
  readonly revision: bigint;
  readonly start: AsyncGenerator<string>;
  readonly signal: AbortSignal;
}

async function* watchLines(scope: Scope, { revision, start, signal }: Start): AsyncGenerator<string> {
  using bell = new Bell(scope.services, signal);
  yield* start;
  let seen = revision;
  while (!signal.aborted) {
    const view = scope.services.view();
    const changes = view.epoch === scope.epoch ? scope.services.changesSince(seen) : undefined;
    if (changes === undefined) {
      yield line({
        type: "error",
        code: "revision-too-old",
        detail: "This reader was too slow, or the store was out of reach or restored; list again and watch from there",
      });
      return;
    }
    yield* inPieces(changeLines(scope, view, changes));
    const isLater = view.revision > seen;
    seen = isLater ? view.revision : seen;
    if (changes.length > 0) continue;
    const rang = await bell.wait(BOOKMARK_INTERVAL_MS);
    if (!rang && !signal.aborted) yield* bookmarkOf(scope, seen);
  }
}

function* changeLines(
  { collection, onlyKey }: Scope,
  view: ClusterView,
  changes: readonly ObjectChange[],
): Generator<string> {
  for (const { kind, key, record, modRevision } of changes) {
    if (kind !== collection.kind || (onlyKey !== undefined && key !== onlyKey)) continue;
    const object = record === undefined ? undefined : collection.render(view, key);
    const latest = object === undefined ? modRevision : (view.modRevision(kind, key) ?? modRevision);
    const head = { key, modRevision: revisionText(view, latest) };
    yield line(object === undefined ? { type: "delete", ...head } : { type: "put", ...head, object });
  }
}

/** Rings when the view changed since the last wait; events only say "look again". */
class Bell {
  readonly #stop: () => void;
  readonly #signal: AbortSignal;
  #hasRung = false;
  #wake: (() => void) | undefined;

  constructor(services: RestServices, signal: AbortSignal) {
    this.#signal = signal;
    const ring = () => {
      this.#hasRung = true;
      this.#wake?.();
    };
    const unsubscribe = services.onChange(ring);
    signal.addEventListener("abort", ring, { once: true });
    this.#stop = () => {
      unsubscribe();
      signal.removeEventListener("abort", ring);
    };
  }

  /** True when it rang; false when `timeoutMs` passed. */
  async wait(timeoutMs: number): Promise<boolean> {
    if (!this.#hasRung && !this.#signal.aborted) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, timeoutMs);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    this.#wake = undefined;
    const rang = this.#hasRung;
    this.#hasRung = false;
    return rang;
  }

  [Symbol.dispose](): void {
    this.#stop();
  }
}
