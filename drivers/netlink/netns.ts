import { closeSync, constants, fstatSync, openSync, type Stats, statSync } from "node:fs";
import { NetError } from "../../state/errors.ts";
import { errnoName, rejected } from "./errno.ts";
import { bindMount, CLONE_NEWNET, detachMount, namespaceType, setns } from "./libc.ts";

/** An open network namespace. While it is open the namespace cannot vanish, and nobody else can get its inode. */
export interface NetnsHandle extends NetnsIdentity, Disposable {
  readonly path: string;
  readonly fd: number;
}

/** Which namespace it is, whatever path it was opened by. */
export interface NetnsIdentity {
  readonly inode: number;
  readonly device: number;
}

/** Opens a network namespace by path (`/run/netns/x`, `/proc/123/ns/net`). Dispose of it after use. */
export function openNetns(path: string): NetnsHandle {
  refuseSpecialFiles(path);
  const fd = openFile(path);
  try {
    const type = namespaceType(fd);
    if (type !== CLONE_NEWNET) throw notNetns(path, NAMESPACE_NAMES[type] ?? nameOfRegular(fstatSync(fd)));
    return createHandle(path, fd);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/**
 * Mounts the namespace on the file `path`. The kernel is given the descriptor's path as it is: mount(8) would resolve it first,
 * and of a namespace without a name is left no path that leads to it.
 */
export function bindNetns(handle: NetnsHandle, path: string): void {
  const result = bindMount(`/proc/self/fd/${handle.fd}`, path);
  if (result < 0) throw rejected(`mount a network namespace on ${path}`, -result);
}

/** Takes away what is mounted on `path`; what others hold of it lives on. Nothing mounted counts as done. */
export function unbindNetns(path: string): void {
  const result = detachMount(path);
  if (result < 0 && !NOT_MOUNTED.includes(errnoName(-result))) throw rejected(`unmount ${path}`, -result);
}

const NOT_MOUNTED = ["EINVAL", "ENOENT"];

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
export function sameNetns(a: NetnsIdentity, b: NetnsIdentity): boolean {
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
  if (!found.isFile()) throw notNetns(path, nameOfSpecial(found));
}

/** CLONE_NEW… of linux/sched.h. */
const NAMESPACE_NAMES: Readonly<Record<number, string>> = {
  128: "a time namespace",
  131072: "a mount namespace",
  33554432: "a cgroup namespace",
  67108864: "a UTS namespace",
  134217728: "an IPC namespace",
  268435456: "a user namespace",
  536870912: "a PID namespace",
};

/** What deleting a namespace below /run/netns can leave behind is an empty file. */
function nameOfRegular({ size }: Stats): string {
  return size === 0 ? "an empty file with no namespace mounted on it" : "a regular file";
}

function nameOfSpecial(found: Stats): string {
  if (found.isDirectory()) return "a directory";
  if (found.isFIFO()) return "a named pipe";
  return found.isSocket() ? "a socket" : "a device";
}

function openFile(path: string): number {
  return attempt(path, () => openSync(path, constants.O_RDONLY | constants.O_NONBLOCK));
}

/** No path, or one that cannot lead anywhere. */
const ABSENT_CODES = ["ENOENT", "ENOTDIR", "ELOOP", "ENAMETOOLONG"];

function attempt<T>(path: string, open: () => T): T {
  try {
    return open();
  } catch (cause) {
    const code = codeOf(cause);
    if (ABSENT_CODES.includes(code))
      throw new NetError("NOT_FOUND", `Cannot open network namespace ${path}: no such path`, { cause });
    throw new NetError("REJECTED", `Cannot open network namespace ${path}: ${String(cause)}`, { cause, reason: code });
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}

function notNetns(path: string, what: string): NetError {
  return new NetError("INVALID", `Cannot open network namespace ${path}: it is ${what}, not a network namespace`, {
    reason: "not-a-netns",
  });
}
