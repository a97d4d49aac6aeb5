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
 * Keeps the process alive unless `keepAlive` is false.
 */
export function watchReadable(fd: number, onReadable: () => void, { keepAlive = false } = {}): Readability {
  let active = true;
  let scheduled = false;
  const later = () => {
    scheduled = false;
    if (active) onReadable();
  };
  // koffi calls from bare C: nothing would run promises or catch errors there. An immediate is a turn of its own.
  const handle = koffi.node.poll(fd, { readable: true }, () => {
    if (!scheduled) setImmediate(later);
    scheduled = true;
  });
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
