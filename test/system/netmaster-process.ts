import { type ChildProcess, execFile, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { freePort } from "../fakes/free-port.ts";

/** One real netmaster process. */
export interface NetmasterProcess {
  readonly name: string;
  readonly restUrl: string;
  readonly nodeApiUrl: string;
  readonly pid: number;
  /** From the start of the process until it was ready, in milliseconds. */
  readonly readyMs: number;
  log(): string;
  kill(signal?: NodeJS.Signals): Promise<number | null>;
  /** SIGSTOP and SIGCONT. */
  stop(): void;
  cont(): void;
}

export interface NetmasterProcessOptions {
  readonly name: string;
  readonly etcdEndpoints: readonly string[];
  readonly flags?: readonly string[];
  readonly readyTimeoutMs?: number;
  /** What must answer 200 before the start counts as done; default `/readyz`. */
  readonly readyPath?: string;
}

const READY_TIMEOUT_MS = 30_000;
const execute = promisify(execFile);
let builds: Promise<string> | undefined;

/** Compiles what is to be tested, once per process. `CONTIV_COMPILED` names a folder that is compiled already. */
export function compiledRoot(): Promise<string> {
  const given = process.env.CONTIV_COMPILED;
  if (given !== undefined) return Promise.resolve(given);
  builds ??= execute(fileURLToPath(new URL("../../deploy/build", import.meta.url))).then(() =>
    fileURLToPath(new URL("../../dist", import.meta.url)),
  );
  return builds;
}

/** Starts a netmaster on free ports and waits until it is ready. It dies with this process. */
export async function startNetmasterProcess(options: NetmasterProcessOptions): Promise<NetmasterProcess> {
  const { name, etcdEndpoints, flags = [] } = options;
  const root = await compiledRoot();
  const [restPort, nodePort] = [await freePort(), await freePort()];
  const directory = await mkdtemp(join(tmpdir(), "netmaster-"));
  const logFile = join(directory, "log");
  const logFd = openSync(logFile, "a");
  const startedMs = performance.now();
  const child = spawn(
    "setpriv",
    [
      ...["--pdeathsig", "KILL", "--", process.execPath, join(root, "netmaster/main.js"), "--name", name],
      ...["--etcd-endpoints", etcdEndpoints.join(","), "--listen", `127.0.0.1:${restPort}`],
      ...["--node-api-listen", `127.0.0.1:${nodePort}`, ...flags],
    ],
    { stdio: ["ignore", logFd, logFd] },
  );
  closeSync(logFd);
  const log = () => readFileSync(logFile, "utf8");
  child.once("exit", () => setTimeout(() => void rm(directory, { recursive: true, force: true }), 60_000).unref());
  const restUrl = `http://127.0.0.1:${restPort}`;
  await untilReady(
    `${restUrl}${options.readyPath ?? "/readyz"}`,
    child,
    log,
    options.readyTimeoutMs ?? READY_TIMEOUT_MS,
  );
  return {
    name,
    restUrl,
    nodeApiUrl: `http://127.0.0.1:${nodePort}`,
    pid: child.pid ?? 0,
    readyMs: performance.now() - startedMs,
    log,
    kill: (signal = "SIGKILL") => end(child, signal),
    stop: () => void child.kill("SIGSTOP"),
    cont: () => void child.kill("SIGCONT"),
  };
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
  const ended = new Promise<number | null>((resolve) => child.once("exit", resolve));
  child.kill(signal);
  return await ended;
}

async function untilReady(url: string, child: ChildProcess, log: () => string, timeoutMs: number): Promise<void> {
  const deadlineMs = performance.now() + timeoutMs;
  for (;;) {
    const response = await fetch(url, { signal: AbortSignal.timeout(2_000) }).catch(() => undefined);
    if (response?.status === 200) return;
    if (child.exitCode !== null || performance.now() > deadlineMs) {
      await end(child, "SIGKILL");
      throw new Error(`netmaster did not get ready: ${log().slice(-2_000)}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
