import { mkdtemp, rm } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { NetError } from "../../state/errors.ts";
import type { CniHandler } from "./handler.ts";
import { encodeFrame, parseAnswer } from "./protocol.ts";
import type { AddRequest } from "./request.ts";
import { type CniResult, NO_DNS } from "./result.ts";
import type { AnsweredCall, CniLimits } from "./serve.ts";
import { type CniServer, type CniServerOptions, startCniServer } from "./server.ts";
import { CONFIG } from "./testing/calls.ts";
import { frameOf, received } from "./testing/frames.ts";

const RESULT: CniResult = {
  interfaces: [
    { name: "cvp1", mac: undefined, mtuBytes: 1450, sandbox: undefined },
    { name: "eth0", mac: "02:02:0a:01:01:02", mtuBytes: 1450, sandbox: "/run/netns/pod" },
  ],
  ips: [{ address: "10.1.1.2/24", gateway: "10.1.1.1", interfaceIndex: 1 }],
  routes: [],
  dns: NO_DNS,
};

let directory: string;
let stop: AbortController;
let servers: CniServer[];
let observed: AnsweredCall[];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "cni-server-"));
  stop = new AbortController();
  servers = [];
  observed = [];
});

afterEach(async () => {
  await Promise.all(servers.map((server) => server.close()));
  await rm(directory, { recursive: true, force: true });
});

const silent = { info() {}, warn() {} };

async function start(
  handler: Partial<CniHandler> = {},
  limits: Partial<CniLimits> = {},
  options: Partial<CniServerOptions> = {},
) {
  const whole: CniHandler = {
    async add() {
      return RESULT;
    },
    async del() {},
    async check() {},
    async gc() {},
    async status() {},
    ...handler,
  };
  const server = await startCniServer({
    socketPath: join(directory, "cni.sock"),
    handler: whole,
    signal: stop.signal,
    log: silent,
    limits: { drainTimeoutMs: 300, ...limits },
    observe: (call) => observed.push(call),
    checkNetns: async () => {},
    ...options,
  });
  servers.push(server);
  return server;
}

interface Reply {
  readonly exitStatus: number;
  readonly body: string;
  readonly json: Record<string, unknown>;
}

function open(): Socket {
  return connect({ path: join(directory, "cni.sock"), allowHalfOpen: true });
}

async function send(bytes: Buffer): Promise<Reply> {
  const socket = open();
  socket.end(bytes);
  const { exitStatus, body } = parseAnswer(await received(socket));
  return { exitStatus, body, json: body === "" ? {} : JSON.parse(body) };
}

function call(command: string, env: Record<string, string> = {}, config: object = {}): Promise<Reply> {
  return send(frameOf(command, env, config));
}

async function until(condition: () => boolean): Promise<void> {
  for (let tries = 0; !condition(); tries++) {
    if (tries > 500) throw new Error("condition never came true");
    await sleep(5);
  }
}

describe("calls", () => {
  it("ADD prints the handler's result in the configuration's version", async () => {
    await start();
    const reply = await call("ADD");
    expect(reply.exitStatus).toBe(0);
    expect(reply.json).toEqual({
      cniVersion: "1.0.0",
      interfaces: [{ name: "cvp1" }, { name: "eth0", mac: "02:02:0a:01:01:02", sandbox: "/run/netns/pod" }],
      ips: [{ address: "10.1.1.2/24", gateway: "10.1.1.1", interface: 1 }],
      routes: [],
      dns: {},
    });
    expect((await call("ADD", {}, { cniVersion: "0.2.0" })).json).toMatchObject({
      cniVersion: "0.2.0",
      ip4: { ip: "10.1.1.2/24" },
    });
  });

  it("ADD keeps prevResult and takes DNS from the runtime", async () => {
    await start();
    const prevResult = { interfaces: [{ name: "lo" }], ips: [], routes: [{ dst: "10.9.0.0/16" }] };
    const reply = await call("ADD", {}, { prevResult, runtimeConfig: { dns: { Servers: ["10.0.0.10"] } } });
    expect(reply.json).toMatchObject({
      interfaces: [{ name: "lo" }, { name: "cvp1" }, { name: "eth0" }],
      ips: [{ interface: 2 }],
      routes: [{ dst: "10.9.0.0/16" }],
      dns: { nameservers: ["10.0.0.10"] },
    });
  });

  it("the others print nothing on success", async () => {
    const seen: string[] = [];
    await start({
      del: async (request) => void seen.push(`${request.command} ${request.netns}`),
      check: async (request) => void seen.push(`${request.command} ${request.prevResult.ips.length}`),
      gc: async (request) => void seen.push(`${request.command} ${request.validAttachments.length}`),
      status: async (request) => void seen.push(request.command),
    });
    const v11 = { cniVersion: "1.1.0", "cni.dev/valid-attachments": [], prevResult: {} };
    for (const command of ["DEL", "CHECK", "GC", "STATUS"]) {
      expect(await call(command, { CNI_NETNS: command === "DEL" ? "" : "/n" }, v11)).toMatchObject({
        exitStatus: 0,
        body: "",
      });
    }
    expect(seen).toEqual(["DEL undefined", "CHECK 0", "GC 0", "STATUS"]);
    expect(observed).toMatchObject([
      { command: "DEL", cniCode: 0 },
      { command: "CHECK" },
      { command: "GC" },
      { command: "STATUS" },
    ]);
  });

  it("VERSION is answered here too", async () => {
    await start();
    expect((await call("VERSION")).json).toMatchObject({
      cniVersion: "1.0.0",
      supportedVersions: expect.arrayContaining(["0.1.0", "1.1.0"]),
    });
  });

  it.each([
    [new NetError("NOT_FOUND", 'Network "x" does not exist in tenant "t"'), 100],
    [new NetError("UNAVAILABLE", "netmaster is away"), 11],
    [new TypeError("oops"), 999],
  ])("a failing handler gives a CNI error: %s", async (thrown, code) => {
    await start({ add: () => Promise.reject(thrown) });
    const reply = await call("ADD", {}, { cniVersion: "0.4.0" });
    expect(reply.exitStatus).toBe(1);
    expect(reply.json).toMatchObject({ cniVersion: "0.4.0", code, msg: thrown.message });
    expect(observed).toMatchObject([{ command: "ADD", cniCode: code }]);
  });

  it("the kernel is asked about CNI_NETNS before ADD, not before DEL", async () => {
    await start({}, {}, { checkNetns: () => Promise.reject(new NetError("INVALID", "no such namespace")) });
    expect((await call("ADD")).json).toMatchObject({ msg: "no such namespace" });
    expect((await call("CHECK", {}, { prevResult: {} })).exitStatus).toBe(1);
    expect((await call("DEL")).exitStatus).toBe(0);
  });
});

describe("order", () => {
  it("is kept for one attachment, while others go on", async () => {
    const order: string[] = [];
    const slowly = async (text: string): Promise<void> => {
      order.push(`${text} begins`);
      await sleep(40);
      order.push(`${text} ends`);
    };
    await start({
      add: async ({ containerId }) => slowly(`ADD ${containerId}`).then(() => RESULT),
      del: async ({ containerId }) => slowly(`DEL ${containerId}`),
    });
    const calls = [call("ADD")];
    await until(() => order.length === 1);
    calls.push(call("DEL"));
    await sleep(10);
    calls.push(call("ADD", { CNI_CONTAINERID: "c2" }));
    await Promise.all(calls);
    expect(order.filter((line) => line.includes("c1"))).toEqual([
      "ADD c1 begins",
      "ADD c1 ends",
      "DEL c1 begins",
      "DEL c1 ends",
    ]);
    expect(order.indexOf("ADD c2 begins")).toBeLessThan(order.indexOf("ADD c1 ends"));
  });

  it("no more than activeMax work at once; all are answered", async () => {
    let running = 0;
    let most = 0;
    const server = await start(
      {
        async add() {
          running += 1;
          most = Math.max(most, running);
          await sleep(5);
          running -= 1;
          return RESULT;
        },
      },
      { activeMax: 4 },
    );
    const replies = await Promise.all(
      Array.from({ length: 40 }, (_, index) => call("ADD", { CNI_CONTAINERID: `c${index}` })),
    );
    expect(replies.every((reply) => reply.exitStatus === 0)).toBe(true);
    expect(most).toBe(4);
    await until(() => server.load().connections === 0);
    expect(server.load()).toEqual({ connections: 0, active: 0, waiting: 0 });
  });

  it("a connection too many is told to try again", async () => {
    await start({}, { connectionsMax: 2 });
    const idle = [open(), open()];
    await sleep(20);
    const reply = await call("DEL");
    expect(reply).toMatchObject({
      exitStatus: 1,
      json: { code: 11, msg: expect.stringMatching(/2 CNI calls in hand/) },
    });
    for (const socket of idle) socket.destroy();
    await sleep(20);
    expect((await call("DEL")).exitStatus).toBe(0);
  });
});

describe("clients that go away", () => {
  const hang = (aborted: (reason: unknown) => void) => (_: unknown, signal: AbortSignal) =>
    new Promise<never>((_resolve, reject) => {
      signal.addEventListener("abort", () => {
        aborted(signal.reason);
        reject(signal.reason);
      });
    });

  it("abort their ADD", async () => {
    let reason: unknown;
    await start({ add: hang((why) => (reason = why)) });
    const socket = open();
    socket.end(frameOf("ADD"));
    await sleep(50);
    expect(reason).toBeUndefined(); // the half-close alone says nothing
    socket.destroy();
    await until(() => reason !== undefined);
    expect(reason).toMatchObject({ code: "UNAVAILABLE", message: expect.stringMatching(/given up by its caller/) });
  });

  it("have an ADD undone that succeeded all the same, before the next call on it", async () => {
    const order: string[] = [];
    let finish: () => void = () => {};
    await start({
      add: () =>
        new Promise((resolve) => {
          order.push("add");
          finish = () => resolve(RESULT);
        }),
      del: async ({ netns }) => void order.push(`del ${netns}`),
    });
    const socket = open();
    socket.end(frameOf("ADD"));
    await until(() => order.length === 1);
    socket.destroy();
    const del = call("DEL", { CNI_NETNS: "" });
    await sleep(20);
    finish();
    expect((await del).exitStatus).toBe(0);
    expect(order).toEqual(["add", "del /run/netns/pod", "del undefined"]);
  });

  it("do not stop a DEL", async () => {
    let state = "idle";
    await start({
      async del(_, signal) {
        state = "working";
        await sleep(600, undefined, { signal });
        state = "done";
      },
    });
    const socket = open();
    socket.end(frameOf("DEL"));
    await until(() => state === "working");
    socket.destroy();
    await until(() => state !== "working");
    expect(state).toBe("done");
  });
});

describe("deadlines", () => {
  it("answer a call whose handler hangs, and keep its turn until it has come to rest", async () => {
    const order: string[] = [];
    await start(
      {
        async add(_, signal) {
          await new Promise((resolve) => signal.addEventListener("abort", resolve));
          await sleep(80);
          order.push("add undone");
          throw signal.reason;
        },
        async del() {
          order.push("del");
        },
      },
      { requestTimeoutMs: 100 },
    );
    const reply = await call("ADD");
    expect(reply.json).toMatchObject({ code: 11, msg: expect.stringMatching(/ADD was not done within 100 ms/) });
    expect(order).toEqual([]);
    expect((await call("DEL")).exitStatus).toBe(0);
    expect(order).toEqual(["add undone", "del"]);
  });

  it("end a client that never finishes its call", async () => {
    await start({}, { readTimeoutMs: 50 });
    const socket = open();
    socket.write("CNI_COMMAND=ADD\0");
    const { exitStatus, body } = parseAnswer(await received(socket));
    expect(exitStatus).toBe(1);
    expect(JSON.parse(body)).toMatchObject({
      code: 5,
      msg: expect.stringMatching(/not complete within 50 ms; end the writing side/),
    });
  });

  it("end a client that never takes its answer", async () => {
    const server = await start({}, { writeTimeoutMs: 50 });
    const socket = open();
    socket.pause();
    socket.write(frameOf("ADD", {}, { args: { labels: { a: "b" } } }));
    socket.end();
    await until(() => observed.length === 1);
    await until(() => server.load().connections === 0);
    socket.destroy();
  });
});

describe("bad bytes", () => {
  it("too many of them get error 7, before all are sent", async () => {
    await start();
    const socket = open();
    socket.write(Buffer.concat([frameOf("ADD"), Buffer.alloc(1_200_000, " ")]));
    const { exitStatus, body } = parseAnswer(await received(socket));
    expect(exitStatus).toBe(1);
    expect(JSON.parse(body)).toMatchObject({ code: 7, msg: expect.stringMatching(/exceeds 1048576 bytes/) });
  });

  it("1 MiB of configuration is served", async () => {
    await start();
    const padding = "x".repeat(1_048_576 - JSON.stringify({ ...CONFIG, padding: "" }).length);
    expect((await call("ADD", {}, { padding })).exitStatus).toBe(0);
    expect((await call("ADD", {}, { padding: `${padding}x` })).json).toMatchObject({ code: 7 });
  });

  it("a connection without any is closed without an answer", async () => {
    await start();
    const socket = open();
    socket.end();
    expect(await received(socket)).toHaveLength(0);
    expect(observed).toEqual([]);
  });

  const bytes = fc.oneof(
    fc.uint8Array({ minLength: 1, maxLength: 300 }).map((array) => Buffer.from(array)),
    fc.string({ unit: "binary", minLength: 1 }).map((text) => Buffer.from(`CNI_COMMAND=ADD\0\0${text}`)),
    fc
      .tuple(fc.string({ unit: "binary" }), fc.string({ unit: "binary" }))
      .map(([id, name]) => frameOf("ADD", { CNI_CONTAINERID: id, CNI_IFNAME: name })),
    fc.json().map((text) => encodeFrame([["CNI_COMMAND", "STATUS"]], text)),
    fc
      .tuple(fc.constantFrom("args", "runtimeConfig", "prevResult", "mtu", "name", "cniVersion"), fc.jsonValue())
      .map(([member, value]) => frameOf("ADD", {}, { [member]: value })),
    fc.tuple(fc.constant(frameOf("ADD")), fc.nat(100), fc.nat(255)).map(([frame, at, byte]) => {
      const copy = Buffer.from(frame);
      copy[at] = byte;
      return copy;
    }),
  );

  it("never bring the server down: every call gets a document or a CNI error", async () => {
    await start();
    await fc.assert(
      fc.asyncProperty(bytes, async (garbage) => {
        const { exitStatus, json } = await send(garbage);
        if (exitStatus === 0) return;
        expect(exitStatus).toBe(1);
        expect(json).toMatchObject({
          cniVersion: expect.any(String),
          code: expect.any(Number),
          msg: expect.stringMatching(/./),
        });
        expect(json.code).not.toBe(999);
      }),
      { numRuns: 400 },
    );
    expect((await call("ADD")).exitStatus).toBe(0);
  });

  it("nor do clients that break off anywhere", async () => {
    const server = await start();
    await fc.assert(
      fc.asyncProperty(fc.nat(200), fc.boolean(), fc.nat(3), async (length, halfClose, delayMs) => {
        const socket = open().on("error", () => {});
        await new Promise((resolve) => socket.once("connect", resolve));
        const part = frameOf("ADD").subarray(0, length);
        if (halfClose) socket.end(part);
        else socket.write(part);
        await sleep(delayMs);
        socket.destroy();
      }),
      { numRuns: 100 },
    );
    await until(() => server.load().connections === 0);
    expect((await call("ADD")).exitStatus).toBe(0);
  });
});

describe("shutdown", () => {
  it("lets a call end and takes the socket away", async () => {
    let finish: () => void = () => {};
    const server = await start({ add: () => new Promise((resolve) => (finish = () => resolve(RESULT))) });
    const reply = call("ADD");
    await until(() => server.load().active === 1);
    stop.abort();
    await sleep(20);
    await expect(call("DEL")).rejects.toThrow();
    finish();
    expect((await reply).exitStatus).toBe(0);
    await server.close();
    expect(server.load().connections).toBe(0);
  });

  it("aborts what does not end, and cuts idle clients at once", async () => {
    const server = await start({
      add: (_, signal) =>
        new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
    });
    const idle = open();
    const idleEnds = received(idle);
    const reply = call("ADD");
    await until(() => server.load().active === 1);
    const closed = server.close();
    expect(await idleEnds).toHaveLength(0);
    expect((await reply).json).toMatchObject({ code: 11, msg: expect.stringMatching(/netplugin is stopping/) });
    await closed;
  });

  it("does not wait for ever", async () => {
    const server = await start({ add: (_: AddRequest) => new Promise<never>(() => {}) }, { drainTimeoutMs: 50 });
    const reply = call("ADD");
    await until(() => server.load().active === 1);
    await server.close();
    expect((await reply).json).toMatchObject({ code: 11 });
  });
});
