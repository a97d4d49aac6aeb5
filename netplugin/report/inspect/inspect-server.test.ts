import { once } from "node:events";
import type { Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createMetrics } from "../metrics/metrics.ts";
import { startInspectServer } from "./inspect-server.ts";

let server: Server;

beforeAll(async () => {
  const none = () => 0;
  const metrics = createMetrics({
    ...{ flows: none, refusedObjects: none, endpoints: none, readyPorts: none, foreignFlows: none },
    ...{ isConnected: () => false, enforcedRevision: () => 0n, readyState: () => "starting" as const },
  });
  server = await startInspectServer({
    host: "127.0.0.1",
    port: 0,
    metrics,
    readiness: () => ({ state: "starting", reasons: ["x"], since: "" }),
    node: () => undefined,
  });
});

afterAll(() => server.close());

/** What comes back for bytes that no HTTP library would send. */
async function answerTo(target: string, method = "GET"): Promise<string> {
  const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
  await once(socket, "connect");
  socket.end(`${method} ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
  return text(socket);
}

describe("inspection before the node's parts are up", () => {
  it.each([
    ["/healthz", 200],
    ["/metrics", 200],
    ["/healthz?x=1", 200],
    ["/readyz", 503],
    ["/inspect/view", 503],
    ["/nothing", 404],
  ])("GET %s is answered with %i", async (target, status) => {
    expect(await answerTo(target)).toContain(`HTTP/1.1 ${status} `);
  });

  it("changes nothing", async () => expect(await answerTo("/healthz", "DELETE")).toContain("HTTP/1.1 405 "));

  it.each(["//", "///x", "/%zz", "http://[", "*", "/\\..\\", "//a:b@c:99999999/"])(
    "a target like %j is no path, and ends nothing",
    async (target) => {
      expect(await answerTo(target)).toMatch(/^HTTP\/1.1 4\d\d /);
      expect(await answerTo("/healthz")).toContain("HTTP/1.1 200 ");
    },
  );
});
