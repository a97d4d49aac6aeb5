import { type ChildProcess, spawn } from "node:child_process";
import type { Socket } from "node:net";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { Ended, Launch } from "../../deploy/cluster/exec.ts";

interface Launcher {
  readonly child: ChildProcess;
  readonly waiting: Map<number, (ended: Ended) => void>;
}

const PROGRAM = fileURLToPath(new URL("launcher.py", import.meta.url));
let launcher: Launcher | undefined;
let requestCount = 0;

/** Has programs started by a small process, which this one keeps. */
export const launchBySmall: Launch = (argv, { timeoutMs, env, stdin }) => {
  launcher ??= startLauncher();
  const { child, waiting } = launcher;
  const id = ++requestCount;
  return new Promise((resolve) => {
    waiting.set(id, resolve);
    child.stdin?.write(`${JSON.stringify({ id, argv, timeoutMs, env, stdin })}\n`);
  });
};

function startLauncher(): Launcher {
  const child = spawn("python3", ["-S", "-E", PROGRAM], { stdio: ["pipe", "pipe", "inherit"] });
  const waiting = new Map<number, (ended: Ended) => void>();
  createInterface({ input: child.stdout }).on("line", (line) => {
    const { id, ...ended } = JSON.parse(line) as Ended & { readonly id: number };
    waiting.get(id)?.(ended);
    waiting.delete(id);
  });
  child.once("exit", () => {
    launcher = undefined;
    for (const resolve of waiting.values()) resolve({ stdout: "", stderr: "", failure: "the launcher has ended" });
  });
  child.unref();
  for (const pipe of [child.stdin, child.stdout]) (pipe as Socket).unref();
  return { child, waiting };
}
