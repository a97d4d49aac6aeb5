import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import type { ViewMessage } from "../view/messages.ts";
import { openTransport } from "./transport.ts";
import { followWatch } from "./watch.ts";

let server: Server | undefined;

afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});

/** A netmaster that writes these pieces, each as one chunk, and then holds the stream open. */
async function streamOf(...pieces: readonly string[]): Promise<string> {
  const serving = createServer(async (_request, response) => {
    response.writeHead(200, { "content-type": "application/x-ndjson" });
    for (const piece of pieces) {
      response.write(piece);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  });
  server = serving;
  await new Promise<void>((resolve) => serving.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(serving.address() as AddressInfo).port}`;
}

const gone = (key: string) => `{"type":"delete","kind":"policy","key":"${key}","modRevision":"5"}\n`;
const bookmark = (revision: number) => `{"type":"bookmark","revision":"${revision}"}\n`;

describe("watch stream", () => {
  it("gives on whole revisions only, however the bytes arrive", async () => {
    const url = await streamOf(
      gone("a"),
      gone("b").slice(0, 20),
      gone("b").slice(20) + bookmark(5) + gone("c"),
      bookmark(6),
    );
    const batches: (readonly ViewMessage[])[] = [];
    const ending = new AbortController();
    using transport = openTransport({ urls: [url] });
    const following = followWatch({
      transport,
      nodeName: "n1",
      idleTimeoutMs: 2_000,
      signal: ending.signal,
      onStream: () => {},
      onMessages: (messages) => batches.push(messages),
      report: () => {},
    });
    await expect.poll(() => batches.length).toBe(2);
    ending.abort();
    await following;
    const keys = batches.map((batch) => batch.map((message) => ("key" in message ? message.key : message.type)));
    expect(keys).toEqual([
      ["a", "b", "bookmark"],
      ["c", "bookmark"],
    ]);
  });
});
