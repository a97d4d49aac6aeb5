import type { EndpointReply } from "../../state/node-api.ts";
import { onAbort } from "../../state/waiting/signals.ts";
import { applyBatch, beginStream, rebaseView } from "./apply.ts";
import { applyEndpointReply, releaseEarly, streamEpochOf } from "./early.ts";
import type { ViewMessage } from "./messages.ts";
import { type Changes, emptyView, type NodeView, type ViewStep } from "./node-view.ts";

/** The one place that holds the present view; everybody else reads it and is told when it moves on. */
export interface ViewHolder {
  view(): NodeView;
  /** To be called for each new stream; one of another store epoch replaces what is held whatever its revisions are. */
  beginStream(epoch?: string): void;
  applyMessages(messages: readonly ViewMessage[]): void;
  applyReply(reply: EndpointReply): void;
  releaseEarly(endpointKey: string, epoch: string): void;
  /** Resolves when the stream has delivered everything up to this store revision; one of another epoch is never reached. */
  reached(revision: bigint, epoch: string | undefined, signal: AbortSignal): Promise<void>;
  /** Adds a listener for every step; listeners must not throw. */
  onStep(listener: (changes: Changes) => void): void;
}

export function createViewHolder(): ViewHolder {
  let view: NodeView = emptyView();
  const listeners: ((changes: Changes) => void)[] = [];

  const waiters = new Set<() => void>();

  function advance(step: ViewStep): void {
    view = step.view;
    for (const listener of listeners) listener(step.changes);
    for (const look of waiters) look();
  }

  function reached(revision: bigint, epoch: string | undefined, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const isReached = () => view.revision >= revision && (epoch === undefined || (view.epoch ?? epoch) === epoch);
    if (isReached()) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const end = (act: () => void) => {
        waiters.delete(look);
        unlink();
        act();
      };
      const look = () => {
        if (isReached()) end(resolve);
      };
      const unlink = onAbort(signal, (reason) => end(() => reject(reason)));
      waiters.add(look);
    });
  }

  return {
    view: () => view,
    beginStream: (next) => {
      const before = streamEpochOf(view);
      const isOther = before !== undefined && next !== undefined && next !== before;
      view = isOther ? rebaseView(view, next) : beginStream(view, next ?? before);
    },
    applyMessages: (messages) => advance(applyBatch(view, messages)),
    applyReply: (reply) => advance(applyEndpointReply(view, reply)),
    releaseEarly: (endpointKey, epoch) => advance(releaseEarly(view, endpointKey, epoch)),
    reached,
    onStep: (listener) => {
      listeners.push(listener);
    },
  };
}
