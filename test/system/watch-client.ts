import { get } from "node:http";
import type { WatchMessage } from "../../state/node-api.ts";

/** What a node has learned from one watch stream. */
export interface WatchClient extends Disposable {
  /** `kind/key` of everything in scope. */
  readonly known: ReadonlySet<string>;
  readonly messages: readonly WatchMessage[];
  isSynced(): boolean;
  hasEnded(): boolean;
}

/** Opens a node's watch stream and does with it what a node does. */
export function openWatch(nodeApiUrl: string, nodeName: string): WatchClient {
  const known = new Set<string>();
  const messages: WatchMessage[] = [];
  let isSynced = false;
  let hasEnded = false;
  let rest = "";
  const request = get(`${nodeApiUrl}/node/v1/nodes/${nodeName}/watch`, (response) => {
    response.setEncoding("utf8");
    response.on("data", (text: string) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) take(JSON.parse(line) as WatchMessage);
    });
    response.on("close", () => {
      hasEnded = true;
    });
    response.on("error", () => undefined);
  });
  request.on("error", () => {
    hasEnded = true;
  });
  function take(message: WatchMessage): void {
    messages.push(message);
    if (message.type === "put") known.add(`${message.kind}/${message.key}`);
    if (message.type === "delete") known.delete(`${message.kind}/${message.key}`);
    if (message.type === "synced") isSynced = true;
  }
  return {
    known,
    messages,
    isSynced: () => isSynced,
    hasEnded: () => hasEnded,
    [Symbol.dispose]: () => request.destroy(),
  };
}
