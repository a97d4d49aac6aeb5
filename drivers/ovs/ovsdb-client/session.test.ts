import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { NetError } from "../../../state/errors.ts";
import { DEFAULT_LIMITS, openSession, type Session, type SessionLimits } from "./session.ts";

let folder: string;
let server: Server;
/** What the client wrote, and the socket to answer on. */
let peer: Socket;
let heard: string;
let session: Session;
const notifications: unknown[] = [];

async function open(limits: Partial<SessionLimits> = {}): Promise<void> {
  const socketPath = join(folder, "db.sock");
  const accepted = new Promise<Socket>((resolve) => server.once("connection", resolve));
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  session = await openSession(socketPath, {
    timeoutMs: 1_000,
    limits: { ...DEFAULT_LIMITS, ...limits },
    onNotification: (method, params) => notifications.push({ method, params }),
  });
  peer = await accepted;
  heard = "";
  peer.on("data", (chunk) => {
    heard += chunk.toString();
  });
  peer.on("error", () => {});
}

async function until(holds: () => boolean): Promise<void> {
  for (let i = 0; i < 400 && !holds(); i++) await delay(5);
  expect(holds()).toBe(true);
}

function call(method = "transact", options: { signal?: AbortSignal; timeoutMs?: number } = {}): Promise<unknown> {
  return session.call(method, [], { ...options, accept: (result) => result });
}

function failure(promise: Promise<unknown>): Promise<NetError> {
  return promise.then(
    () => expect.unreachable("it succeeded"),
    (thrown: unknown) => {
      expect(thrown).toBeInstanceOf(NetError);
      return thrown as NetError;
    },
  );
}

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "ovsdb-session-"));
  server = createServer();
  notifications.length = 0;
});

afterEach(async () => {
  session?.end(undefined);
  peer?.destroy();
  server.close();
  await rm(folder, { recursive: true, force: true });
});

describe("calls", () => {
  it("gives each caller its own answer, in whatever order they come", async () => {
    await open();
    const calls = [call(), call()];
    await until(() => heard.includes('"id":2'));
    peer.write('{"id":2,"result":"b","error":null}{"id":1,"result":"a","error":null}');
    expect(await Promise.all(calls)).toEqual(["a", "b"]);
  });

  it("carries the server's words", async () => {
    await open();
    const error = failure(call("monitor"));
    await until(() => heard.includes('"id":1'));
    peer.write('{"id":1,"error":{"error":"syntax error","details":"duplicate monitor ID"}}');
    expect(await error).toMatchObject({ code: "REJECTED", message: /"monitor": syntax error: duplicate monitor ID/ });
  });

  it("ends by its deadline, tells the server, and ignores the late answer", async () => {
    await open();
    expect(await failure(call("transact", { timeoutMs: 20 }))).toMatchObject({ code: "TIMEOUT" });
    await until(() => heard.includes('{"method":"cancel","params":[1],"id":null}'));
    peer.write('{"id":1,"result":"late","error":null}');
    const next = call();
    await until(() => heard.includes('"id":2'));
    peer.write('{"id":2,"result":"here","error":null}');
    expect(await next).toBe("here");
  });

  it("ends by its signal", async () => {
    await open();
    const controller = new AbortController();
    const error = failure(call("transact", { signal: controller.signal }));
    controller.abort();
    expect(await error).toMatchObject({ code: "CLOSED" });
    expect(await failure(call("transact", { signal: controller.signal }))).toMatchObject({ code: "CLOSED" });
  });

  it("are bounded in number", async () => {
    await open({ maxPendingCalls: 2 });
    const first = [failure(call()), failure(call())];
    expect(await failure(call())).toMatchObject({ code: "UNAVAILABLE", reason: "too-many-calls" });
    session.end(undefined);
    for (const error of await Promise.all(first)) expect(error.code).toBe("CLOSED");
  });

  it("are bounded in bytes that nobody reads", async () => {
    await open({ maxUnsentBytes: 100_000, maxPendingCalls: 100 });
    peer.pause();
    const large = () => session.call("transact", ["x".repeat(200_000)], { accept: (result) => result });
    const errors = [failure(large()), failure(large()), failure(large()), failure(large())];
    await until(() => heard !== undefined);
    const refused = await failure(call());
    expect(refused).toMatchObject({ code: "UNAVAILABLE", reason: "too-many-calls" });
    session.end(undefined);
    await Promise.all(errors);
  });

  it("leave the outcome open when the connection is lost", async () => {
    await open();
    const error = failure(call());
    await until(() => heard.includes('"id":1'));
    peer.destroy();
    expect(await error).toMatchObject({ code: "UNAVAILABLE", reason: "outcome-unknown" });
    expect(await session.closed).toMatchObject({ code: "UNAVAILABLE" });
    expect(await failure(call())).toMatchObject({ code: "UNAVAILABLE", reason: undefined });
  });

  it("are refused after we closed", async () => {
    await open();
    session.end(undefined);
    expect(await session.closed).toBeUndefined();
    expect(await failure(call())).toMatchObject({ code: "CLOSED" });
  });

  it("fail alone when their answer cannot be read", async () => {
    await open();
    const error = failure(session.call("transact", [], { accept: () => JSON.parse("?") }));
    await until(() => heard.includes('"id":1'));
    peer.write('{"id":1,"result":1,"error":null}');
    expect(await error).toMatchObject({ code: "INTERNAL" });
    expect(session.isOpen).toBe(true);
  });
});

describe("echo", () => {
  it("is answered, and other requests are refused", async () => {
    await open();
    peer.write('{"method":"echo","params":["x"],"id":"echo"}{"method":"reboot","params":[],"id":7}');
    await until(() => heard.includes('"id":7'));
    expect(heard).toBe('{"id":"echo","result":["x"],"error":null}{"id":7,"result":null,"error":"unknown method"}');
  });

  it("is sent when the peer is silent, and a peer that answers lives", async () => {
    await open({ probeIntervalMs: 20 });
    peer.on("data", () => peer.write('{"id":"probe","result":[],"error":null}'));
    await delay(200);
    expect(heard).toContain('{"method":"echo","params":[],"id":"probe"}');
    expect(session.isOpen).toBe(true);
  });

  it("finds a dead peer in bounded time", async () => {
    await open({ probeIntervalMs: 50 });
    const startMs = performance.now();
    expect(await session.closed).toMatchObject({ code: "TIMEOUT", message: /has not answered an echo/ });
    expect(performance.now() - startMs).toBeLessThan(1_000);
  });

  it("spares a peer that answered while we were asleep ourselves", async () => {
    await open({ probeIntervalMs: 50 });
    await until(() => heard.includes("probe"));
    peer.write('{"id":"probe","result":[],"error":null}');
    const wakeMs = performance.now() + 300;
    while (performance.now() < wakeMs); // the loop is held, so that timers and answer are due together
    await delay(10);
    expect(session.isOpen).toBe(true);
  });
});

describe("what is no protocol", () => {
  it.each([
    ["no JSON", "{]}"],
    ["stray bytes", "hello"],
    ["no message", '{"a":1}'],
    ["an answer to a call never made", '{"id":99,"result":1,"error":null}'],
    ["an answer to a name", '{"id":"x","result":1,"error":null}'],
    ["a message that is too long", `{"method":"${"x".repeat(2_000)}`],
  ])("ends the session: %s", async (_title, text) => {
    await open({ maxMessageBytes: 1_000 });
    const error = failure(call());
    await until(() => heard.includes('"id":1'));
    peer.write(text);
    expect(await session.closed).toMatchObject({ code: "PROTOCOL" });
    expect(await error).toMatchObject({ code: "UNAVAILABLE", reason: "outcome-unknown" });
  });

  it("is never more than an ended session, whatever the bytes", async () => {
    await open();
    server.close();
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.oneof(fc.uint8Array(), fc.json().map(Buffer.from)), { maxLength: 5 }),
        async (chunks) => {
          await rm(folder, { recursive: true, force: true });
          folder = await mkdtemp(join(tmpdir(), "ovsdb-session-"));
          server = createServer();
          await open();
          for (const chunk of chunks) peer.write(chunk);
          peer.end();
          const reason = await session.closed;
          expect(["PROTOCOL", "UNAVAILABLE"]).toContain(reason?.code);
          server.close();
        },
      ),
      { numRuns: 60 },
    );
  });
});

describe("openSession", () => {
  it("says what is missing", async () => {
    const opening = openSession(join(folder, "none.sock"), { limits: DEFAULT_LIMITS, onNotification: () => {} });
    expect(await failure(opening)).toMatchObject({
      code: "UNAVAILABLE",
      message: /^Cannot connect to OVSDB at .*none\.sock: .*ENOENT/,
    });
  });

  it("passes notifications on in order", async () => {
    await open();
    peer.write('{"method":"update","params":[1],"id":null}{"method":"update","params":[2],"id":null}');
    await until(() => notifications.length === 2);
    expect(notifications).toEqual([
      { method: "update", params: [1] },
      { method: "update", params: [2] },
    ]);
  });
});
