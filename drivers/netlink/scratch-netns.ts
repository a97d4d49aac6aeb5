import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { statSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { NetError } from "../../state/errors.ts";

/** A network namespace for tests and probes, without a name; it ends with this process, however that ends. */
export interface ScratchNetns extends Disposable {
  readonly path: string;
  /** Runs a program inside and returns what it printed. */
  run(program: string, ...args: readonly string[]): string;
  /** The same for programs that print JSON, such as `ip -j`. */
  json(program: string, ...args: readonly string[]): readonly Readonly<Record<string, unknown>>[];
}

const START_TIMEOUT_MS = 5_000;
const LIFETIME_S = "900";

/** Makes a namespace, held by a sleeping process that dies with this one. Needs root, setpriv and unshare. */
export async function createScratchNetns(): Promise<ScratchNetns> {
  const args = ["--pdeathsig", "KILL", "--", "unshare", "--net", "sleep", LIFETIME_S];
  const holder = spawn("setpriv", args, { stdio: "ignore" });
  const path = `/proc/${holder.pid}/ns/net`;
  await waitUntilSeparate(holder, path);
  const run = (program: string, ...rest: readonly string[]) =>
    execFileSync("nsenter", [`--net=${path}`, program, ...rest], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
    });
  return {
    path,
    run,
    json: (program, ...rest) => JSON.parse(run(program, ...rest) || "[]"),
    [Symbol.dispose]: () => void holder.kill("SIGKILL"),
  };
}

async function waitUntilSeparate(holder: ChildProcess, path: string): Promise<void> {
  const home = statSync("/proc/self/ns/net").ino;
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (Date.now() < deadline && holder.exitCode === null) {
    if (inodeOf(path) !== home && inodeOf(path) !== undefined) return;
    await sleep(2);
  }
  holder.kill("SIGKILL");
  throw new NetError("UNAVAILABLE", "Cannot make a network namespace: setpriv or unshare failed");
}

function inodeOf(path: string): number | undefined {
  try {
    return statSync(path).ino;
  } catch {
    return undefined; // not started yet
  }
}
