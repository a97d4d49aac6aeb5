import { connect, type Socket } from "node:net";
import { asNetError, NetError } from "../../../state/errors.ts";
import { type CallOptions, waitFor } from "../../../state/waiting/limit.ts";
import { createFramer, type Framer } from "./framing.ts";
import { ovsdbLimit } from "./limit.ts";
import { type Message, parseMessage, refusal } from "./messages.ts";

/** Bounds of a session; every one has a default. */
export interface SessionLimits {
  /** Longest message accepted. */
  readonly maxMessageBytes: number;
  /** Calls that may wait for their answers at once. */
  readonly maxPendingCalls: number;
  /** Bytes that may wait for the peer to read them. */
  readonly maxUnsentBytes: number;
  /** Silence after which the peer is asked for an echo; it is given up after as long again. */
  readonly probeIntervalMs: number;
  /** Deadline of a call that names none. */
  readonly callTimeoutMs: number;
}

export const DEFAULT_LIMITS: SessionLimits = {
  maxMessageBytes: 64 * 1024 * 1024,
  maxPendingCalls: 1_024,
  maxUnsentBytes: 16 * 1024 * 1024,
  probeIntervalMs: 5_000,
  callTimeoutMs: 10_000,
};

interface PendingCall {
  readonly method: string;
  settle(outcome: { readonly result: unknown } | { readonly error: NetError }): void;
}

/** Our own echo carries this id, calls carry numbers. */
const PROBE_ID = "probe";

/** Opens a JSON-RPC 1.0 session on a UNIX socket; notifications go to `onNotification` in the order they came. */
export async function openSession(
  socketPath: string,
  options: CallOptions & {
    readonly limits: SessionLimits;
    readonly onNotification: (method: string, params: readonly unknown[]) => void;
  },
): Promise<Session> {
  const deed = `connect to OVSDB at ${socketPath}`;
  const socket = connect({ path: socketPath });
  try {
    await waitFor<void>(ovsdbLimit(deed, options), (resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", (error) => reject(asNetError(error, deed, "UNAVAILABLE")));
    });
  } catch (thrown) {
    socket.on("error", () => {}); // the failure is already being reported
    socket.destroy();
    throw thrown;
  }
  return new Session(socket, socketPath, options.limits, options.onNotification);
}

/** Calls and notifications over one socket. It ends once, for one reason, and then refuses everything. */
export class Session {
  /** Resolves when the session has ended: with the reason, or with nothing when we closed it. Never rejects. */
  readonly closed: Promise<NetError | undefined>;
  readonly #socket: Socket;
  readonly #peer: string;
  readonly #limits: SessionLimits;
  readonly #onNotification: (method: string, params: readonly unknown[]) => void;
  readonly #framer: Framer;
  readonly #pending = new Map<number, PendingCall>();
  #lastId = 0;
  #ended: { readonly reason: NetError | undefined } | undefined;
  #resolveClosed: (reason: NetError | undefined) => void = () => {};
  #probeTimer: NodeJS.Timeout | undefined;
  #heard = false;
  #probing = false;

  constructor(
    socket: Socket,
    peer: string,
    limits: SessionLimits,
    onNotification: (method: string, params: readonly unknown[]) => void,
  ) {
    this.#socket = socket;
    this.#peer = peer;
    this.#limits = limits;
    this.#onNotification = onNotification;
    this.#framer = createFramer(limits.maxMessageBytes);
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    socket.on("data", (chunk: Buffer) => this.#onData(chunk));
    socket.on("error", (error) => this.end(asNetError(error, `talk to OVSDB at ${peer}`, "UNAVAILABLE")));
    socket.on("close", () => this.end(new NetError("UNAVAILABLE", `OVSDB at ${peer} closed the connection`)));
    this.#armProbe();
  }

  /**
   * Calls a method. `accept` reads the result in the turn in which it came, before any later message is looked at.
   * When the session ends first the outcome is unknown: UNAVAILABLE with the reason `outcome-unknown`.
   */
  async call<T>(
    method: string,
    params: readonly unknown[],
    options: CallOptions & { readonly accept: (result: unknown) => T },
  ): Promise<T> {
    this.#checkRoom(method);
    const id = ++this.#lastId;
    const deed = `get an answer to "${method}" from OVSDB at ${this.#peer}`;
    try {
      return await waitFor<T>(ovsdbLimit(deed, options, this.#limits.callTimeoutMs), (resolve, reject) => {
        this.#pending.set(id, {
          method,
          settle: (outcome) => {
            if ("error" in outcome) return reject(outcome.error);
            try {
              resolve(options.accept(outcome.result));
            } catch (thrown) {
              reject(asNetError(thrown, `read the answer to "${method}"`));
            }
          },
        });
        this.#send({ method, params, id });
      });
    } finally {
      if (this.#pending.delete(id) && method === "transact") this.#send({ method: "cancel", params: [id], id: null });
    }
  }

  get isOpen(): boolean {
    return this.#ended === undefined;
  }

  /** Ends the session for that reason, or in peace; only the first end counts. */
  end(reason: NetError | undefined): void {
    if (this.#ended !== undefined) return;
    this.#ended = { reason };
    clearTimeout(this.#probeTimer);
    this.#socket.destroy();
    const calls = [...this.#pending.values()];
    this.#pending.clear();
    for (const { method, settle } of calls) settle({ error: this.#lost(method, reason) });
    this.#resolveClosed(reason);
  }

  #lost(method: string, reason: NetError | undefined): NetError {
    if (reason === undefined)
      return new NetError("CLOSED", `Cannot get an answer to "${method}": the connection was closed`);
    const text = `OVSDB at ${this.#peer} went away before it answered "${method}": ${reason.message}`;
    return new NetError("UNAVAILABLE", text, { cause: reason, reason: "outcome-unknown" });
  }

  #checkRoom(method: string): void {
    if (this.#ended !== undefined) {
      const { reason } = this.#ended;
      const text = `Cannot call "${method}": the connection to OVSDB at ${this.#peer} is closed`;
      if (reason === undefined) throw new NetError("CLOSED", text);
      throw new NetError("UNAVAILABLE", `${text}: ${reason.message}`, { cause: reason });
    }
    const { maxPendingCalls, maxUnsentBytes } = this.#limits;
    const full = this.#pending.size >= maxPendingCalls ? `${maxPendingCalls} calls wait for answers` : undefined;
    const stuck = this.#socket.writableLength > maxUnsentBytes ? `${maxUnsentBytes} bytes wait to be read` : undefined;
    const obstacle = full ?? stuck;
    if (obstacle === undefined) return;
    const text = `Cannot call "${method}" on OVSDB at ${this.#peer}: ${obstacle}`;
    throw new NetError("UNAVAILABLE", text, { reason: "too-many-calls" });
  }

  #send(message: unknown): void {
    if (this.#ended === undefined) this.#socket.write(JSON.stringify(message));
  }

  #onData(chunk: Buffer): void {
    this.#heard = true;
    try {
      for (const json of this.#framer.push(chunk)) {
        if (this.#ended === undefined) this.#onMessage(parseMessage(json));
      }
    } catch (thrown) {
      this.end(asNetError(thrown, `read what OVSDB at ${this.#peer} sent`));
    }
  }

  #onMessage(message: Message): void {
    switch (message.kind) {
      case "request":
        this.#onRequest(message.method, message.id, message.params);
        return;
      case "notification":
        this.#onNotification(message.method, message.params);
        return;
      case "reply":
        this.#answered(message.id)?.settle({ result: message.result });
        return;
      case "refusal": {
        const call = this.#answered(message.id);
        call?.settle({ error: refusal(`"${call.method}"`, message.error) });
        return;
      }
      default:
        throw new NetError("INTERNAL", `Forgotten case ${JSON.stringify(message satisfies never)}`);
    }
  }

  /** The call that a reply is for; none for our echo and for calls that were given up. */
  #answered(id: unknown): PendingCall | undefined {
    if (id === PROBE_ID) return undefined;
    if (typeof id !== "number" || !(id >= 1 && id <= this.#lastId)) {
      throw new NetError("PROTOCOL", `OVSDB at ${this.#peer} answered a call never made: ${JSON.stringify(id)}`);
    }
    const call = this.#pending.get(id);
    this.#pending.delete(id);
    return call;
  }

  /** RFC 7047 §4.1.11: both sides answer echo. */
  #onRequest(method: string, id: unknown, params: readonly unknown[]): void {
    if (this.#socket.writableLength > this.#limits.maxUnsentBytes) {
      throw new NetError("PROTOCOL", `OVSDB at ${this.#peer} asks without reading our answers`);
    }
    if (method === "echo") this.#send({ id, result: params, error: null });
    else this.#send({ id, result: null, error: "unknown method" });
  }

  #armProbe(): void {
    this.#probeTimer = setTimeout(() => this.#onProbeTimer(), this.#limits.probeIntervalMs);
  }

  #onProbeTimer(): void {
    if (this.#ended !== undefined) return;
    const silent = !this.#heard;
    this.#heard = false;
    if (silent && this.#probing) {
      // We may have been asleep ourselves: what came meanwhile is read before the peer is judged.
      setImmediate(() => this.#judge());
      return;
    }
    this.#probing = silent;
    if (silent) this.#send({ method: "echo", params: [], id: PROBE_ID });
    this.#armProbe();
  }

  #judge(): void {
    if (this.#ended !== undefined) return;
    if (!this.#heard) {
      const text = `OVSDB at ${this.#peer} has not answered an echo for ${this.#limits.probeIntervalMs} ms`;
      this.end(new NetError("TIMEOUT", text));
      return;
    }
    this.#probing = false;
    this.#armProbe();
  }
}
