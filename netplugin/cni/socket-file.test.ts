import { spawnSync } from "node:child_process";
import { chmod, lstat, mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { connect, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { listenAt } from "./socket-file.ts";

let directory: string;
let servers: Server[];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "cni-socket-"));
  servers = [];
});

afterEach(async () => {
  for (const server of servers) server.close();
  await rm(directory, { recursive: true, force: true });
});

function newServer(): Server {
  const server = createServer((socket) => socket.on("error", () => {}).end("hello"));
  servers.push(server);
  return server;
}

function greeting(path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = "";
    connect(path)
      .on("data", (chunk) => {
        text += chunk.toString();
      })
      .on("end", () => resolve(text))
      .on("error", reject);
  });
}

/** What a killed daemon leaves: a socket file at which nobody listens. */
function leaveStaleSocket(path: string): void {
  const script = `require("net").createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, "SIGKILL"))`;
  spawnSync(process.execPath, ["-e", script]);
}

describe("listenAt", () => {
  it("makes a private directory and socket, and takes only the socket away", async () => {
    const path = join(directory, "run", "contiv", "cni.sock");
    const file = await listenAt(newServer(), path);
    expect((await stat(join(directory, "run", "contiv"))).mode & 0o777).toBe(0o700);
    const socket = await lstat(path);
    expect(socket.isSocket()).toBe(true);
    expect(socket.mode & 0o777).toBe(0o600);
    expect(await greeting(path)).toBe("hello");
    servers[0]?.close();
    await file.remove();
    expect(await readdir(join(directory, "run", "contiv"))).toEqual([]);
    await file.remove();
  });

  it("replaces a dead daemon's socket, twice", async () => {
    const path = join(directory, "cni.sock");
    leaveStaleSocket(path);
    leaveStaleSocket(`${path}~`);
    expect((await lstat(path)).isSocket()).toBe(true);
    await listenAt(newServer(), path);
    expect(await greeting(path)).toBe("hello");
  });

  it("leaves a living daemon alone", async () => {
    const path = join(directory, "cni.sock");
    await listenAt(newServer(), path);
    await expect(listenAt(newServer(), path)).rejects.toMatchObject({ code: "CONFLICT" });
    expect(await greeting(path)).toBe("hello");
  });

  it("does not remove a successor's socket", async () => {
    const path = join(directory, "cni.sock");
    const file = await listenAt(newServer(), path);
    servers[0]?.close();
    await rm(path);
    await listenAt(newServer(), path);
    await file.remove();
    expect(await greeting(path)).toBe("hello");
  });

  it("refuses a file that is no socket, and leaves it", async () => {
    const path = join(directory, "cni.sock");
    await writeFile(path, "precious");
    await expect(listenAt(newServer(), path)).rejects.toThrow(/is no socket; remove it/);
    expect((await lstat(path)).size).toBe(8);
  });

  it("refuses a directory that others can change", async () => {
    await chmod(directory, 0o777);
    await expect(listenAt(newServer(), join(directory, "cni.sock"))).rejects.toThrow(
      /can be changed by others.*chmod 0700/,
    );
  });

  it("refuses paths that no socket can have", async () => {
    await expect(listenAt(newServer(), "cni.sock")).rejects.toThrow(/absolute path/);
    await expect(listenAt(newServer(), `/${"x".repeat(106)}`)).rejects.toThrow(/at most 106 bytes/);
  });
});
