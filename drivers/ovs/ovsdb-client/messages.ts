import * as z from "zod";
import { NetError } from "../../../state/errors.ts";

/** What a peer may send (JSON-RPC 1.0 as RFC 7047 §4 uses it). */
export type Message =
  | { readonly kind: "request"; readonly id: unknown; readonly method: string; readonly params: readonly unknown[] }
  | { readonly kind: "notification"; readonly method: string; readonly params: readonly unknown[] }
  | { readonly kind: "reply"; readonly id: unknown; readonly result: unknown }
  | { readonly kind: "refusal"; readonly id: unknown; readonly error: ServerError };

/** A refusal in the server's words (RFC 7047 §3.1 `<error>`). */
export interface ServerError {
  readonly error: string;
  readonly details?: string | undefined;
  readonly syntax?: string | undefined;
}

const ServerErrorWire = z.union([
  z.string().transform((error): ServerError => ({ error })),
  z.object({ error: z.string(), details: z.string().optional(), syntax: z.string().optional() }),
]);

const Call = z.object({ method: z.string(), params: z.array(z.unknown()), id: z.unknown().optional() });
const Reply = z.object({ id: z.unknown(), result: z.unknown().optional(), error: z.unknown().optional() });

/** Tells requests, notifications and replies apart; anything else is a PROTOCOL error. */
export function parseMessage(json: unknown): Message {
  const call = Call.safeParse(json);
  if (call.success) {
    const { method, params, id } = call.data;
    return id === null || id === undefined
      ? { kind: "notification", method, params }
      : { kind: "request", id, method, params };
  }
  const reply = Reply.safeParse(json);
  if (!reply.success || reply.data.id === undefined || reply.data.id === null) throw unknownMessage(json);
  const { id, result, error } = reply.data;
  if (error === null || error === undefined) {
    if (result === undefined) throw unknownMessage(json);
    return { kind: "reply", id, result };
  }
  return { kind: "refusal", id, error: readServerError(error) };
}

/** The server's `<error>`; undefined when the value is none. */
export function asServerError(json: unknown): ServerError | undefined {
  const parsed = ServerErrorWire.safeParse(json);
  return parsed.success ? parsed.data : undefined;
}

function readServerError(json: unknown): ServerError {
  return asServerError(json) ?? { error: JSON.stringify(json) };
}

function unknownMessage(json: unknown): NetError {
  const text = (JSON.stringify(json) ?? "nothing").slice(0, 200);
  return new NetError("PROTOCOL", `The peer sent what is neither call nor reply: ${text}`);
}

/** A refusal as an error: the server's own words after what was asked, its `error` as the reason. */
export function refusal(deed: string, { error, details, syntax }: ServerError): NetError {
  const reason = error.replaceAll(" ", "-");
  const code = reason === "unknown-method" ? "UNSUPPORTED" : "REJECTED";
  const words = [error, details, syntax === undefined ? undefined : `in ${syntax.slice(0, 200)}`];
  const text = words.filter((word) => word !== undefined && word !== "").join(": ");
  return new NetError(code, `ovsdb-server refused ${deed}: ${text}`, { reason });
}
