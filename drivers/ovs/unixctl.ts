import type { Socket } from "node:net";
import { asNetError, NetError } from "../../state/errors.ts";
import { type CallOptions, limitOf, waitFor } from "../../state/waiting/limit.ts";
import { openSocket } from "./openflow/handshake.ts";
import { createFramer } from "./ovsdb-client/framing.ts";

/** A connection to the control socket of an Open vSwitch daemon: what ovs-appctl(8) does, without a process per command. */
export interface Unixctl extends AsyncDisposable {
  /** Runs a command; REJECTED with the daemon's own text when it refuses. Answers come in the order of the questions. */
  call(command: string, args?: readonly string[], options?: CallOptions): Promise<string>;
}

const CONNECT_TIMEOUT_MS = 5_000;
const CALL_TIMEOUT_MS = 10_000;
/** A list of 100,000 connections has about 20 MB. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;
const MAX_PENDING = 1_024;

interface Waiter {
  readonly done: (result: string) => void;
  readonly fail: (error: NetError) => void;
}

/** Connects to `<rundir>/ovs-vswitchd.<pid>.ctl` or whatever `--unixctl` says. The options bound the connecting only. */
export async function connectUnixctl(socketPath: string, options: CallOptions = {}): Promise<Unixctl> {
  const socket = await openSocket(socketPath, limitOf(`connect to ${socketPath}`, options, CONNECT_TIMEOUT_MS));
  const waiters = new Map<number, Waiter>();
  const end = endOf(socket, waiters, socketPath);
  listen(socket, waiters, end);
  let lastId = 0;

  return {
    call: async (command, args = [], callOptions = {}) => {
      const doing = `run "${command}" at ${socketPath}`;
      if (socket.destroyed) throw new NetError("UNAVAILABLE", `Cannot ${doing}: the connection is closed`);
      if (waiters.size >= MAX_PENDING) throw new NetError("UNAVAILABLE", `Cannot ${doing}: ${waiters.size} calls wait`);
      const id = ++lastId;
      return waitFor<string>(limitOf(doing, callOptions, CALL_TIMEOUT_MS), (done, fail) => {
        waiters.set(id, { done, fail: (error) => fail(asNetError(error, doing)) });
        socket.write(JSON.stringify({ id, method: command, params: args }));
        return () => waiters.delete(id);
      });
    },
    [Symbol.asyncDispose]: async () => end(new NetError("CLOSED", `The connection to ${socketPath} has been closed`)),
  };
}

function endOf(socket: Socket, waiters: Map<number, Waiter>, socketPath: string): (reason?: NetError) => void {
  return (reason = new NetError("UNAVAILABLE", `The daemon behind ${socketPath} has gone away`)) => {
    socket.destroy();
    for (const { fail } of waiters.values()) fail(reason);
    waiters.clear();
  };
}

function listen(socket: Socket, waiters: Map<number, Waiter>, end: (reason?: NetError) => void): void {
  const framer = createFramer(MAX_ANSWER_BYTES);
  socket.on("data", (chunk: Buffer) => {
    try {
      for (const answer of framer.push(chunk)) deliver(answer, waiters);
    } catch (error) {
      end(asNetError(error, "read an answer of the daemon", "PROTOCOL"));
    }
  });
  socket.on("error", (error) => end(asNetError(error, "talk to the daemon", "UNAVAILABLE")));
  socket.on("close", () => end());
}

/** JSON-RPC 1.0 as lib/unixctl.c speaks it: `error` is a text or null. An answer that nobody waits for any more is dropped. */
function deliver(answer: unknown, waiters: Map<number, Waiter>): void {
  const { id, result, error } = answer as { id?: unknown; result?: unknown; error?: unknown };
  if (typeof id !== "number")
    throw new NetError("PROTOCOL", `The daemon sent an answer without id: ${JSON.stringify(answer)}`);
  const waiter = waiters.get(id);
  if (typeof error === "string") waiter?.fail(new NetError("REJECTED", error.trim()));
  else waiter?.done(typeof result === "string" ? result : "");
}
