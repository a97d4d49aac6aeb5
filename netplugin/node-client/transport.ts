import { readFileSync } from "node:fs";
import { type ClientRequest, Agent as HttpAgent, request as httpRequest, type IncomingMessage } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { networkInterfaces } from "node:os";
import { asNetError, type ErrorCode, NetError, STORE_FULL, textOf } from "../../state/errors.ts";
import { nameLookup } from "../../state/name-lookup.ts";
import { NodeApiError } from "../../state/node-api.ts";

export interface TlsFiles {
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
}

export interface TransportOptions {
  /** Base URLs of the netmasters; tried in turn, the last one that answered first. */
  readonly urls: readonly string[];
  readonly tls?: TlsFiles | undefined;
  /** The addresses that this machine has now. */
  readonly ownAddresses?: () => ReadonlySet<string>;
}

export interface CallOptions {
  readonly signal: AbortSignal;
  readonly timeoutMs: number;
}

/** HTTP to whichever netmaster answers. */
export interface Transport extends Disposable {
  /** Sends a JSON body; UNAVAILABLE when no netmaster answers in time, otherwise netmaster's own error. */
  call(path: string, body: unknown, options: CallOptions): Promise<unknown>;
  /** Opens a response that does not end; the caller destroys it. */
  stream(path: string, options: CallOptions): Promise<IncomingMessage>;
  /** Ends the connections from addresses that this machine has lost, and those that are being made: no answer would ever come over them, and nobody would say so. */
  dropStale(): void;
}

const MAX_REPLY_BYTES = 16 * 1024 * 1024;
const CODES = new Set<string>([
  ...["INVALID", "NOT_FOUND", "CONFLICT", "IN_USE", "IMMUTABLE", "EXHAUSTED", "UNSUPPORTED", "FORBIDDEN"],
  ...["PRECONDITION", "UNAVAILABLE", "TIMEOUT", "REJECTED", "PROTOCOL", "CLOSED", "INTERNAL"],
]);

/** Reads the TLS files once, with an error that names the file. */
function readTls(tls: TlsFiles) {
  const read = (file: string) => {
    try {
      return readFileSync(file);
    } catch (error) {
      throw asNetError(error, `read TLS file ${file}`, "INVALID");
    }
  };
  return { ca: read(tls.caFile), cert: read(tls.certFile), key: read(tls.keyFile), rejectUnauthorized: true };
}

/** Opens the transport; no connection is made before the first call. */
export function openTransport(options: TransportOptions): Transport {
  const tls = options.tls === undefined ? {} : readTls(options.tls);
  const agents = { http: new HttpAgent({ keepAlive: true }), https: new HttpsAgent({ keepAlive: true, ...tls }) };
  let preferred = 0;

  function open(base: string, path: string, body: string | undefined, call: CallOptions): Promise<IncomingMessage> {
    const url = new URL(path, base);
    const secure = url.protocol === "https:";
    const settings = {
      method: body === undefined ? "GET" : "POST",
      agent: secure ? agents.https : agents.http,
      signal: call.signal,
      lookup: nameLookup,
      headers: { accept: "application/json", ...(body === undefined ? {} : bodyHeaders(body)) },
    };
    return new Promise((resolve, reject) => {
      const outgoing: ClientRequest = secure ? httpsRequest(url, settings) : httpRequest(url, settings);
      // One that hangs must leave time for the others.
      const attemptMs = Math.ceil(call.timeoutMs / options.urls.length);
      // Not the request's own timeout, which does not run before the connection is there.
      const late = () => outgoing.destroy(new NetError("TIMEOUT", `it has not answered within ${attemptMs} ms`));
      const timer = setTimeout(late, attemptMs);
      outgoing.once("close", () => clearTimeout(timer));
      outgoing.once("error", reject);
      outgoing.once("response", (incoming) => {
        clearTimeout(timer);
        resolve(incoming);
      });
      outgoing.end(body);
    });
  }

  /** An answer of any kind ends the search; a netmaster that cannot be reached, or has no leader, lets the next one try. */
  async function search<T>(call: CallOptions, attempt: (base: string) => Promise<T>): Promise<T> {
    const failures: string[] = [];
    for (let tried = 0; tried < options.urls.length; tried++) {
      const index = (preferred + tried) % options.urls.length;
      const base = options.urls[index] ?? "";
      try {
        const answer = await attempt(base);
        preferred = index;
        return answer;
      } catch (error) {
        if (call.signal.aborted) throw asNetError(call.signal.reason, `reach netmaster at ${base}`, "TIMEOUT");
        if (error instanceof NetError && isFinal(error)) throw error;
        failures.push(`${base}: ${textOf(error)}`);
      }
    }
    throw new NetError("UNAVAILABLE", `No netmaster answers (${failures.join("; ")})`);
  }

  return {
    call: (path, body, call) =>
      search(call, async (base) => readReply(await open(base, path, JSON.stringify(body), call), call.timeoutMs)),
    stream: (path, call) =>
      search(call, async (base) => {
        const incoming = await open(base, path, undefined, call);
        if (incoming.statusCode !== 200) await readReply(incoming, call.timeoutMs);
        return incoming;
      }),
    dropStale: () => {
      const own = (options.ownAddresses ?? ownAddresses)();
      const pools = [agents.http, agents.https].flatMap(({ sockets, freeSockets }) => [sockets, freeSockets]);
      for (const socket of pools.flatMap((pool) => Object.values(pool).flatMap((each) => each ?? []))) {
        const from = socket.localAddress?.split("%")[0]; // absent while it is being connected
        if (from !== undefined && own.has(from)) continue;
        const reason =
          from === undefined
            ? "this machine's addresses have changed"
            : `this machine no longer has the address ${from}`;
        socket.destroy(new NetError("UNAVAILABLE", reason));
      }
    },
    [Symbol.dispose]: () => {
      agents.http.destroy();
      agents.https.destroy();
    },
  };
}

function ownAddresses(): ReadonlySet<string> {
  return new Set(Object.values(networkInterfaces()).flatMap((each) => (each ?? []).map(({ address }) => address)));
}

/** Another netmaster would answer the same. */
function isFinal({ code, reason }: NetError): boolean {
  return reason === STORE_FULL || (code !== "UNAVAILABLE" && code !== "TIMEOUT");
}

function bodyHeaders(body: string): Record<string, string | number> {
  return { "content-type": "application/json", "content-length": Buffer.byteLength(body) };
}

async function readReply(incoming: IncomingMessage, timeoutMs: number): Promise<unknown> {
  const timer = setTimeout(() => incoming.destroy(new NetError("TIMEOUT", "The reply did not end in time")), timeoutMs);
  try {
    const chunks: Buffer[] = [];
    let lengthBytes = 0;
    for await (const chunk of incoming as AsyncIterable<Buffer>) {
      lengthBytes += chunk.length;
      if (lengthBytes > MAX_REPLY_BYTES) throw new NetError("PROTOCOL", "netmaster's reply is larger than 16 MiB");
      chunks.push(chunk);
    }
    const text = Buffer.concat(chunks).toString("utf8");
    if (incoming.statusCode === 200) return JSON.parse(text);
    throw replyError(incoming.statusCode ?? 0, text);
  } finally {
    clearTimeout(timer);
  }
}

/** Rebuilds the error that netmaster raised. */
function replyError(status: number, text: string): NetError {
  const parsed = NodeApiError.safeParse(parseJson(text));
  if (!parsed.success || !CODES.has(parsed.data.code)) {
    return new NetError("UNAVAILABLE", `netmaster answers ${status}: ${text.slice(0, 200)}`);
  }
  const { code, message, reason, field } = parsed.data;
  return new NetError(code as ErrorCode, message, {
    ...(reason === undefined ? {} : { reason }),
    ...(field === undefined ? {} : { field }),
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // a proxy's page, or half an answer
  }
}
