import type { Socket } from "node:net";
import { asNetError, NetError } from "../../state/errors.ts";
import { deadline } from "../../state/waiting/deadline.ts";
import { type CallOptions, limitOf } from "../../state/waiting/limit.ts";
import { nextTurn } from "../../state/waiting/pause.ts";
import { openSocket } from "./openflow/handshake.ts";

const CONNECT_TIMEOUT_MS = 5_000;
/** What stands before the answer's text; a daemon that sends more is none. */
const MAX_HEAD_CHARACTERS = 1_024;
const MAX_LINE_CHARACTERS = 65_536;
const SLICE_MS = 4;

export interface Command {
  readonly socketPath: string;
  readonly command: string;
  readonly args: readonly string[];
}

/**
 * Runs one command at a daemon's control socket, on a connection of its own, and gives the lines of its answer as they come: an answer
 * of many megabytes would hold the event loop for long when it is parsed as one JSON text. REJECTED with the daemon's own text.
 */
export async function* unixctlLines(
  { socketPath, command, args }: Command,
  options: CallOptions & { readonly timeoutMs: number },
): AsyncGenerator<readonly string[]> {
  const doing = `run "${command}" at ${socketPath}`;
  using limit = deadline(options.timeoutMs, options.signal);
  const connecting = { signal: limit.signal, timeoutMs: CONNECT_TIMEOUT_MS };
  const socket = await openSocket(socketPath, limitOf(`connect to ${socketPath}`, connecting, CONNECT_TIMEOUT_MS));
  const end = () => socket.destroy(asNetError(limit.signal.reason, doing, "TIMEOUT"));
  limit.signal.addEventListener("abort", end, { once: true });
  try {
    socket.write(JSON.stringify({ id: 1, method: command, params: args }));
    yield* readAnswer(socket, doing);
  } catch (error) {
    throw asNetError(error, doing, "UNAVAILABLE");
  } finally {
    limit.signal.removeEventListener("abort", end);
    socket.destroy();
  }
}

async function* readAnswer(socket: Socket, doing: string): AsyncGenerator<readonly string[]> {
  const reader = createAnswerReader();
  let turnEndsMs = performance.now() + SLICE_MS;
  socket.setEncoding("utf8");
  for await (const chunk of socket as AsyncIterable<string>) {
    const lines = reader.push(chunk);
    if (lines.length > 0) yield lines;
    if (reader.isDone) return;
    if (performance.now() < turnEndsMs) continue;
    await nextTurn();
    turnEndsMs = performance.now() + SLICE_MS;
  }
  throw new NetError("UNAVAILABLE", `Cannot ${doing}: the daemon went away before its answer was complete`);
}

export interface AnswerReader {
  /** Takes text as it comes, gives the lines that it completes. Errors are final. */
  push(text: string): readonly string[];
  readonly isDone: boolean;
}

/**
 * Reads one JSON-RPC answer (lib/unixctl.c: `result` or `error` is a text, the other one null) piece by piece. A backslash before an
 * `n` of the text itself would be taken for the end of a line: no list of the datapath holds one.
 */
export function createAnswerReader(): AnswerReader {
  let rest = "";
  let kind: "result" | "error" | undefined;
  let isDone = false;

  function begin(): boolean {
    const head = /"(result|error)"\s*:\s*"/.exec(rest);
    if (head === null) {
      if (rest.length > MAX_HEAD_CHARACTERS)
        throw new NetError("PROTOCOL", "The daemon sent no answer that can be read");
      return false;
    }
    kind = head[1] as "result" | "error";
    rest = rest.slice(head.index + head[0].length);
    return true;
  }

  /** Of an error all text at once, of a result whole lines. */
  function takeText(): string[] {
    const endsAt = endOfString(rest);
    isDone = endsAt >= 0;
    const pieces = (isDone ? rest.slice(0, endsAt) : rest).split("\\n");
    if (!isDone && kind === "error") return [];
    rest = isDone ? "" : (pieces.pop() ?? "");
    return pieces.map(unquoted).filter((line) => line !== "");
  }

  return {
    push: (text) => {
      if (isDone) return [];
      rest += text;
      if (kind === undefined && !begin()) return [];
      const lines = takeText();
      if (rest.length > MAX_LINE_CHARACTERS) throw new NetError("PROTOCOL", "The daemon sent a line that is too long");
      if (kind === "error" && isDone) throw new NetError("REJECTED", lines.join(" ").trim());
      return lines;
    },
    get isDone() {
      return isDone;
    },
  };
}

/** Place of the quotation mark that ends the string; -1 while it has not come. */
function endOfString(text: string): number {
  for (let at = text.indexOf('"'); at >= 0; at = text.indexOf('"', at + 1)) {
    let escapes = 0;
    while (text[at - 1 - escapes] === "\\") escapes += 1;
    if (escapes % 2 === 0) return at;
  }
  return -1;
}

function unquoted(piece: string): string {
  return piece.includes("\\") ? (JSON.parse(`"${piece}"`) as string) : piece;
}
