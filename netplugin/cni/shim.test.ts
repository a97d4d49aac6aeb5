import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { encodeFrame } from "./protocol.ts";
import { NO_DNS } from "./result.ts";
import { startCniServer } from "./server.ts";

const SOURCE = join(import.meta.dirname, "../../cni-shim");
const hasCompiler = ["musl-gcc", "gcc"].some((name) => spawnSync(name, ["--version"]).status === 0);

let directory: string;
let shim: string;
let socketPath: string;
let closers: (() => unknown)[];
let socketCount = 0;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "cni-shim-"));
  for (const name of ["contiv.c", "Makefile"]) copyFileSync(join(SOURCE, name), join(directory, name));
  closers = [];
  if (hasCompiler) execFileSync("make", ["-s", "-C", directory], { stdio: "pipe" });
  shim = join(directory, "contiv");
  newSocketPath();
});

afterEach(async () => {
  await Promise.all(closers.splice(0).map((close) => close()));
  newSocketPath();
});

afterAll(() => rmSync(directory, { recursive: true, force: true }));

function newSocketPath(): void {
  socketPath = join(directory, `${socketCount++}.sock`);
}

interface Run {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly durationMs: number;
}

const ENV = {
  CNI_COMMAND: "ADD",
  CNI_CONTAINERID: "c1",
  CNI_NETNS: "/run/netns/pod",
  CNI_IFNAME: "eth0",
  CNI_PATH: "/bin",
};
const CONFIG = '{"cniVersion":"0.4.0","name":"contiv","type":"contiv"}';

/** Runs the shim in an environment of its own. */
async function run(
  env: Record<string, string>,
  stdin: string | Buffer = CONFIG,
  started?: (child: ChildProcess) => void,
): Promise<Run> {
  const startMs = performance.now();
  const child = spawn(shim, { env: { CONTIV_CNI_SOCKET: socketPath, ...env }, stdio: "pipe" });
  const output = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const)
    child[name].setEncoding("utf8").on("data", (text: string) => (output[name] += text));
  child.stdin.on("error", () => {}).end(stdin);
  started?.(child);
  const status = await new Promise<number | null>((resolve) => child.once("close", resolve));
  return { status, ...output, durationMs: performance.now() - startMs };
}

/** A daemon that does with each connection what it is told; `received` is what came until the half-close. */
async function daemon(answer: (socket: Socket, received: Buffer) => unknown): Promise<Server> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const chunks: Buffer[] = [];
    socket.on("error", () => {}).on("data", (chunk) => chunks.push(chunk));
    socket.on("end", () => answer(socket, Buffer.concat(chunks)));
  });
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  closers.push(() => server.close());
  return server;
}

function expectError(result: Run, code: number, cniVersion = "0.4.0"): { msg: string; details: string } {
  expect(result.status).toBe(1);
  expect(result.stderr).toBe("");
  expect(result.stdout).toMatch(/^\{.*\}\n$/);
  const error = JSON.parse(result.stdout);
  expect(error).toEqual({ cniVersion, code, msg: expect.stringMatching(/./), details: expect.stringMatching(/./) });
  return error;
}

describe.skipIf(!hasCompiler)("shim", () => {
  it("is at most 120 lines of C and one static program", () => {
    expect(readFileSync(join(SOURCE, "contiv.c"), "utf8").trimEnd().split("\n").length).toBeLessThanOrEqual(120);
    const program = readFileSync(shim);
    expect(program.includes("ld-linux") || program.includes("ld-musl")).toBe(false);
  });

  it("installs by rename", () => {
    const install = () =>
      execFileSync("make", ["-s", "-C", directory, "install", `DESTDIR=${directory}/root`], { stdio: "pipe" });
    install();
    const target = join(directory, "root/opt/cni/bin/contiv");
    const before = statSync(target);
    expect(before.mode & 0o777).toBe(0o755);
    install();
    expect(statSync(target).ino).not.toBe(before.ino);
    expect(existsSync(join(directory, "root/opt/cni/bin/.contiv.new"))).toBe(false);
  });

  describe("VERSION", () => {
    it.each([
      ['{"cniVersion":"0.3.1"}', "0.3.1"],
      ["", "1.1.0"],
      ["junk", "1.1.0"],
      ['{"cniVersion":"1\\"0"}', "1.1.0"],
      [`{"cniVersion":"${"1".repeat(40)}"}`, "1.1.0"],
    ])("is answered without a daemon: %s", async (stdin, cniVersion) => {
      const result = await run({ CNI_COMMAND: "VERSION" }, stdin);
      expect(result).toMatchObject({ status: 0, stderr: "" });
      const supportedVersions = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];
      expect(JSON.parse(result.stdout)).toEqual({ cniVersion, supportedVersions });
      expect(result.durationMs).toBeLessThan(1_500);
    });
  });

  describe("with a daemon", () => {
    it("sends exactly the CNI_* variables and stdin, and prints exactly the body", async () => {
      const body = ' {"ü":"}\\"{", "a":[{}]}\n\n';
      let received: Buffer = Buffer.alloc(0);
      await daemon((socket, bytes) => {
        received = bytes;
        socket.end(Buffer.concat([Buffer.from([0]), Buffer.from(body)]));
      });
      const env = { CNI_COMMAND: "ADD", CNI_ARGS: "A=ö;B=", CNI_EMPTY: "" };
      expect(await run({ ...env, PATH: "/bin", XCNI_A: "1", cni_b: "2" })).toMatchObject({
        status: 0,
        stdout: body,
        stderr: "",
      });
      expect(received.toString()).toBe(encodeFrame(Object.entries(env), CONFIG).toString());
    });

    it.each([1, 7, 255])("exits with status %i when told so", async (status) => {
      await daemon((socket) => socket.end(Buffer.concat([Buffer.from([status]), Buffer.from('{"code":7}\n')])));
      expect(await run(ENV)).toMatchObject({ status, stdout: '{"code":7}\n' });
    });

    it.each(["DEL", "CHECK", "GC", "STATUS"])("prints nothing after a silent success of %s", async (command) => {
      await daemon((socket) => socket.end(Buffer.from([0])));
      expect(await run({ ...ENV, CNI_COMMAND: command })).toMatchObject({ status: 0, stdout: "", stderr: "" });
    });

    it("waits for a slow one that answers byte by byte", async () => {
      await daemon(async (socket) => {
        await sleep(500);
        for (const byte of Buffer.from('\0{"a": 1}')) {
          socket.write(Buffer.from([byte]));
          await sleep(5);
        }
        socket.end();
      });
      expect(await run(ENV)).toMatchObject({ status: 0, stdout: '{"a": 1}' });
    });

    it("waits for one that is just starting", async () => {
      const result = run(ENV);
      await sleep(400);
      await daemon((socket) => socket.end("\0{}"));
      expect(await result).toMatchObject({ status: 0, stdout: "{}" });
    });

    it("carries 1 MiB and not a byte more", async () => {
      let length = 0;
      await daemon((socket, bytes) => {
        length = bytes.length;
        socket.end("\0{}");
      });
      const config = Buffer.alloc(1_048_576, " ");
      config.write(CONFIG);
      expect(await run({ CNI_COMMAND: "ADD" }, config)).toMatchObject({ status: 0, stdout: "{}" });
      expect(length).toBe(config.length + "CNI_COMMAND=ADD\0\0".length);
      length = 0;
      const error = expectError(await run(ENV, Buffer.concat([config, Buffer.from(" ")])), 7);
      expect(error.msg).toMatch(/larger than 1 MiB/);
      expect(length).toBe(0);
    });

    it("prints a refusal that comes before all is sent", async () => {
      const server = createServer((socket) => {
        socket.on("error", () => {});
        socket.once("data", () => socket.end('\x01{"code":7}', () => socket.destroy()));
      });
      await new Promise<void>((resolve) => server.listen(socketPath, resolve));
      closers.push(() => server.close());
      expect(await run(ENV, Buffer.alloc(1_048_576, " "))).toMatchObject({ status: 1, stdout: '{"code":7}' });
    });

    it("survives a stdout that nobody reads", async () => {
      await daemon((socket) => socket.end(`\0{"a":"${"x".repeat(500_000)}"}`));
      const result = await run(ENV, CONFIG, (child) => child.stdout?.destroy());
      expect(result.status).toBe(1);
    });
  });

  describe("with half an answer", () => {
    it.each([
      ["nothing", ""],
      ["a status without a result", "\0"],
      ["an error without a document", "\x01"],
      ["half a document", '\0{"cniVersion":"1.0.0","inter'],
      ["a document but for its last bracket", '\0{"ips":[{"address":"10.0.0.1/8"}]'],
      ["a bracket inside a string", '\0{"a":"}'],
      ["two documents", "\0{}{}"],
      ["a list", "\0[]"],
      ["text", "\0hello"],
      ["a bracket too many", "\0{}}"],
      ["an answer over 4 MiB", `\0{"a":"${"x".repeat(4_194_304)}"}`],
    ])("%s: error 11", async (_, answer) => {
      await daemon((socket) => socket.end(answer));
      expect(expectError(await run(ENV), 11).msg).toMatch(/the answer is not whole/);
    });

    it("from a daemon that dies: error 11", async () => {
      await daemon((socket) => {
        socket.write('\0{"a":');
        setTimeout(() => socket.destroy(), 30);
      });
      const error = expectError(await run(ENV), 11);
      expect(error.msg).toContain(socketPath);
      expect(error.details).toMatch(/see that netplugin runs/);
    });

    it("or none until the alarm: error 11", async () => {
      await daemon(() => {});
      const result = await run(ENV, CONFIG, (child) => setTimeout(() => child.kill("SIGALRM"), 200));
      expect(expectError(result, 11).msg).toMatch(/no answer within 120 s/);
    });
  });

  describe("without a daemon", () => {
    const away = () => join(directory, "away.sock");
    it.concurrent.each<[string, number, string, string]>([
      ["ADD", 11, CONFIG, "0.4.0"],
      ["DEL", 11, '{"prevResult":{"cniVersion":"9.9.9"},"name":"cniVersion", "cniVersion" : "1.0.0"}', "1.0.0"],
      ["STATUS", 50, '{"a":"\\"cniVersion\\":\\"5\\"","cniVersion":"1.1.0"}', "1.1.0"],
      ["CHECK", 11, "garbage", "0.1.0"],
      ["GC", 11, '{"cniVersion":5}', "0.1.0"],
    ])("%s fails with error %i in the configuration's version, within 4 s", async (command, code, stdin, version) => {
      const result = await run({ ...ENV, CNI_COMMAND: command, CONTIV_CNI_SOCKET: away() }, stdin);
      const error = expectError(result, code, version);
      expect(error.msg).toContain(`socket ${away()}`);
      expect(error.msg).toContain("No such file or directory");
      expect(result.durationMs).toBeGreaterThan(1_500);
      expect(result.durationMs).toBeLessThan(4_000);
    });

    it.concurrent("a socket that is no socket fails the same way", async () => {
      expect(expectError(await run({ ...ENV, CONTIV_CNI_SOCKET: shim }), 11).msg).toContain("Connection refused");
    });

    it.concurrent("a socket path with odd characters stays JSON", async () => {
      const result = await run({ ...ENV, CONTIV_CNI_SOCKET: '/tmp/a"b\\c\nd\xe9' });
      expect(expectError(result, 11).msg).toContain("/tmp/a?b?c?d??");
    });

    it.concurrent("a socket path of 107 bytes, the longest, is tried", async () => {
      const longest = `/${"x".repeat(106)}`;
      expect(expectError(await run({ ...ENV, CONTIV_CNI_SOCKET: longest }), 11).msg).toContain(longest);
    });
  });

  describe("with a bad call", () => {
    it("socket path too long: error 4", async () => {
      expect(expectError(await run({ ...ENV, CONTIV_CNI_SOCKET: `/${"x".repeat(107)}` }), 4).msg).toMatch(
        /CONTIV_CNI_SOCKET/,
      );
    });

    it("too many variables: error 4", async () => {
      const half = "x".repeat(66_000);
      expect(expectError(await run({ ...ENV, CNI_ARGS: half, CNI_PATH: half }), 4).msg).toMatch(/larger than 128 KiB/);
    });

    it("no stdin: error 5", () => {
      const { status, stdout } = spawnSync("sh", ["-c", `exec '${shim}' <&-`], {
        env: { ...ENV, CONTIV_CNI_SOCKET: socketPath },
      });
      expect(status).toBe(1);
      expect(JSON.parse(stdout.toString())).toMatchObject({
        code: 5,
        msg: expect.stringMatching(/stdin: Bad file descriptor/),
      });
    });
  });

  describe("before the real server", () => {
    it("carries results, errors and its own death", async () => {
      const seen: string[] = [];
      const server = await startCniServer({
        socketPath: join(directory, "private", "cni.sock"),
        signal: new AbortController().signal,
        log: { info() {}, warn() {} },
        checkNetns: async () => {},
        handler: {
          add: ({ containerId }, signal) =>
            containerId === "hang"
              ? new Promise((_, reject) => signal.addEventListener("abort", () => reject(seen.push("undone"))))
              : Promise.resolve({ interfaces: [], ips: [], routes: [], dns: NO_DNS }),
          async del() {},
          async check() {},
          async gc() {},
          async status() {},
        },
      });
      closers.push(() => server.close());
      socketPath = join(directory, "private", "cni.sock");
      expect(JSON.parse((await run(ENV)).stdout)).toMatchObject({ cniVersion: "0.4.0", ips: [] });
      expect(await run({ ...ENV, CNI_COMMAND: "DEL", CNI_NETNS: "" })).toMatchObject({ status: 0, stdout: "" });
      const refused = await run({ ...ENV, CNI_IFNAME: "a/b" });
      expect(refused.status).toBe(1);
      expect(JSON.parse(refused.stdout)).toMatchObject({ cniVersion: "0.4.0", code: 4 });
      await run({ ...ENV, CNI_CONTAINERID: "hang" }, CONFIG, (child) => setTimeout(() => child.kill("SIGKILL"), 200));
      await sleep(600);
      expect(seen).toEqual(["undone"]);
    });
  });
});
