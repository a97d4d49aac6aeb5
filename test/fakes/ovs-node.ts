import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "../../deploy/cluster/exec.ts";

const SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema";
const START_TIMEOUT_MS = 20_000;
/** Open vSwitch 3.1 started earlier after boot never handles a packet miss ("Overriding n-handler-threads to 0"). */
const UPTIME_MIN_S = 10;

/** A real Open vSwitch (database and vswitchd, userspace datapath) with its own run directory; ends with this process. */
export interface OvsNode extends AsyncDisposable {
  readonly runDirectory: string;
  /** ovs-vsctl; returns once vswitchd has done it. */
  vsctl(...args: readonly string[]): Promise<string>;
  /** ovs-appctl to vswitchd. */
  appctl(...args: readonly string[]): Promise<string>;
  /** ovs-ofctl, OpenFlow 1.5; `stdin` for commands that read a file named `-`. */
  ofctl(args: readonly string[], stdin?: string): Promise<string>;
  /** A bridge's management socket as ovs-ofctl takes it. */
  bridgeSocket(bridge: string): string;
}

export interface OvsNodeOptions {
  /** Name of the network namespace (`ip netns`) that vswitchd works in; its own, unnamed one when absent. */
  readonly netns?: string;
}

export async function startOvsNode(options: OvsNodeOptions = {}): Promise<OvsNode> {
  await waitForUptime();
  const runDirectory = await mkdtemp(join(tmpdir(), "contiv-ovs-"));
  const file = (name: string) => join(runDirectory, name);
  const env = { ...process.env, OVS_RUNDIR: runDirectory, OVS_LOGDIR: runDirectory, OVS_DBDIR: runDirectory };
  const database = `unix:${file("db.sock")}`;
  const runOvs = async (argv: readonly string[], stdin?: string) =>
    (await run(argv, { env, ...(stdin === undefined ? {} : { stdin }) })).stdout;
  const vsctl = (...args: readonly string[]) => runOvs(["ovs-vsctl", `--db=${database}`, "--timeout=20", ...args]);

  await runOvs(["ovsdb-tool", "create", file("conf.db"), SCHEMA]);
  const children = [
    spawnTied(env, [
      "ovsdb-server",
      file("conf.db"),
      `--remote=punix:${file("db.sock")}`,
      `--unixctl=${file("db.ctl")}`,
    ]),
  ];
  await waitForFile(file("db.sock"));
  await vsctl("--no-wait", "init");
  const inside = options.netns === undefined ? ["unshare", "--net"] : ["nsenter", `--net=/run/netns/${options.netns}`];
  const log = ["-vconsole:off", `--log-file=${file("vswitchd.log")}`];
  children.push(spawnTied(env, [...inside, "ovs-vswitchd", database, `--unixctl=${file("vswitchd.ctl")}`, ...log]));
  await waitForFile(file("vswitchd.ctl"));

  return {
    runDirectory,
    vsctl,
    appctl: (...args) => runOvs(["ovs-appctl", "-t", file("vswitchd.ctl"), ...args]),
    ofctl: (args, stdin) => runOvs(["ovs-ofctl", "-O", "OpenFlow15", ...args], stdin),
    bridgeSocket: (bridge) => `unix:${file(`${bridge}.mgmt`)}`,
    [Symbol.asyncDispose]: async () => {
      for (const child of children.reverse()) await end(child);
      await rm(runDirectory, { recursive: true, force: true });
    },
  };
}

/** A child that the kernel ends together with this process, however that ends. */
export function spawnTied(env: NodeJS.ProcessEnv, command: readonly string[]): ChildProcess {
  return spawn("setpriv", ["--pdeathsig", "KILL", "--", ...command], { env, stdio: ["pipe", "pipe", "ignore"] });
}

export async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await ended;
}

async function waitForUptime(): Promise<void> {
  const uptimeS = Number((await readFile("/proc/uptime", "utf8")).split(" ")[0]);
  if (uptimeS < UPTIME_MIN_S) await new Promise((resolve) => setTimeout(resolve, (UPTIME_MIN_S - uptimeS) * 1_000));
}

async function waitForFile(path: string): Promise<void> {
  const until = performance.now() + START_TIMEOUT_MS;
  while (!existsSync(path)) {
    if (performance.now() > until) throw new Error(`${path} did not appear within ${START_TIMEOUT_MS} ms`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
