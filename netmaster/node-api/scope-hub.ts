import type { ViewCache } from "../view/cache.ts";
import type { ClusterView, ViewChange } from "../view/types.ts";
import { changedRefs, changesInterest, changeTopics, interestTopics } from "./scope.ts";
import { ScopedStream } from "./scoped-stream.ts";
import { WatchLines } from "./watch-lines.ts";

/** Where the lines of one stream go. */
export interface LineSink {
  /** Resolves when more may be written; rejects when the peer is gone or too slow. */
  write(text: string): Promise<void>;
}

export interface HubOptions {
  readonly bookmarkIntervalMs: number;
}

interface Open {
  readonly stream: ScopedStream;
  topics: readonly string[];
  wake: () => void;
}

/** Lines of one write; a write is short enough not to hold up others. */
const LINES_PER_WRITE = 200;

/** Streams that one node may have at once: a new one may come before the old one is known to be dead. */
const MAX_STREAMS_PER_NODE = 3;

/** All watch streams of this replica. A change costs what the streams number that it concerns. */
export class ScopeHub implements Disposable {
  readonly #cache: ViewCache;
  readonly #options: HubOptions;
  readonly #lines = new WatchLines();
  readonly #byTopic = new Map<string, Set<Open>>();
  readonly #byNode = new Map<string, Set<AbortController>>();
  readonly #stops: readonly (() => void)[];
  #view: ClusterView;
  #count = 0;

  constructor(cache: ViewCache, options: HubOptions) {
    this.#cache = cache;
    this.#options = options;
    this.#view = cache.view();
    this.#stops = [cache.onChange((change) => this.#spread(change)), cache.onReset(() => this.#endStreams())];
  }

  get streamCount(): number {
    return this.#count;
  }

  /** Serves one stream until the signal aborts or the sink fails; the view must be complete. */
  async serve(nodeName: string, sink: LineSink, signal: AbortSignal): Promise<void> {
    const superseded = this.#admit(nodeName);
    const ended = AbortSignal.any([signal, superseded.signal]);
    this.#view = this.#cache.view();
    const stream = new ScopedStream(nodeName, this.#view, this.#lines);
    const open: Open = { stream, topics: interestTopics(stream.interest), wake: () => undefined };
    this.#count += 1;
    this.#listen(open);
    try {
      await this.#pump(open, sink, ended);
    } finally {
      this.#count -= 1;
      this.#unlisten(open);
      this.#dismiss(nodeName, superseded);
    }
  }

  [Symbol.dispose](): void {
    for (const stop of this.#stops) stop();
    this.#endStreams();
  }

  #endStreams(): void {
    for (const streams of this.#byNode.values()) for (const stream of streams) stream.abort();
  }

  async #pump(open: Open, sink: LineSink, ended: AbortSignal): Promise<void> {
    let isDue = false;
    const { epoch } = this.#cache.view();
    while (!ended.aborted) {
      const view = this.#cache.view();
      if (view.epoch !== epoch) return; // the node was told this stream's epoch; it must learn the new one
      if (open.stream.refresh(view)) this.#relisten(open);
      const text = open.stream.take(view, LINES_PER_WRITE) ?? open.stream.mark(view, isDue);
      if (text === undefined) {
        isDue = await this.#wakeOrDue(open, ended);
        continue;
      }
      isDue = false;
      await sink.write(text);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Waits for news. True: none came, a bookmark is due. */
  #wakeOrDue(open: Open, ended: AbortSignal): Promise<boolean> {
    return new Promise((resolve) => {
      const finish = (isDue: boolean) => {
        clearTimeout(timer);
        ended.removeEventListener("abort", onWake);
        open.wake = () => undefined;
        resolve(isDue);
      };
      const onWake = () => finish(false);
      const timer = setTimeout(finish, this.#options.bookmarkIntervalMs, true);
      ended.addEventListener("abort", onWake, { once: true });
      open.wake = onWake;
    });
  }

  #spread({ view, changes }: ViewChange): void {
    const views = { before: this.#view, after: view };
    this.#view = view;
    const touched = new Set<Open>();
    for (const change of changes) {
      const listeners = this.#listeners(changeTopics(change, views.before, views.after));
      if (listeners.size === 0) continue;
      const refs = changedRefs(change, views.before, views.after);
      for (const open of listeners) {
        open.stream.touch(refs, changesInterest(change, open.stream.interest, views));
        touched.add(open);
      }
    }
    for (const open of touched) open.wake();
  }

  #listeners(topics: Iterable<string>): ReadonlySet<Open> {
    const listeners = new Set<Open>();
    for (const topic of topics) for (const open of this.#byTopic.get(topic) ?? []) listeners.add(open);
    return listeners;
  }

  #listen(open: Open): void {
    for (const topic of open.topics) {
      const listeners = this.#byTopic.get(topic) ?? new Set();
      listeners.add(open);
      this.#byTopic.set(topic, listeners);
    }
  }

  #unlisten(open: Open): void {
    for (const topic of open.topics) {
      const listeners = this.#byTopic.get(topic);
      listeners?.delete(open);
      if (listeners?.size === 0) this.#byTopic.delete(topic);
    }
  }

  #relisten(open: Open): void {
    this.#unlisten(open);
    open.topics = interestTopics(open.stream.interest);
    this.#listen(open);
  }

  #admit(nodeName: string): AbortController {
    const streams = this.#byNode.get(nodeName) ?? new Set();
    this.#byNode.set(nodeName, streams);
    const [oldest] = streams;
    if (streams.size >= MAX_STREAMS_PER_NODE) oldest?.abort();
    const superseded = new AbortController();
    streams.add(superseded);
    return superseded;
  }

  #dismiss(nodeName: string, superseded: AbortController): void {
    const streams = this.#byNode.get(nodeName);
    streams?.delete(superseded);
    if (streams?.size === 0) this.#byNode.delete(nodeName);
  }
}
