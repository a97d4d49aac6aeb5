import { NetError } from "../../state/errors.ts";
import { createCallQueue } from "./call-queue.ts";
import type { Message, Query } from "./message.ts";
import { type Echoed, type NetlinkOptions, type NetlinkSocket, openNetlink, type RequestOptions } from "./socket.ts";

export interface SocketPoolOptions extends NetlinkOptions {
  /** Sockets at most; as many requests are under way at a time. */
  readonly socketsMax?: number;
  /** Requests that may wait for a socket; more are refused (UNAVAILABLE, `queue-full`). */
  readonly waitingMax?: number;
}

/** Sockets of one namespace for requests that come at the same time; each is lent to one borrower at a time. */
export interface SocketPool extends Disposable {
  /** Lends a socket until the promise of `work` has settled. `work` must not keep it. */
  use<T>(work: (socket: NetlinkSocket) => Promise<T>, options?: RequestOptions): Promise<T>;
  execute(batch: readonly Message[], options?: RequestOptions): Promise<Echoed[]>;
  dump<Row>(query: Query<Row>, options?: RequestOptions): Promise<Row[]>;
  get<Row>(query: Query<Row>, options?: RequestOptions): Promise<Row>;
}

const SOCKETS_MAX = 8;
const WAITING_MAX = 1024;

/** Opens no socket before the first request. A namespace given in `options.netns` must stay open as long as the pool. */
export function openSocketPool(options: SocketPoolOptions = {}): SocketPool {
  const { socketsMax = SOCKETS_MAX, waitingMax = WAITING_MAX, ...socketOptions } = options;
  const places = createCallQueue({ runningMax: socketsMax, waitingMax });
  const idle: NetlinkSocket[] = [];
  let closed = false;

  function giveBack(socket: NetlinkSocket): void {
    if (closed || !socket.usable) socket[Symbol.dispose]();
    else idle.push(socket);
  }

  async function lend<T>(work: (socket: NetlinkSocket) => Promise<T>): Promise<T> {
    if (closed) throw new NetError("CLOSED", "The netlink socket pool is closed");
    const socket = idle.pop() ?? openNetlink(socketOptions);
    try {
      return await work(socket);
    } finally {
      giveBack(socket);
    }
  }

  const use: SocketPool["use"] = (work, request) => places.run(() => lend(work), request);
  return {
    use,
    execute: (batch, request) => use((socket) => socket.execute(batch, request), request),
    dump: (query, request) => use((socket) => socket.dump(query, request), request),
    get: (query, request) => use((socket) => socket.get(query, request), request),
    [Symbol.dispose]() {
      closed = true;
      for (const socket of idle.splice(0)) socket[Symbol.dispose]();
    },
  };
}
