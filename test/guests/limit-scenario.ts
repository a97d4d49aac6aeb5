/**
 * One scenario for every kernel and datapath: two pods on a real Open vSwitch, limits as netplugin keeps them, and real traffic.
 *
 *   node limit-scenario.js CELLS…      CELLS is DATAPATH[-MISSING…]:WISH[+WISH…], as in system-macvlan:shape+police
 *
 * DATAPATH is `system` or `netdev`; MISSING a kernel module that is not to be had (in a guest only), or `meters`; WISH is the
 * netprofile's egressMode, or `default` for none; `probe` only tells what was found. Prints a line of JSON for each wish. Runs in the
 * namespaces it finds itself in, as root, and leaves them changed: give it a guest, or a namespace of its own.
 */
import { existsSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "../../deploy/cluster/exec.ts";
import { INTEGRATION_BRIDGE } from "../../drivers/ovs/names.ts";
import { eventually } from "../system/test-cluster.ts";
import { type FlowOptions, measure, serveIperf } from "../system/throughput.ts";
import { type LimitWorld, openLimitWorld } from "./limit-world.ts";
import { takeAwayAll } from "./repairs.ts";
import { startSwitch, vsctl } from "./switch.ts";

const RATE_BIT_PER_SECOND = 20_000_000;
/** The first second is left out: a full bucket would make any limiter look good. */
const TIMES = { seconds: 3, omitSeconds: 1 } as const;
const SHORT_TIMES = { seconds: 2, omitSeconds: 1 } as const;
const UNLIMITED_TIMES = { seconds: 2, omitSeconds: 0 } as const;
/** Drops are sampled every two seconds. */
const SAMPLES_TIMEOUT_MS = 10_000;
const METERS = "meters";
const MODULES_OFF = "/etc/modprobe.d/limit-scenario.conf";

const directory = mkdtempSync(join(tmpdir(), "limit-"));
const log: string[] = [];
await startSwitch(directory);
for (const cells of process.argv.slice(2)) await runCells(cells);
process.exit(0);

async function runCells(cells: string): Promise<void> {
  const isFirst = cells === process.argv[2];
  const [place = "", wishes = ""] = cells.split(":");
  const [datapath, ...missing] = place.split("-");
  await takeModules(missing.filter((name) => name !== METERS));
  {
    await using world = await openLimitWorld({
      datapath: datapath === "system" ? "system" : "netdev",
      withoutMeters: missing.includes(METERS),
      runDirectory: directory,
      report: (error) => log.push(error.message),
    });
    await serveIperf(world, "receiver");
    const unlimited = isFirst ? [await tcp(world, UNLIMITED_TIMES)] : [];
    for (const [index, wish] of wishes.split("+").entries()) {
      const outcome = wish === "probe" ? {} : await cell(world, wish, isFirst && index === 0);
      tell({ cell: `${place}:${wish}`, means: world.means, ...outcome });
    }
    await world.limit("");
    if (isFirst) tell({ cell: "free", unlimited: [...unlimited, await tcp(world, UNLIMITED_TIMES)] });
  }
  await vsctl(directory, "del-br", INTEGRATION_BRIDGE);
}

function tell(outcome: object): void {
  process.stdout.write(`${JSON.stringify({ ...outcome, log, atSeconds: process.uptime() })}\n`);
}

/** Modules that nobody can load from now on; those of the last time are back. */
async function takeModules(names: readonly string[]): Promise<void> {
  if (names.length > 0 && !existsSync("/run/host/command"))
    throw new Error("Kernel modules are taken away in guests only");
  if (names.length === 0 && !existsSync(MODULES_OFF)) return;
  writeFileSync(MODULES_OFF, names.map((name) => `install ${name} /bin/false\n`).join(""));
  for (const name of names) await run(["modprobe", "--remove", name]);
}

/** One wish of an admin; `isFull` with more kinds of traffic than what the limit of sending makes of TCP, and what was dropped. */
async function cell(world: LimitWorld, wish: string, isFull: boolean): Promise<object> {
  const mode = wish === "default" ? "" : ` egressMode ${wish}`;
  const status = await world.limit(`bandwidth ${RATE_BIT_PER_SECOND / 1e6}m${mode}`);
  const { plan, failure } = status ?? {};
  const times = isFull ? TIMES : SHORT_TIMES;
  const egress = await tcp(world, times);
  const more = isFull ? await fullTraffic(world) : {};
  const repaired = await takeAwayAll(world, { directory, mechanism: plan?.podEgress?.mechanism });
  return { plan, failure, ...times, egress, ...more, repaired };
}

async function fullTraffic(world: LimitWorld): Promise<object> {
  const ingress = await tcp(world, { ...TIMES, reverse: true });
  const udp = await udpFlood(world);
  const dropped = await eventually("drops", async () => droppedOf(world), Number.isInteger, SAMPLES_TIMEOUT_MS);
  const filters = await run(["tc", "-s", "filter", "show", "dev", world.portName, "ingress"], { allowFailure: true });
  return { ingress, udp, dropped, filters: filters.stdout };
}

/** As the node's reports tell; undefined as long as there were none. */
function droppedOf(world: LimitWorld): number | undefined {
  const dropped = world.report()?.podEgress.droppedPackets ?? 0;
  return dropped === 0 ? undefined : dropped;
}

/** Mbit/s that arrived. */
async function tcp(world: LimitWorld, options: Pick<FlowOptions, "seconds" | "omitSeconds" | "reverse">) {
  return (await measure(world, { from: "sender", address: world.address, ...options })).receivedBitPerSecond / 1e6;
}

/** As much as the sender can: a guest's clock is too coarse for less. */
async function udpFlood(world: LimitWorld): Promise<number> {
  const options = { from: "sender", address: world.address, ...TIMES, udpBitPerSecond: 0 };
  return (await measure(world, options)).receivedBitPerSecond / 1e6;
}
