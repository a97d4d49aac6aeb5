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

/** What a stream of these chunks gives on, until so many batches have come. */
async function batchesOf(chunks: readonly string[], count: number, mayTakeParts: boolean) {
  const url = await streamOf(...chunks);
  const batches: (readonly ViewMessage[])[] = [];
  const ending = new AbortController();
  using transport = openTransport({ urls: [url] });
  const following = followWatch({
    ...{ transport, nodeName: "n1", idleTimeoutMs: 2_000, signal: ending.signal },
    onStream: () => {},
    onMessages: (messages) => batches.push(messages),
    mayTakeParts: () => mayTakeParts,
    report: () => {},
  });
  await expect.poll(() => batches.length).toBe(count);
  ending.abort();
  await following;
  return batches;
}

describe("watch stream", () => {
  it.each([true, false])("gives on whole revisions only, however the bytes arrive (in parts: %s)", async (inParts) => {
    const chunks = [gone("a"), gone("b").slice(0, 20), gone("b").slice(20) + bookmark(5) + gone("c"), bookmark(6)];
    const batches = await batchesOf(chunks, 2, inParts);
    const keys = batches.map((batch) => batch.map((message) => ("key" in message ? message.key : message.type)));
    expect(keys).toEqual([
      ["a", "b", "bookmark"],
      ["c", "bookmark"],
    ]);
  });

  it("gives on a long first list in parts, and only that one", async () => {
    const list = Array.from({ length: 10_000 }, (_, index) => gone(`e${index}`));
    const chunks = [
      ...Array.from({ length: 10 }, (_, part) => list.slice(part * 1_000, part * 1_000 + 1_000).join("")),
      bookmark(5),
    ];
    const parts = await batchesOf(chunks, 3, true);
    expect(parts.flat().length).toBe(10_001);
    expect(Math.max(...parts.map((part) => part.length))).toBeLessThan(7_000);
    expect((await batchesOf(chunks, 1, false))[0]?.length).toBe(10_001);
  });
});
