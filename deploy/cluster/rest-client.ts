import { NetError } from "../../state/errors.ts";

const TIMEOUT_MS = 15_000;

/** A small client of netmaster's REST API, for the sandbox and the tests. */
export interface RestClient {
  get<T = unknown>(path: string): Promise<T>;
  post<T = unknown>(path: string, body: unknown): Promise<T>;
  /** A JSON merge patch. */
  patch<T = unknown>(path: string, body: unknown): Promise<T>;
  delete(path: string): Promise<void>;
}

export function restClient(baseUrl: string, timeoutMs = TIMEOUT_MS): RestClient {
  return {
    get: (path) => call({ baseUrl, timeoutMs }, "GET", path),
    post: (path, body) => call({ baseUrl, timeoutMs }, "POST", path, body),
    patch: (path, body) => call({ baseUrl, timeoutMs }, "PATCH", path, body),
    delete: async (path) => {
      await call({ baseUrl, timeoutMs }, "DELETE", path);
    },
  };
}

interface Server {
  readonly baseUrl: string;
  readonly timeoutMs: number;
}

async function call<T>({ baseUrl, timeoutMs }: Server, method: string, path: string, body?: unknown): Promise<T> {
  const request: RequestInit = {
    method,
    signal: AbortSignal.timeout(timeoutMs),
    headers: { accept: "application/json" },
  };
  if (body !== undefined) request.body = JSON.stringify(body);
  const response = await fetch(`${baseUrl}${path}`, request);
  const text = await response.text();
  if (response.ok) return (text === "" ? undefined : JSON.parse(text)) as T;
  throw new NetError(response.status === 404 ? "NOT_FOUND" : "REJECTED", `${method} ${path}: ${problemText(text)}`, {
    reason: String(response.status),
  });
}

function problemText(text: string): string {
  try {
    return (JSON.parse(text) as { detail?: string }).detail ?? text;
  } catch {
    return text;
  }
}
