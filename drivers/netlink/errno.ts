import { constants } from "node:os";
import { getSystemErrorMap } from "node:util";
import { NetError } from "../../state/errors.ts";

/** Name of an errno of Linux, such as EEXIST; the number in words when it has none. */
export function errnoName(errno: number): string {
  return names.get(errno) ?? `errno ${errno}`;
}

/** The sentence of libc for an errno, where the kernel sends no text of its own. */
export function errnoText(errno: number): string {
  return getSystemErrorMap().get(-errno)?.[1] ?? errnoName(errno);
}

/** True for the errors of this library that carry this errno: `isErrno(error, "ENODEV")`. */
export function isErrno(error: unknown, ...wanted: readonly string[]): boolean {
  return error instanceof NetError && error.reason !== undefined && wanted.includes(error.reason);
}

/** `deed` completes "Cannot …"; `errno` is positive; `text` is the kernel's own, when it sent one. */
export function rejected(deed: string, errno: number, text?: string, place?: string): NetError {
  const name = errnoName(errno);
  const where = place === undefined ? name : `${name}, ${place}`;
  return new NetError("REJECTED", `Cannot ${deed}: ${text ?? errnoText(errno)} (${where})`, { reason: name });
}

const names = new Map<number, string>([
  ...Object.entries(constants.errno).map(([name, errno]): [number, string] => [errno, name]),
  [constants.errno.EAGAIN, "EAGAIN"], // of two names with one number, the one that documentation uses
  [constants.errno.EOPNOTSUPP, "EOPNOTSUPP"],
  [524, "ENOTSUPP"], // linux/errno.h: kernel-internal, yet some drivers send it
]);
