import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterAll, describe, expect, it, vi } from "vitest";
import { projectRoot } from "../../deploy/cluster/components.ts";
import { type RunResult, run } from "../../deploy/cluster/exec.ts";
import { freePorts } from "./test-cluster.ts";

const directory = mkdtempSync(join(tmpdir(), "contiv-sb-"));
const prefix = basename(directory).replaceAll("-", "_");
const restPort = await freePorts(1);
const env = { ...process.env, CONTIV_SANDBOX_DIR: directory, CONTIV_SANDBOX_REST_PORT: String(restPort) };
const PATIENT = { timeout: 60_000, interval: 200 };
const program = join(projectRoot(), "deploy/sandbox");

function sandbox(...argv: string[]): Promise<RunResult> {
  return run([program, ...argv], { env, allowFailure: true, timeoutMs: 240_000 });
}

function started(...argv: string[]): ChildProcess {
  return spawn(program, argv, { env, stdio: ["ignore", "ignore", "pipe"] });
}

/** Kills `up` as soon as it tells of a step; what it has started goes on. */
async function upKilledAt(step: string): Promise<void> {
  const up = started("up", "--nodes", "1", "--no-demo");
  const exited = new Promise((resolve) => up.once("exit", resolve));
  let told = "";
  up.stderr?.on("data", (text: Buffer) => {
    told += text.toString();
    if (told.includes(step)) up.kill("SIGKILL");
  });
  await exited;
  expect(told).toContain(step);
}

async function netnses(): Promise<readonly string[]> {
  const { stdout } = await run(["ip", "netns", "list"]);
  return stdout.split("\n").filter((line) => line.startsWith(`${prefix}-`));
}

/** Processes that name the sandbox's folder in their arguments. */
function processes(): readonly string[] {
  const numbers = readdirSync("/proc").filter((name) => /^[0-9]+$/.test(name));
  return numbers.map(commandLine).filter((line) => line.includes(directory));
}

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
  } catch {
    return ""; // it has ended
  }
}

describe("deploy/sandbox", { timeout: 300_000 }, () => {
  afterAll(async () => {
    await sandbox("down");
    rmSync(directory, { recursive: true, force: true });
  });

  it("completes what a killed `up` left half made", async () => {
    await run(["ip", "netns", "add", `${prefix}-ctl`]);
    await run(["ip", "netns", "add", `${prefix}-n1`]);
    await upKilledAt("netmaster");
    const up = await sandbox("up", "--nodes", "2");
    expect(up.stderr).toContain("web-1 → web-2");
    expect(up).toMatchObject({ exitCode: 0 });
  });

  it("attaches the demo's pods anew when their namespaces are gone", async () => {
    await run(["ip", "netns", "delete", `${prefix}-pod-web-1`]);
    const up = await sandbox("up");
    expect(up.stderr).toContain("web-1 → web-2");
    expect(up).toMatchObject({ exitCode: 0 });
    const { stdout } = await sandbox("status");
    expect(stdout).not.toContain("not attached");
    expect(stdout).not.toContain("DOWN");
  });

  it("takes and returns exit codes, and names what there is", async () => {
    expect(await sandbox("pod", "exec", "web-1", "--", "sh", "-c", "exit 7")).toMatchObject({ exitCode: 7 });
    const unknown = await sandbox("pod", "rm", "nope");
    expect(unknown).toMatchObject({ exitCode: 1 });
    expect(unknown.stderr).toContain("db-1, db-2, web-1, web-2");
  });

  it("cannot shrink", async () => {
    const fewer = await sandbox("up", "--nodes", "1", "--no-demo");
    expect(fewer).toMatchObject({ exitCode: 1 });
    expect(fewer.stderr).toContain("cannot shrink to 1");
  });

  it("leaves nothing when it goes down, not even commands that still run in pods", async () => {
    const forgotten = started("pod", "exec", "web-1", "--", "sleep", "1000");
    const exited = new Promise((resolve) => forgotten.once("exit", resolve));
    await vi.waitUntil(async () => (await run(["ip", "netns", "pids", `${prefix}-pod-web-1`])).stdout !== "", PATIENT);
    expect(await sandbox("down")).toMatchObject({ exitCode: 0 });
    await exited;
    expect(await netnses()).toEqual([]);
    expect(processes()).toEqual([]);
    expect(existsSync(directory)).toBe(false);
  });
});
