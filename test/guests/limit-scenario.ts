/**
 * One scenario for every kernel and datapath: two pods on a real Open vSwitch, the limit that this machine chooses for what a pod sends,
 * and real traffic. Prints what it measured as one line of JSON.
 *
 *   node limit-scenario.js system|netdev
 *
 * Runs in the namespaces it finds itself in, as root, and leaves them changed: give it a guest, or a namespace of its own.
 */
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { probeCapabilities } from "../../drivers/capabilities.ts";
import { openNetns } from "../../drivers/netlink/netns.ts";
import { type OpenOvsDriver, openOvsDriver } from "../../drivers/ovs/driver.ts";
import { openPanel } from "../../drivers/ovs/panel.ts";
import { openPortPool } from "../../drivers/ovs/port-pool.ts";
import { dressPod } from "../../netplugin/attach/pod-link.ts";
import { meterOf, planOf } from "../../netplugin/bandwidth/limit-plan.ts";
import type { LimitMeans } from "../../netplugin/bandwidth/mechanism.ts";
import { createPortLimiter } from "../../netplugin/bandwidth/port-limiter.ts";
import { BARE_PORT, portStateOf } from "../../netplugin/bandwidth/port-state.ts";
import { effectiveLimits } from "../../state/bandwidth/effective.ts";

const RATE_BIT_PER_SECOND = 20_000_000;
const SECONDS = 5;
/** The userspace switch handles nothing when it was started before this (guests only: a host is older). */
const SWITCH_MIN_UPTIME_S = 11;

const datapath = process.argv[2] === "system" ? "system" : "netdev";
const directory = mkdtempSync(join(tmpdir(), "limit-"));
const log: string[] = [];
const report = (error: Error) => log.push(error.message);
const signal = AbortSignal.timeout(110_000);
const run = (program: string, ...argv: readonly string[]) => execFileSync(program, argv, { encoding: "utf8" });

await startSwitch();
await using driver = await openOvsDriver({
  ...{ runDirectory: directory, datapath, uplinks: [], allowDefaultRouteUplink: false, vxlanUdpPort: 4789 },
  ...{ cookie: 0xc017n << 48n, cookieMask: 0xffffn << 48n, signal, report },
});
const panelName = `panel-${process.pid}`;
using panel = await openPanel(panelName);
while (!driver.flowConnection.connected) await sleep(20);
const connection = driver.flowConnection.connection();
const capabilities = await probeCapabilities(connection);
const pods = await makePods(driver);
await forward();
const means: LimitMeans = { ...capabilities, datapathType: datapath, podEnd: panel.podEnd, frameBytes: 1_518 };
const limit = { rateBitPerSecond: RATE_BIT_PER_SECOND, source: "rest" } as const;
const plan = planOf({ ...effectiveLimits(undefined, undefined), podIngress: limit, podEgress: limit }, means);
const limiter = createPortLimiter({ ports: driver.ports, netlink: driver.netlink, panelNetlink: panel.netlink });
const state = portStateOf(plan);
const { portName, ofport } = pods.sender;

const unlimited = tcp(false);
await limiter.change({ portName, before: BARE_PORT, after: state }, signal);
const meter = plan.podEgress?.mechanism === "meter" ? meterOf(plan.podEgress, ofport) : undefined;
if (meter !== undefined) {
  await connection.meterMods([{ kind: "meter-add", meter }], { signal });
  await forward(meter.id);
}
const limited = { egress: tcp(false), ingress: tcp(true), udp: udp(2 * RATE_BIT_PER_SECOND) };
const queues = (await limiter.queues([portName], signal)).get(portName);
const repaired = await repair();
await limiter.change({ portName, before: state, after: BARE_PORT }, signal);
if (meter !== undefined) await forward();
const freed = tcp(false);
const [meterStats] = meter === undefined ? [] : await connection.meterStats(meter.id, { signal });
process.stdout.write(
  `${JSON.stringify({
    ...{
      datapath,
      means,
      mechanism: plan.podEgress?.mechanism,
      burstBits: plan.podEgress?.burstBits,
      seconds: SECONDS,
    },
    ...{ unlimited, limited, freed, repaired, log },
    droppedPackets: Number(meterStats?.bands[0]?.packetCount ?? queues?.ingress?.droppedPackets ?? 0),
  })}\n`,
);
run("ip", "netns", "del", panelName);
process.exit(0);

async function startSwitch(): Promise<void> {
  const uptimeS = Number.parseFloat(run("cat", "/proc/uptime"));
  await sleep(Math.max(0, SWITCH_MIN_UPTIME_S - uptimeS) * 1_000);
  run("ovsdb-tool", "create", join(directory, "conf.db"), "/usr/share/openvswitch/vswitch.ovsschema");
  const options = { env: { ...process.env, OVS_RUNDIR: directory, OVS_LOGDIR: directory }, stdio: "ignore" } as const;
  const tied = (argv: readonly string[]) => spawn("setpriv", ["--pdeathsig", "KILL", "--", ...argv], options);
  const socket = join(directory, "db.sock");
  tied([
    "ovsdb-server",
    join(directory, "conf.db"),
    `--remote=punix:${socket}`,
    `--unixctl=${join(directory, "db.ctl")}`,
  ]);
  await sleep(1_000);
  run("ovs-vsctl", `--db=unix:${socket}`, "--no-wait", "init");
  tied(["ovs-vswitchd", `unix:${socket}`, `--unixctl=${join(directory, "switch.ctl")}`]);
}

async function makePods({ ports, netlink }: OpenOvsDriver) {
  await using pool = await openPortPool({
    ...{ ports, netlink, panel, target: 2, mtuBytes: 1_450, finishChecksums: datapath === "netdev", report },
  });
  const make = async (name: string, address: string, mac: string) => {
    run("ip", "netns", "add", `${name}-${process.pid}`);
    using netns = openNetns(`/run/netns/${name}-${process.pid}`);
    const port = await pool.take({ signal });
    const link = { ifName: "eth0", mac, mtuBytes: 1_450, addresses: [`${address}/24`], routes: [] };
    await dressPod({ netlink, panel, port, netns, link }, signal);
    return { netns: `${name}-${process.pid}`, address, portName: port.name, ofport: port.ofport };
  };
  const sender = await make("sender", "10.9.0.1", "02:02:0a:09:00:01");
  return { sender, receiver: await make("receiver", "10.9.0.2", "02:02:0a:09:00:02") };
}

/** Everything to everybody; what the sender's port brings goes through a meter first. */
async function forward(meterId?: number): Promise<void> {
  const flow = { table: 0, cookie: 0xc017n << 48n } as const;
  const normal = { kind: "output", port: "normal" } as const;
  const metered = meterId === undefined ? [] : [{ kind: "meter", meter: meterId } as const];
  await connection.bundle([
    { kind: "flow-add", flow: { ...flow, priority: 1, match: {}, actions: [normal] } },
    {
      kind: "flow-add",
      flow: { ...flow, priority: 2, match: { inPort: pods.sender.ofport }, actions: [...metered, normal] },
    },
  ]);
}

/** Somebody takes away what can be taken; what is read then, and whether it is back afterwards. */
async function repair(): Promise<boolean> {
  for (const hook of ["ingress", "root"]) {
    try {
      run("tc", "qdisc", "del", "dev", portName, hook);
    } catch {
      // this mechanism has none
    }
  }
  const found = (await limiter.read(new Map([[portName, state]]), signal)).get(portName) ?? BARE_PORT;
  const isMissed = found.near === undefined && found.policing === undefined;
  await limiter.change({ portName, before: found, after: state }, signal);
  const again = (await limiter.read(new Map([[portName, state]]), signal)).get(portName);
  return isMissed && again?.near !== undefined && (state.policing === undefined || again.policing !== undefined);
}

/** Mbit/s that arrived. */
function tcp(isReverse: boolean): number {
  return iperf(isReverse ? ["--reverse"] : []);
}

function udp(bitPerSecond: number): number {
  return iperf(["--udp", "--bitrate", String(bitPerSecond), "--length", "1300"]);
}

function iperf(more: readonly string[]): number {
  const { sender, receiver } = pods;
  run("ip", "netns", "exec", receiver.netns, "iperf3", "--server", "--one-off", "--daemon");
  run("sleep", "1");
  const client = ["iperf3", "--json", "--client", receiver.address, "--time", String(SECONDS), ...more];
  const { end } = JSON.parse(run("ip", "netns", "exec", sender.netns, ...client));
  return (end.sum_received ?? end.sum).bits_per_second / 1e6;
}
