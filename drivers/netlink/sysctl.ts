import { closeSync, openSync, readFileSync, write, writeFileSync } from "node:fs";
import { promisify } from "node:util";
import { NetError } from "../../state/errors.ts";
import { inNetns, type NetnsHandle } from "./netns.ts";

/*
 * Files below /proc/sys/net are those of the namespace of the thread that opens them, whoever writes later. Opening takes microseconds;
 * writing may wait for the kernel's lock of all links, so that is left to a thread of libuv's pool.
 */

const DIRECTORY = "/proc/sys/net";
const writeTo = promisify(write);

/** Writes `value` to `/proc/sys/net/<path>`. False when there is no such file: the kernel lacks it, or the link is gone. */
export async function writeSysctl(path: string, value: string, netns?: NetnsHandle): Promise<boolean> {
  const fd = openSysctl(path, netns);
  if (fd === undefined) return false;
  try {
    await writeTo(fd, value);
    return true;
  } catch (cause) {
    if (isAbsent(cause)) return false; // the link has gone since
    throw new NetError("REJECTED", `Cannot write ${value} to ${DIRECTORY}/${path}: ${String(cause)}`, { cause });
  } finally {
    closeSync(fd);
  }
}

/** Writes settings that take no lock, path by value, at once; what the kernel lacks is left out. */
export function writeSysctlsNow(settings: Readonly<Record<string, string>>, netns: NetnsHandle): void {
  inNetns(netns, () => {
    for (const [path, value] of Object.entries(settings)) unlessAbsent(path, (file) => writeFileSync(file, value));
  });
}

/** Reads `/proc/sys/net/<path>`; undefined when there is no such file. */
export function readSysctl(path: string, netns?: NetnsHandle): string | undefined {
  return inside(netns, path, (file) => readFileSync(file, "utf8").trim());
}

function openSysctl(path: string, netns: NetnsHandle | undefined): number | undefined {
  return inside(netns, path, (file) => openSync(file, "w"));
}

function inside<T>(netns: NetnsHandle | undefined, path: string, work: (file: string) => T): T | undefined {
  return netns === undefined ? unlessAbsent(path, work) : inNetns(netns, () => unlessAbsent(path, work));
}

function unlessAbsent<T>(path: string, work: (file: string) => T): T | undefined {
  try {
    return work(`${DIRECTORY}/${path}`);
  } catch (cause) {
    if (isAbsent(cause)) return undefined;
    throw new NetError("REJECTED", `Cannot use ${DIRECTORY}/${path}: ${String(cause)}`, { cause });
  }
}

function isAbsent(cause: unknown): boolean {
  return (cause as NodeJS.ErrnoException).code === "ENOENT";
}
