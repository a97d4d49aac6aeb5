import { Agent, request as httpRequest } from "node:http";

export interface JsonReply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: unknown;
}

/** A plain HTTP client on kept connections, quick enough to load a server. */
export interface JsonClient extends Disposable {
  call(method: string, path: string, body?: unknown): Promise<JsonReply>;
}

const TIMEOUT_MS = 30_000;

export function jsonClient(baseUrl: string, maxConnections = 64): JsonClient {
  const agent = new Agent({ keepAlive: true, maxSockets: maxConnections });
  const { hostname, port } = new URL(baseUrl);
  return {
    call: (method, path, body) =>
      new Promise((resolve, reject) => {
        const text = body === undefined ? "" : JSON.stringify(body);
        const headers = {
          accept: "*/*",
          "content-type": "application/json",
          "content-length": Buffer.byteLength(text),
        };
        const request = httpRequest(
          { agent, host: hostname, port, method, path, headers, timeout: TIMEOUT_MS },
          (reply) => {
            const chunks: Buffer[] = [];
            reply.on("data", (chunk: Buffer) => chunks.push(chunk));
            reply.on("error", reject);
            reply.on("end", () =>
              resolve({
                status: reply.statusCode ?? 0,
                headers: reply.headers,
                body: parse(Buffer.concat(chunks).toString("utf8")),
              }),
            );
          },
        );
        request.on("timeout", () => request.destroy(new Error(`no answer to ${method} ${path} in ${TIMEOUT_MS} ms`)));
        request.on("error", reject);
        request.end(text);
      }),
    [Symbol.dispose]: () => agent.destroy(),
  };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
