import { type ChildProcess, type StdioOptions, spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { NetError } from "../../state/errors.ts";
import { writeJson } from "./json-file.ts";

export interface DaemonSpec {
  /** Short unique name: names the log and the pid file. */
  readonly name: string;
  readonly argv: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  /** A listening socket's file descriptor that the daemon inherits as its descriptor 3. */
  readonly inheritFd?: number;
}

/** Where daemons keep their traces, and whether they end together with this process (tests) or outlive it (sandbox). */
export interface DaemonHome {
  readonly directory: string;
  readonly tied: boolean;
}

interface PidFile {
  readonly pid: number;
  /** Field 22 of /proc/<pid>/stat: tells a reused pid from ours. */
  readonly startTicks: string;
}

const STOP_TIMEOUT_MS = 8_000;

export function logPath(home: DaemonHome, name: string): string {
  return join(home.directory, "log", `${name}.log`);
}

function pidPath(home: DaemonHome, name: string): string {
  return join(home.directory, "run", `${name}.pid`);
}

/** Starts a daemon with its output in a log file; returns its pid. A running one of that name is left alone. */
export function startDaemon(home: DaemonHome, spec: DaemonSpec): number {
  const running = daemonPid(home, spec.name);
  if (running !== undefined) return running;
  for (const path of [logPath(home, spec.name), pidPath(home, spec.name)])
    mkdirSync(dirname(path), { recursive: true });
  const log = openSync(logPath(home, spec.name), "a", 0o600);
  try {
    const child = spawnDaemon(home, spec, log);
    if (child.pid === undefined) throw new NetError("REJECTED", `Cannot start ${spec.name}: ${spec.argv.join(" ")}`);
    child.unref();
    writeJson(pidPath(home, spec.name), { pid: child.pid, startTicks: startTicks(child.pid) ?? "" });
    return child.pid;
  } finally {
    closeSync(log);
  }
}

function spawnDaemon(home: DaemonHome, spec: DaemonSpec, log: number): ChildProcess {
  const stdio: StdioOptions = ["ignore", log, log];
  if (spec.inheritFd !== undefined) stdio.push(spec.inheritFd);
  const argv = home.tied ? ["setpriv", "--pdeathsig", "KILL", "--", ...spec.argv] : spec.argv;
  const [file, ...args] = argv;
  const child = spawn(file as string, args, { stdio, detached: true, env: { ...process.env, ...spec.env } });
  child.on("error", () => {}); // reported through the missing pid
  return child;
}

/** The daemon's pid while it runs, undefined otherwise. */
export function daemonPid(home: DaemonHome, name: string): number | undefined {
  const file = readPidFile(home, name);
  return file !== undefined && startTicks(file.pid) === file.startTicks ? file.pid : undefined;
}

function readPidFile(home: DaemonHome, name: string): PidFile | undefined {
  try {
    return JSON.parse(readFileSync(pidPath(home, name), "utf8")) as PidFile;
  } catch {
    return undefined; // never started, or removed by `down`
  }
}

function startTicks(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    // Its files, and with them its ports, go with the last of its threads (field 20), which may outlive the first one.
    const hasEnded = fields[0] === "Z" && Number(fields[17]) <= 1;
    return hasEnded ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

/** Sends a signal to the daemon alone; false when it does not run. */
export function signalDaemon(home: DaemonHome, name: string, signal: NodeJS.Signals): boolean {
  const pid = daemonPid(home, name);
  if (pid === undefined) return false;
  process.kill(pid, signal);
  return true;
}

/** Ends a daemon: SIGTERM, then SIGKILL. Returns when it is gone. */
export async function stopDaemon(home: DaemonHome, name: string, signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
  signalDaemon(home, name, signal);
  const deadline = Date.now() + STOP_TIMEOUT_MS;
  while (daemonPid(home, name) !== undefined) {
    if (Date.now() > deadline) signalDaemon(home, name, "SIGKILL");
    await sleep(20);
  }
  rmSync(pidPath(home, name), { force: true });
}

/** The last lines of a daemon's log, for error messages. */
export function logTail(home: DaemonHome, name: string, lines = 15): string {
  try {
    return readFileSync(logPath(home, name), "utf8").trimEnd().split("\n").slice(-lines).join("\n");
  } catch {
    return "(no log)";
  }
}

/** Waits until `probe` answers true; a daemon that ends meanwhile, or the deadline, is an error with the end of its log. */
export async function waitUntilReady(
  home: DaemonHome,
  name: string,
  probe: () => Promise<boolean>,
  timeoutMs = 20_000,
): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    if (await probe().catch(() => false)) return;
    if (daemonPid(home, name) === undefined) {
      throw new NetError("UNAVAILABLE", `${name} ended at start. Its log says:\n${logTail(home, name)}`);
    }
    if (Date.now() > deadline) {
      throw new NetError(
        "TIMEOUT",
        `${name} is not ready after ${timeoutMs} ms. Its log says:\n${logTail(home, name)}`,
      );
    }
    await sleep(30);
  }
}
