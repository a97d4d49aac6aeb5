import type { EndpointReply } from "../../state/node-api.ts";
import { applyBatch, beginStream } from "./apply.ts";
import { applyEndpointReply, releaseEarly } from "./early.ts";
import type { ViewMessage } from "./messages.ts";
import { type Changes, emptyView, type NodeView, type ViewStep } from "./node-view.ts";

/** The one place that holds the present view; everybody else reads it and is told when it moves on. */
export interface ViewHolder {
  view(): NodeView;
  beginStream(): void;
  applyMessages(messages: readonly ViewMessage[]): void;
  applyReply(reply: EndpointReply): void;
  releaseEarly(endpointKey: string, epoch: string): void;
  /** Adds a listener for every step; listeners must not throw. */
  onStep(listener: (changes: Changes) => void): void;
}

export function createViewHolder(): ViewHolder {
  let view: NodeView = emptyView();
  const listeners: ((changes: Changes) => void)[] = [];

  function advance(step: ViewStep): void {
    view = step.view;
    for (const listener of listeners) listener(step.changes);
  }

  return {
    view: () => view,
    beginStream: () => {
      view = beginStream(view);
    },
    applyMessages: (messages) => advance(applyBatch(view, messages)),
    applyReply: (reply) => advance(applyEndpointReply(view, reply)),
    releaseEarly: (endpointKey, epoch) => advance(releaseEarly(view, endpointKey, epoch)),
    onStep: (listener) => {
      listeners.push(listener);
    },
  };
}
