import { type ChildProcess, execFile, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";

const run = promisify(execFile);
const SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema";

/** A real ovsdb-server of its own, and ovs-vswitchd in a network namespace of its own when asked for. */
export interface RealOvsdb extends AsyncDisposable {
  readonly socketPath: string;
  /** SIGKILL: the socket stays in the file system with nobody behind it. */
  kill(): Promise<void>;
  /** Starts it again, on the old database or on a new one. */
  start(options?: { readonly emptied?: boolean }): Promise<void>;
  /** Stops it from running and lets it run on. */
  freeze(): void;
  thaw(): void;
  startVswitchd(): Promise<void>;
}

export interface RealOvsdbOptions {
  /** A clustered database of one member keeps the history that monitor_cond_since resumes from. */
  readonly clustered?: boolean;
}

/** Every process dies with ours, however we end. */
function tethered(command: string, args: readonly string[]): ChildProcess {
  return spawn("setpriv", ["--pdeathsig", "KILL", "--", command, ...args], { stdio: "ignore" });
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  await new Promise((resolve) => {
    child.once("exit", resolve);
    child.kill("SIGKILL");
  });
}

export async function startRealOvsdb({ clustered = false }: RealOvsdbOptions = {}): Promise<RealOvsdb> {
  const folder = await mkdtemp(join(tmpdir(), "real-ovsdb-"));
  const inFolder = (name: string) => join(folder, name);
  const socketPath = inFolder("db.sock");
  let server = tethered("true", []);
  let vswitchd: ChildProcess | undefined;

  async function createDatabase(): Promise<void> {
    await rm(inFolder("conf.db"), { force: true });
    await rm(inFolder(".conf.db.~lock~"), { force: true });
    const args = clustered
      ? ["create-cluster", inFolder("conf.db"), SCHEMA, `unix:${inFolder("raft.sock")}`]
      : ["create", inFolder("conf.db"), SCHEMA];
    await run("ovsdb-tool", args);
  }

  async function launch(): Promise<void> {
    await rm(socketPath, { force: true });
    await rm(inFolder("raft.sock"), { force: true });
    server = tethered("ovsdb-server", [
      `--remote=punix:${socketPath}`,
      `--unixctl=${inFolder("db.ctl")}`,
      "--no-chdir",
      "-vconsole:off",
      "-vsyslog:off",
      inFolder("conf.db"),
    ]);
    await appeared(socketPath, server);
    await run("ovs-vsctl", [`--db=unix:${socketPath}`, "--no-wait", "--timeout=10", "init"]);
  }

  await createDatabase();
  await launch();
  return {
    socketPath,
    kill: () => ended(server),
    freeze: () => void server.kill("SIGSTOP"),
    thaw: () => void server.kill("SIGCONT"),
    async start({ emptied = false } = {}) {
      if (emptied) await createDatabase();
      await launch();
    },
    async startVswitchd() {
      vswitchd = tethered("unshare", [
        "-n",
        "--",
        "ovs-vswitchd",
        `unix:${socketPath}`,
        `--unixctl=${inFolder("vswitchd.ctl")}`,
        "--disable-system",
        "--no-chdir",
        "-vconsole:off",
        "-vsyslog:off",
      ]);
      await appeared(inFolder("vswitchd.ctl"), vswitchd);
    },
    async [Symbol.asyncDispose]() {
      if (vswitchd !== undefined) await ended(vswitchd);
      await ended(server);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function appeared(path: string, child: ChildProcess): Promise<void> {
  for (let waitedMs = 0; !existsSync(path); waitedMs += 10) {
    if (child.exitCode !== null || waitedMs > 10_000) throw new Error(`${child.spawnargs.join(" ")} did not start`);
    await delay(10);
  }
}
