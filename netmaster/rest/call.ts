import type { Rendered } from "../inspect/streamed.ts";
import type { Operation } from "./openapi/operation.ts";
import type { RestServices } from "./services.ts";

export type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

/** A request as the handlers see it. */
export interface Call {
  readonly services: RestServices;
  readonly method: Method | "HEAD";
  /** Path without query, as it was sent. */
  readonly path: string;
  readonly params: Readonly<Record<string, string>>;
  readonly query: Readonly<Record<string, string>>;
  header(name: string): string | undefined;
  /** Parses the body; throws INVALID when it is not JSON. */
  body(): unknown;
  /** Ends when the request's deadline passes. */
  readonly signal: AbortSignal;
  /** The client: name in its certificate, or address. */
  readonly who: string;
}

/** A reply that is one JSON value, one text, or lines that follow each other without end. */
export type Answer =
  | { readonly is: "json"; readonly value: Rendered; readonly headers?: Readonly<Record<string, string>> }
  | { readonly is: "text"; readonly text: string; readonly contentType: string; readonly status?: number }
  | {
      readonly is: "lines";
      readonly lines: (signal: AbortSignal) => AsyncGenerator<string>;
      /** Where the lines begin, as text. */
      readonly revision: string;
    };

export type Handler = (call: Call) => Answer | Promise<Answer>;

export interface Route {
  readonly method: Method;
  /** `:name` is one segment; a slash at the end is optional. */
  readonly path: string;
  readonly handle: Handler;
  /** What the API's description says of it. */
  readonly operation: Operation;
  /** Query parameters that have an effect; none when absent. */
  readonly parameters?: readonly string[];
  /** v1 did not have it: unknown query parameters are refused. */
  readonly isOurs?: boolean;
  /** Only the leader can do it: others forward the request. */
  readonly isWrite?: boolean;
  /** The leader knows more (what the nodes have told it): others ask it, and answer themselves when that fails. */
  readonly prefersLeader?: boolean;
  /** False: works before this netmaster has read the store. */
  readonly needsView?: boolean;
  /** Requests with another content type do not match (contract §1). */
  readonly needsJson?: boolean;
}

export function json(value: Rendered, headers: Readonly<Record<string, string>> = {}): Answer {
  return { is: "json", value, headers };
}
