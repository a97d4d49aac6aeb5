import {
  ClientClosedError,
  EtcdAuthenticationFailedError,
  EtcdInvalidAuthTokenError,
  EtcdLeaseInvalidError,
  EtcdPermissionDeniedError,
} from "etcd3";
import { type ErrorCode, NetError } from "../../errors.ts";

/**
 * What a failed call means. `not-sent`: nothing reached the server. `unknown`: it may have been done, or be done yet.
 * `stale-auth`: this client's credentials are out of date. `refused`: the server said no and did nothing. `store-full`: no space is
 * left; the write that filled the store has been done although etcd says this of it.
 */
export type Failure =
  | { readonly kind: "not-sent" | "unknown" | "stale-auth" }
  | { readonly kind: "compacted" | "lease-gone" | "store-full" }
  | { readonly kind: "refused"; readonly code: ErrorCode };

/** Texts of etcdserver's errors (rpctypes/error.go) after which nothing was done. */
const REFUSALS: readonly (readonly [string, ErrorCode])[] = [
  ["etcdserver: permission denied", "FORBIDDEN"],
  ["auth: permission denied", "FORBIDDEN"], // maintenance calls pass the inner text on
  ["etcdserver: user name is empty", "FORBIDDEN"],
  ["etcdserver: too many operations in txn request", "INVALID"],
  ["etcdserver: request is too large", "INVALID"],
  ["etcdserver: duplicate key given in txn request", "INVALID"],
  ["etcdserver: key is not provided", "INVALID"],
  ["etcdserver: authentication is not enabled", "INVALID"],
];

export function failureOf(error: unknown): Failure {
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof ClientClosedError || message.includes("No connection established")) return { kind: "not-sent" };
  if (message.includes("revision of auth store is old")) return { kind: "stale-auth" };
  if (message.includes("required revision has been compacted")) return { kind: "compacted" };
  if (message.includes("etcdserver: mvcc: database space exceeded")) return { kind: "store-full" };
  if (error instanceof EtcdInvalidAuthTokenError) return { kind: "stale-auth" };
  if (error instanceof EtcdLeaseInvalidError) return { kind: "lease-gone" };
  if (error instanceof EtcdAuthenticationFailedError) return { kind: "refused", code: "FORBIDDEN" };
  for (const [text, code] of REFUSALS) if (message.includes(text)) return { kind: "refused", code };
  if (error instanceof EtcdPermissionDeniedError) return { kind: "refused", code: "FORBIDDEN" };
  return { kind: "unknown" };
}

/** The error of an operation that was given up; `code` UNAVAILABLE says that nothing was done. */
export function givenUp(doing: string, endpoint: string, cause: unknown, code: "UNAVAILABLE" | "TIMEOUT"): NetError {
  const text = cause instanceof Error ? cause.message : String(cause);
  const outcome = code === "TIMEOUT" ? " (the outcome is unknown)" : "";
  return new NetError(code, `Cannot ${doing} at etcd ${endpoint}${outcome}: ${text}`, { cause });
}

export function refusal(doing: string, code: ErrorCode, cause: unknown): NetError {
  const text = cause instanceof Error ? cause.message : String(cause);
  return new NetError(code, `etcd refused to ${doing}: ${text}`, { cause });
}
