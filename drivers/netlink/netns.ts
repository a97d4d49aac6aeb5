import { closeSync, constants, fstatSync, openSync, statSync } from "node:fs";
import { NetError } from "../../state/errors.ts";
import { rejected } from "./errno.ts";
import { CLONE_NEWNET, namespaceType, setns } from "./libc.ts";

/** An open network namespace. While it is open the namespace cannot vanish, and nobody else can get its inode. */
export interface NetnsHandle extends Disposable {
  readonly path: string;
  readonly fd: number;
  /** Together with `device` the identity of the namespace, whatever path it was opened by. */
  readonly inode: number;
  readonly device: number;
}

/** Opens a network namespace by path (`/run/netns/x`, `/proc/123/ns/net`). Dispose of it after use. */
export function openNetns(path: string): NetnsHandle {
  refuseSpecialFiles(path);
  const fd = openFile(path);
  try {
    if (namespaceType(fd) !== CLONE_NEWNET) throw notNetns(path);
    return createHandle(path, fd);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** A number used after closing could be another namespace by then: the handle refuses to tell it. */
function createHandle(path: string, fd: number): NetnsHandle {
  const { ino, dev } = fstatSync(fd);
  let open = true;
  return {
    path,
    inode: ino,
    device: dev,
    get fd() {
      if (!open) throw new NetError("CLOSED", `The handle of network namespace ${path} is closed`);
      return fd;
    },
    [Symbol.dispose]() {
      if (open) closeSync(fd);
      open = false;
    },
  };
}

/** True when both are the same namespace, perhaps opened by different paths. */
export function sameNetns(a: NetnsHandle, b: NetnsHandle): boolean {
  return a.inode === b.inode && a.device === b.device;
}

/**
 * Runs `fn` with this thread inside the namespace and comes back before returning. `fn` must be synchronous: whatever
 * it starts (a child process, a socket of Node) belongs to the namespace, whatever it awaits runs outside.
 * When the way back fails the process is aborted: going on would be in somebody else's network.
 */
export function inNetns<T>(handle: NetnsHandle, fn: () => T): T {
  const home = homeNetnsFd(); // opened before leaving
  const entered = setns(handle.fd, CLONE_NEWNET);
  if (entered < 0) throw rejected(`enter the network namespace ${handle.path}`, -entered);
  let result: T;
  try {
    result = fn();
  } finally {
    if (setns(home, CLONE_NEWNET) < 0) process.abort();
  }
  if (result instanceof Promise) throw new NetError("INTERNAL", "inNetns runs synchronous functions only");
  return result;
}

let homeFd: number | undefined;

function homeNetnsFd(): number {
  homeFd ??= openSync("/proc/thread-self/ns/net", constants.O_RDONLY);
  return homeFd;
}

/** Opening a pipe would block and opening a device may act: a namespace is neither, so look before opening. */
function refuseSpecialFiles(path: string): void {
  const found = attempt(path, () => statSync(path));
  if (!found.isFile()) throw notNetns(path);
}

function openFile(path: string): number {
  return attempt(path, () => openSync(path, constants.O_RDONLY | constants.O_NONBLOCK));
}

function attempt<T>(path: string, open: () => T): T {
  try {
    return open();
  } catch (cause) {
    const absent = hasCode(cause, "ENOENT") || hasCode(cause, "ENOTDIR");
    if (absent) throw new NetError("NOT_FOUND", `Cannot open network namespace ${path}: no such path`, { cause });
    throw new NetError("REJECTED", `Cannot open network namespace ${path}: ${String(cause)}`, { cause });
  }
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}

function notNetns(path: string): NetError {
  return new NetError("INVALID", `Cannot open network namespace ${path}: it is not a network namespace`, {
    reason: "not-a-netns",
  });
}
