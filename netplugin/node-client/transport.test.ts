import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openTransport, type Transport } from "./transport.ts";

const server = createServer((_request, response) => response.end("{}"));
let connections = 0;
let url = "";

beforeAll(async () => {
  server.on("connection", () => {
    connections += 1;
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterAll(() => {
  server.closeAllConnections();
  server.close();
});

const CALL = { signal: new AbortController().signal, timeoutMs: 5_000 };
const call = (transport: Transport) => transport.call("/", {}, CALL);

describe("connections to netmaster", () => {
  it("are used again, and made anew once their own address has left this machine", async () => {
    let own = new Set(["127.0.0.1"]);
    using transport = openTransport({ urls: [url], ownAddresses: () => own });
    const before = connections;
    await call(transport);
    transport.dropStale();
    await call(transport);
    expect(connections - before).toBe(1);
    own = new Set(["127.0.0.2"]);
    transport.dropStale();
    await call(transport);
    expect(connections - before).toBe(2);
  });

  it("of calls that hang end with the reason", async () => {
    const silent = createServer(() => {});
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    const urls = [`http://127.0.0.1:${(silent.address() as AddressInfo).port}`];
    using transport = openTransport({ urls, ownAddresses: () => new Set() });
    const arrived = new Promise((resolve) => silent.once("request", resolve));
    const hanging = call(transport);
    await arrived;
    transport.dropStale();
    await expect(hanging).rejects.toThrow(/no longer has the address 127\.0\.0\.1/);
    silent.closeAllConnections();
    silent.close();
  });
});
