import type { Socket } from "node:net";
import { NetError } from "../../state/errors.ts";
import type { CniHandler } from "./handler.ts";
import type { NetnsCheck } from "./netns.ts";
import {
  type AnsweredCall,
  awaitOnShutdown,
  CNI_LIMITS,
  type CniLimits,
  type CniLog,
  type ServeContext,
  serve,
} from "./serve.ts";
import { SocketKeeper } from "./socket-keeper.ts";
import { createSlots, createTurns } from "./turns.ts";

export interface CniServerOptions {
  readonly socketPath: string;
  readonly handler: CniHandler;
  /** Closes the server. */
  readonly signal: AbortSignal;
  readonly log: CniLog;
  readonly limits?: Partial<CniLimits>;
  readonly observe?: (call: AnsweredCall) => void;
  /** How a pod's namespace is looked at before ADD and CHECK. */
  readonly checkNetns: NetnsCheck;
}

export interface CniServer extends AsyncDisposable {
  /** Calls in hand and calls that wait for a slot. */
  load(): { readonly connections: number; readonly active: number; readonly waiting: number };
  /** Why runtimes cannot connect; undefined when they can. */
  fault(): string | undefined;
  /** Takes the socket away, lets calls end, aborts the rest; resolves when none is left. */
  close(): Promise<void>;
}

/** Serves the shim's calls on a unix socket. @throws NetError when the socket cannot be made */
export async function startCniServer(options: CniServerOptions): Promise<CniServer> {
  options.signal.throwIfAborted();
  const context = contextOf(options);
  const keeper = new SocketKeeper({
    path: options.socketPath,
    connectionsMax: 2 * context.limits.connectionsMax,
    onConnection: (socket) => accept(context, socket),
    log: options.log,
  });
  await keeper.open();
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => {
    options.signal.removeEventListener("abort", close);
    closing ??= keeper.close().then(() => drain(context));
    return closing;
  };
  options.signal.addEventListener("abort", close, { once: true });
  if (options.signal.aborted) await close();
  return {
    load: () => ({ connections: context.sockets.size, active: context.slots.busy, waiting: context.slots.waiting }),
    fault: () => keeper.fault,
    close,
    [Symbol.asyncDispose]: close,
  };
}

function contextOf(options: CniServerOptions): ServeContext {
  const limits = { ...CNI_LIMITS, ...options.limits };
  return {
    handler: options.handler,
    checkNetns: options.checkNetns,
    turns: createTurns(),
    slots: createSlots(limits.activeMax),
    limits,
    log: options.log,
    observe: options.observe ?? (() => {}),
    sockets: new Set(),
    reading: new Set(),
    calls: new Set(),
    works: new Set(),
  };
}

function accept(context: ServeContext, socket: Socket): void {
  context.sockets.add(socket);
  socket.on("error", () => socket.destroy()); // a client that broke off; its "close" tells whoever needs to know
  socket.once("close", () => context.sockets.delete(socket));
  awaitOnShutdown(context, serve(context, socket));
}

/** Lets calls end, then aborts them and lets them be undone, then cuts what is left. */
async function drain(context: ServeContext): Promise<void> {
  const { drainTimeoutMs } = context.limits;
  for (const socket of context.reading) socket.destroy();
  if (!(await settleWithin(context.works, drainTimeoutMs))) {
    const reason = new NetError("CLOSED", "netplugin is stopping; the runtime may try again");
    for (const controller of context.calls) controller.abort(reason);
    await settleWithin(context.works, drainTimeoutMs);
  }
  for (const socket of context.sockets) socket.destroy();
}

async function settleWithin(works: ReadonlySet<Promise<unknown>>, timeoutMs: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, timeoutMs);
  });
  await Promise.race([Promise.allSettled(works), late]);
  clearTimeout(timer);
  return works.size === 0;
}
