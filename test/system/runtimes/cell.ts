import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type RunOptions, type RunResult, run } from "../../../deploy/cluster/exec.ts";

/**
 * Where a container runtime lives during a test: the node's network, and mounts and processes of its own. Whatever it mounts is seen
 * by nobody else but the network namespaces in /run/netns, which it shares with the node as on a real one. All of it ends with this process.
 */
export interface Cell extends AsyncDisposable {
  readonly directory: string;
  run(argv: readonly string[], options?: RunOptions): Promise<RunResult>;
  /** Starts a daemon; its output goes to `<directory>/<name>.log`. */
  start(name: string, argv: readonly string[]): void;
}

/**
 * Runs as the cell's first process. Mounts are private where runtimes mount things; /var/lib, /dev/shm and /run are its own, with the
 * machine's /run/netns inside and netplugin's socket where it is on a real node.
 */
const SET_UP = `
set -e
for place in / /tmp /run /var /var/lib /dev /dev/shm; do mount --make-private "$place" 2>/dev/null || true; done
mount --bind "$1" "$1"
mount --make-private "$1"
mount -t tmpfs tmpfs /var/lib
mount -t tmpfs tmpfs /dev/shm
mkdir -p "$1/run/netns" "$1/run/contiv"
mount --bind "$2" "$1/run/contiv"
mount --rbind /run/netns "$1/run/netns"
mount --rbind "$1/run" /run
echo ready
exec sleep infinity
`;
const START_TIMEOUT_MS = 10_000;

export interface CellOptions {
  /** The node's network namespace, by name. */
  readonly netns: string;
  /** The folder of netplugin's socket. */
  readonly socketDirectory: string;
  readonly directory: string;
}

export async function openCell({ netns, socketDirectory, directory }: CellOptions): Promise<Cell> {
  mkdirSync(directory, { recursive: true });
  const before = new Set(runtimeNamespaces());
  const unshare = [
    "unshare",
    "--mount",
    "--propagation",
    "unchanged",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
  ];
  const argv = ["--pdeathsig", "KILL", "--", "nsenter", `--net=/run/netns/${netns}`, "--", ...unshare];
  const first = spawn("setpriv", [...argv, "sh", "-c", SET_UP, "cell", directory, socketDirectory], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await ready(first);
  const enter = ["nsenter", "--target", childOf(first), "--mount", "--pid", "--net", "--"];
  return {
    directory,
    run: (command, options) => run([...enter, ...command], options),
    start: (name, command) => {
      const log = ["sh", "-c", `exec "$@" >"$0" 2>&1`, join(directory, `${name}.log`)];
      const child = spawn("setpriv", ["--pdeathsig", "KILL", "--", ...enter, ...log, ...command], {
        stdio: "ignore",
      });
      child.unref();
    },
    [Symbol.asyncDispose]: async () => {
      first.stdout?.destroy();
      const ended = new Promise((resolve) => first.once("exit", resolve));
      if (first.exitCode === null && first.kill("SIGKILL")) await ended;
      for (const name of runtimeNamespaces()) {
        if (!before.has(name)) await run(["ip", "netns", "delete", name], { allowFailure: true });
      }
    },
  };
}

/** Network namespaces that container runtimes made for pods. */
function runtimeNamespaces(): string[] {
  return existsSync("/run/netns") ? readdirSync("/run/netns").filter((name) => /^(cni|netns)-/.test(name)) : [];
}

function ready(first: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("the cell did not start in time")), START_TIMEOUT_MS);
    first.once("exit", (code) => reject(new Error(`the cell ended at start with status ${code}`)));
    first.stdout?.once("data", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

/** Process id, as this namespace sees it, of the one that lives in the cell. */
function childOf(first: ChildProcess): string {
  const [child] = readFileSync(`/proc/${first.pid}/task/${first.pid}/children`, "utf8").trim().split(" ");
  if (child === undefined || child === "") throw new Error("the cell has no first process");
  return child;
}
