import { chmod, lstat, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { SocketKeeper } from "./socket-keeper.ts";

const lines: string[] = [];
const log = {
  info: () => {},
  warn: (_fields: object, message: string) => lines.push(message),
};
let directory: string;
let path: string;
let keeper: SocketKeeper;

beforeEach(async () => {
  lines.length = 0;
  directory = await mkdtemp(join(tmpdir(), "cni-keeper-"));
  path = join(directory, "cni.sock");
  const onConnection = (socket: import("node:net").Socket) => void socket.end("hello");
  keeper = new SocketKeeper({ path, connectionsMax: 8, onConnection, log, intervalMs: 20 });
  await keeper.open();
});

afterEach(async () => {
  await keeper.close();
  await rm(directory, { recursive: true, force: true });
});

function greeting(): Promise<string> {
  return new Promise((resolve, reject) => {
    connect(path)
      .on("data", (chunk) => resolve(chunk.toString()))
      .on("error", reject);
  });
}

describe("a CNI socket's file", () => {
  it.each<[string, () => Promise<unknown>]>([
    ["removed", async () => {}],
    ["replaced by a file", () => writeFile(path, "x")],
    ["replaced by a directory", () => mkdir(path)],
  ])("that was %s is made again, and told once", async (_, replace) => {
    await rm(path);
    await replace();
    await vi.waitFor(async () => expect(await greeting()).toBe("hello"));
    expect((await lstat(path)).mode & 0o777).toBe(0o600);
    expect(lines).toEqual(["The file of the CNI socket was removed or replaced; it is made again"]);
    expect(keeper.fault).toBeUndefined();
  });

  it("that cannot be made is told once, until it can", async () => {
    await rm(path);
    await mkdir(path);
    await writeFile(join(path, "x"), "");
    await vi.waitFor(() => expect(keeper.fault).toMatch(/ENOTEMPTY/));
    await chmod(directory, 0o700);
    await rm(path, { recursive: true });
    await vi.waitFor(async () => expect(await greeting()).toBe("hello"));
    await vi.waitFor(() => expect(keeper.fault).toBeUndefined());
    expect(lines).toHaveLength(2);
  });
});
