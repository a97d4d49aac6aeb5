import { asNetError, NetError } from "../../state/errors.ts";
import { STORE_EPOCH_HEADER } from "../../state/node-api.ts";
import { BackOff } from "../../state/waiting/back-off.ts";
import { pause } from "../../state/waiting/pause.ts";
import { parseMessage, type ViewMessage } from "../view/messages.ts";
import { nodePath } from "./node-client.ts";
import type { Transport } from "./transport.ts";

export interface WatchOptions {
  readonly transport: Transport;
  readonly nodeName: string;
  /** A stream that is silent for longer is dead, in milliseconds. */
  readonly idleTimeoutMs: number;
  readonly signal: AbortSignal;
  /** A new stream is open; its first message follows. `epoch` is the store's, where netmaster names it. */
  readonly onStream: (epoch: string | undefined) => void;
  readonly onMessages: (messages: readonly ViewMessage[]) => void;
  /** Nobody acts on the view yet, so that the first list may be taken in parts, as it comes. */
  readonly mayTakeParts: () => boolean;
  readonly report: (error: NetError) => void;
}

const OPEN_TIMEOUT_MS = 10_000;
const PAUSES = { firstMs: 50, maxMs: 2_000 };
const MAX_LINE_BYTES = 4 * 1024 * 1024;

/** Follows this node's watch stream for ever, over any netmaster, until the signal aborts. */
export async function followWatch(options: WatchOptions): Promise<void> {
  const { signal } = options;
  const backOff = new BackOff(PAUSES);
  while (!signal.aborted) {
    try {
      await oneStream(options, () => backOff.reset());
    } catch (error) {
      if (!signal.aborted) options.report(asNetError(error, "follow netmaster's watch stream", "UNAVAILABLE"));
    }
    await pause(backOff.nextMs(), signal);
  }
}

async function oneStream(options: WatchOptions, onLive: () => void): Promise<void> {
  const ending = new AbortController();
  const signal = AbortSignal.any([options.signal, ending.signal]);
  const path = `${nodePath(options.nodeName)}/watch`;
  const incoming = await options.transport.stream(path, { signal, timeoutMs: OPEN_TIMEOUT_MS });
  const idle = idleTimer(options.idleTimeoutMs, (error) => incoming.destroy(error));
  const epoch = incoming.headers[STORE_EPOCH_HEADER];
  options.onStream(typeof epoch === "string" && epoch !== "" ? epoch : undefined);
  try {
    let rest = "";
    const begun: ViewMessage[] = [];
    incoming.setEncoding("utf8");
    for await (const chunk of incoming as AsyncIterable<string>) {
      idle.reset();
      const lines = (rest + chunk).split("\n");
      rest = lines.pop() ?? "";
      if (rest.length > MAX_LINE_BYTES) throw new NetError("PROTOCOL", "A line of the watch stream is over 4 MiB");
      const messages = lines.filter((line) => line !== "").map((line) => parseMessage(JSON.parse(line)));
      if (messages.length === 0) continue;
      onLive();
      const whole = takeWhole(begun, messages, options.mayTakeParts());
      if (whole.length > 0) options.onMessages(whole);
    }
    throw new NetError("UNAVAILABLE", "netmaster has ended the watch stream");
  } finally {
    idle.stop();
    ending.abort();
    incoming.destroy();
  }
}

/** Parts of a first list: large enough that a view is not made for each few objects, small enough not to hold the whole list twice. */
const PART_MESSAGES = 4_096;

/**
 * Changes that belong to one revision are taken together: between a policy and its rules there must be no view. `begun` waits for
 * its bookmark; it is never more than one revision's changes, or the list that a stream begins with.
 */
function takeWhole(begun: ViewMessage[], messages: readonly ViewMessage[], mayBePart: boolean): readonly ViewMessage[] {
  const end = messages.findLastIndex(({ type }) => type === "bookmark" || type === "synced") + 1;
  const isPart = mayBePart && end === 0 && begun.length >= PART_MESSAGES;
  const whole = end === 0 && !isPart ? [] : [...begun.splice(0), ...messages.slice(0, end)];
  for (const message of messages.slice(end)) begun.push(message);
  return whole;
}

function idleTimer(timeoutMs: number, onIdle: (error: NetError) => void) {
  const expired = () => onIdle(new NetError("TIMEOUT", `The watch stream has been silent for ${timeoutMs} ms`));
  let timer = setTimeout(expired, timeoutMs);
  return {
    reset: () => {
      clearTimeout(timer);
      timer = setTimeout(expired, timeoutMs);
    },
    stop: () => clearTimeout(timer),
  };
}
