import { asNetError, type ErrorCode, NetError, STORE_FULL } from "../../state/errors.ts";

/** How an error leaves: status, headers and body, in one of the two dialects of contract §2. */
export interface ErrorReply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

interface Kind {
  readonly status: number;
  readonly title: string;
  readonly name: string;
}

const BY_CODE: Readonly<Record<ErrorCode, Kind>> = {
  INVALID: { status: 400, title: "Request is invalid", name: "invalid" },
  NOT_FOUND: { status: 404, title: "Object does not exist", name: "not-found" },
  CONFLICT: { status: 409, title: "Request conflicts with other objects", name: "conflict" },
  IN_USE: { status: 409, title: "Object is in use", name: "in-use" },
  IMMUTABLE: { status: 409, title: "Object cannot be changed like that", name: "immutable" },
  EXHAUSTED: { status: 409, title: "Nothing is left to hand out", name: "exhausted" },
  UNSUPPORTED: { status: 501, title: "Not supported by this release", name: "unsupported" },
  FORBIDDEN: { status: 403, title: "Not allowed", name: "forbidden" },
  PRECONDITION: { status: 412, title: "Precondition does not hold", name: "precondition-failed" },
  UNAVAILABLE: { status: 503, title: "Try again", name: "unavailable" },
  TIMEOUT: { status: 503, title: "Took too long", name: "timeout" },
  CLOSED: { status: 503, title: "Shutting down", name: "closed" },
  REJECTED: { status: 500, title: "Refused by a part of the system", name: "rejected" },
  PROTOCOL: { status: 500, title: "Defect", name: "internal" },
  INTERNAL: { status: 500, title: "Defect", name: "internal" },
};

/** Reasons whose status differs from that of their code. */
const STATUS_BY_REASON: Readonly<Record<string, number>> = {
  "body-too-large": 413,
  "unknown-route": 404,
  "method-not-allowed": 405,
  "revision-too-old": 410,
  "too-many-watches": 503,
};

/** Titles of reasons that their code's title would call by a wrong name. */
const TITLE_BY_REASON: Readonly<Record<string, string>> = {
  "unknown-route": "Route does not exist",
  "method-not-allowed": "Method is not offered",
  "revision-too-old": "Revision is too old",
  [STORE_FULL]: "The store is full",
};

/** Seconds after which a client may try again when there is no leader. */
const RETRY_AFTER_SECONDS = "1";

/** Most of a defect's own text that a client is shown, in characters. */
const DEFECT_TEXT_LENGTH = 500;

export interface ErrorContext {
  /** The request has an `Accept` header, whatever it says. */
  readonly hasAccept: boolean;
  readonly path: string;
  /** Appears in the log too, for errors that are defects. */
  readonly requestId: string;
}

/** Renders anything thrown for the client that asked. */
export function errorReply(thrown: unknown, { hasAccept, path, requestId }: ErrorContext): ErrorReply {
  const error = asNetError(thrown, "answer the request");
  const kind = BY_CODE[error.code];
  const status = STATUS_BY_REASON[error.reason ?? ""] ?? kind.status;
  const text = firstLine(error.message);
  const detail = status === 500 ? `${text.slice(0, DEFECT_TEXT_LENGTH)} (log id ${requestId})` : text;
  if (!hasAccept) return plainReply(status, error, detail);
  const code = error.reason ?? kind.name;
  const problem = {
    type: `/problems/${code}`,
    title: TITLE_BY_REASON[code] ?? kind.title,
    status,
    detail,
    instance: path,
    code,
    field: error.field,
    blockers: error.blockers,
  };
  const headers = { "content-type": "application/problem+json", ...retryHeader(status) };
  return { status, headers, body: `${JSON.stringify(problem)}\n` };
}

/** netctl shows the body of a 500 and nothing else; it takes 404 on DELETE as success, so that only routes may be 404 (§9.1). */
function plainReply(status: number, error: NetError, detail: string): ErrorReply {
  const isRoute = error.reason === "unknown-route" || error.reason === "method-not-allowed";
  const headers = { "content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff" };
  return { status: isRoute ? 404 : 500, headers: { ...headers, ...retryHeader(status) }, body: `${detail}\n` };
}

function retryHeader(status: number): Record<string, string> {
  return status === 503 ? { "retry-after": RETRY_AFTER_SECONDS } : {};
}

function firstLine(text: string): string {
  return text.split(/[\r\n]/, 1)[0] ?? "";
}

export function unknownRoute(path: string): NetError {
  return new NetError("NOT_FOUND", `404 page not found: ${path.slice(0, 200)}`, { reason: "unknown-route" });
}

export function methodNotAllowed(method: string, allowed: readonly string[]): NetError {
  const message = `Method ${method} is not offered here, only ${allowed.join(", ")}`;
  return new NetError("INVALID", message, { reason: "method-not-allowed" });
}
