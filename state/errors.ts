/** What went wrong, as a closed set; every edge (REST, node API, CNI) maps these codes to its own dialect. */
export type ErrorCode =
  | "INVALID" // the caller's input is wrong; `field` names the member
  | "NOT_FOUND" // the addressed object does not exist
  | "CONFLICT" // name, subnet, tag or address is taken, or a guard failed
  | "IN_USE" // others still refer to it; `blockers` lists them
  | "IMMUTABLE" // the object exists and cannot be changed that way
  | "EXHAUSTED" // no address, tag or id is left
  | "UNSUPPORTED" // this release, kernel or switch cannot do it
  | "FORBIDDEN" // the peer is known but may not do this
  | "PRECONDITION" // If-Match or an epoch does not hold
  | "UNAVAILABLE" // no leader, or the store, switch or daemon is away; try again
  | "TIMEOUT" // a deadline passed; the outcome may be unknown
  | "REJECTED" // the kernel, switch or database refused; its own text is in the message
  | "PROTOCOL" // the peer sent bytes that are not the protocol
  | "CLOSED" // the connection or component has been closed
  | "INTERNAL"; // a defect of ours

export interface ErrorDetails {
  readonly cause?: unknown;
  /** JSON member at fault, when there is one. */
  readonly field?: string;
  /** Stable short name for clients, finer than the code: `in-use`, `subnet-overlap`, … */
  readonly reason?: string;
  /** Keys of the objects that stand in the way (IN_USE), the first few. */
  readonly blockers?: readonly string[];
}

/** Reason of UNAVAILABLE: the store has no space left and refuses every write, wherever it is asked. */
export const STORE_FULL = "store-full";

/** Reason of INVALID: the request names an object that does not exist. */
export const UNKNOWN_REFERENCE = "unknown-reference";
/** How its message ends for a caller who can create objects. */
export const CREATE_IT_FIRST = "; create it first";

/** The only error class of the project: it names the deed, keeps the cause and carries a code from a closed set. */
export class NetError extends Error {
  readonly code: ErrorCode;
  readonly field: string | undefined;
  readonly reason: string | undefined;
  readonly blockers: readonly string[] | undefined;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = "NetError";
    this.code = code;
    this.field = details.field;
    this.reason = details.reason;
    this.blockers = details.blockers;
  }
}

/** Nothing was done, because the store has no space left. */
export function storeFull(doing: string, cause?: unknown): NetError {
  const text = `Cannot ${doing}: the store is full and refuses every write; nothing was changed. Compact and defragment etcd, raise --quota-backend-bytes if that is not enough, then disarm the alarm (etcdctl alarm disarm)`;
  return new NetError("UNAVAILABLE", text, { cause, reason: STORE_FULL });
}

/** Wraps anything thrown; a NetError passes unchanged. `doing` completes "Cannot …". */
export function asNetError(thrown: unknown, doing: string, code: ErrorCode = "INTERNAL"): NetError {
  if (thrown instanceof NetError) return thrown;
  return new NetError(code, `Cannot ${doing}: ${textOf(thrown)}`, { cause: thrown });
}

/** gRPC ends the text of a refused connection with a heading below which nothing follows. */
const EMPTY_HEADING = / Resolution note: *$/;

/** What anything thrown says, never empty: Node's error of several connection attempts has no message, only errors of its own. */
export function textOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown) || "no reason was given";
  if (thrown.message !== "") return thrown.message.replace(EMPTY_HEADING, "");
  const inner = thrown instanceof AggregateError ? thrown.errors : thrown.cause === undefined ? [] : [thrown.cause];
  const texts = new Set(inner.map(textOf));
  if (texts.size > 0) return [...texts].join("; ");
  return (thrown as NodeJS.ErrnoException).code ?? "no reason was given";
}

/** The same error for a caller who calls our members otherwise (`names`: ours → theirs), in `field` and where the message begins. */
export function inWordsOf(names: Readonly<Record<string, string>>, error: NetError): NetError {
  const { code, field, reason, blockers, cause, message } = error;
  const name = field === undefined ? undefined : names[field];
  if (field === undefined || name === undefined) return error;
  return new NetError(code, message.startsWith(field) ? `${name}${message.slice(field.length)}` : message, {
    ...{ cause, field: name },
    ...(reason === undefined ? {} : { reason }),
    ...(blockers === undefined ? {} : { blockers }),
  });
}
