import { type ChildProcess, execFile, spawn } from "node:child_process";
import { access, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema";
const START_TIMEOUT_MS = 20_000;

/** A real Open vSwitch with its own run directory and network namespace, userspace datapath. Ends with the test process. */
export interface ScratchSwitch extends AsyncDisposable {
  readonly directory: string;
  /** The bridge's management socket. */
  socketOf(bridge: string): string;
  /** Runs ovs-vsctl and waits until vswitchd has done it. */
  vsctl(...args: string[]): Promise<string>;
  /** Runs ovs-ofctl in OpenFlow 1.5. */
  ofctl(...args: string[]): Promise<string>;
  /** Runs ovs-appctl with the control socket of one daemon. */
  appctl(target: string, ...args: string[]): Promise<string>;
  /** Kills ovs-vswitchd (SIGKILL) and waits for its end. */
  killVswitchd(): Promise<void>;
  startVswitchd(): Promise<void>;
  /** Stops or continues it, as when the machine is overloaded. */
  signalVswitchd(signal: "SIGSTOP" | "SIGCONT"): void;
}

/** Starts ovsdb-server and ovs-vswitchd, with the given bridges of three internal ports each (1 to 3). */
export async function startSwitch(bridges: readonly string[]): Promise<ScratchSwitch> {
  const directory = await mkdtemp(join(tmpdir(), "openflow-"));
  const env = { ...process.env, OVS_RUNDIR: directory, OVS_LOGDIR: directory, OVS_DBDIR: directory };
  const database = join(directory, "db.sock");
  await run("ovsdb-tool", ["create", join(directory, "conf.db"), SCHEMA], { env });
  const server = spawnBound(env, ["ovsdb-server", join(directory, "conf.db"), `--remote=punix:${database}`]);
  let vswitchd: ChildProcess | undefined;

  async function vsctl(...args: string[]): Promise<string> {
    return (await run("ovs-vsctl", [`--db=unix:${database}`, "--timeout=20", ...args], { env })).stdout;
  }
  async function startVswitchd(): Promise<void> {
    const files = [`--unixctl=${join(directory, "vswitchd.ctl")}`, `--pidfile=${join(directory, "vswitchd.pid")}`];
    vswitchd = spawnBound(env, ["unshare", "--net", "ovs-vswitchd", `unix:${database}`, ...files]);
    for (const bridge of bridges) await waitForFile(join(directory, `${bridge}.mgmt`));
  }
  async function killVswitchd(): Promise<void> {
    await end(vswitchd);
    for (const bridge of bridges) await rm(join(directory, `${bridge}.mgmt`), { force: true });
  }

  await waitForFile(database);
  await vsctl("--no-wait", "init", ...bridges.flatMap(bridgeCommands));
  await startVswitchd();
  await vsctl("set", "Open_vSwitch", ".", "external_ids:ready=1");
  return {
    directory,
    socketOf: (bridge) => join(directory, `${bridge}.mgmt`),
    vsctl,
    ofctl: async (...args) =>
      (await run("ovs-ofctl", ["-O", "OpenFlow15", ...args], { env, maxBuffer: 1 << 28 })).stdout,
    appctl: async (target, ...args) => (await run("ovs-appctl", ["-t", target, ...args], { env })).stdout,
    killVswitchd,
    startVswitchd,
    signalVswitchd: (signal) => vswitchd?.kill(signal),
    [Symbol.asyncDispose]: async () => {
      await end(vswitchd);
      await end(server);
      await rm(directory, { recursive: true, force: true });
    },
  };
}

function bridgeCommands(bridge: string): string[] {
  const ports = [1, 2, 3].flatMap((number) => {
    const name = `${bridge}p${number}`;
    const options = ["type=internal", `ofport_request=${number}`];
    return ["--", "add-port", bridge, name, "--", "set", "Interface", name, ...options];
  });
  return ["--", "add-br", bridge, "--", "set", "Bridge", bridge, "datapath_type=netdev", "fail_mode=secure", ...ports];
}

/** A child that the kernel ends with this process, whatever ends this process. */
function spawnBound(env: NodeJS.ProcessEnv, command: readonly string[]): ChildProcess {
  return spawn("setpriv", ["--pdeathsig", "KILL", "--", ...command], { env, stdio: "ignore" });
}

async function end(child: ChildProcess | undefined): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await ended;
}

async function waitForFile(path: string): Promise<void> {
  const until = performance.now() + START_TIMEOUT_MS;
  while (performance.now() < until) {
    const isThere = await access(path).then(
      () => true,
      () => false,
    );
    if (isThere) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`${path} did not appear within ${START_TIMEOUT_MS} ms`);
}
