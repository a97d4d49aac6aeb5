import koffi from "koffi";

/*
 * Waiting for a descriptor on the event loop itself (libuv's uv_poll, through koffi). No thread is held, and closing
 * is immediate, which a thread blocked in recv() cannot offer.
 */

/** Watches until it is disposed of; dispose of it before closing the descriptor. */
export type Readability = Disposable;

/** koffi would let the collector close a watch that nobody refers to. */
const open = new Set<ReturnType<typeof koffi.node.poll>>();

/**
 * Calls `onReadable` once a turn of the loop while there is something to read: it must read all or come back for it.
 * Keeps the process alive only when `keepAlive` is set.
 */
export function watchReadable(fd: number, onReadable: () => void, { keepAlive = false } = {}): Readability {
  let active = true;
  let scheduled = false;
  let stopped = false;

  function later(): void {
    scheduled = false;
    if (!active) return;
    onReadable();
    // libuv stops watching a socket that has an error, such as lost messages; reading has cleared it.
    if (active && stopped) handle.start({ readable: true }, onEvent);
    stopped = false;
  }

  // koffi calls from bare C: nothing would run promises or catch errors there. An immediate is a turn of its own.
  function onEvent(status: unknown): void {
    stopped ||= typeof status === "number" && status < 0;
    if (!scheduled) setImmediate(later);
    scheduled = true;
  }

  const handle = koffi.node.poll(fd, { readable: true }, onEvent);
  if (!keepAlive) handle.unref();
  open.add(handle);
  return {
    [Symbol.dispose]() {
      if (active) handle.close();
      active = false;
      open.delete(handle);
    },
  };
}
