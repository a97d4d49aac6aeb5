/**
 * How exactly a limit is kept, beside the reference `bandwidth` CNI plugin (Debian's, in /usr/lib/cni) on a plain veth.
 *
 *   test/bench/run bandwidth [--seconds 6] [--rates 1,10,100]
 *
 * Limits count Ethernet frames; what is shown is the share of the limit's payload that arrived: TCP and UDP, IPv4 and IPv6, one and eight
 * connections. The first second is left out (slow start, bursts), but for policed limits, whose burst belongs to them.
 */
import { parseArgs } from "node:util";
import { inNetns, run } from "../../deploy/cluster/exec.ts";
import { startTestCluster } from "../system/test-cluster.ts";
import { measure, serveIperf } from "../system/throughput.ts";
import { printMachine, printTable, printVerdicts, type Verdict } from "./lib/report.ts";

const MTU_BYTES = 1_450;
const UDP_BYTES = 1_300;
const ETHERNET_BYTES = 14;
const IP_BYTES = { 4: 20, 6: 40 } as const;
const TCP_BYTES = 32; // with timestamps
const UDP_HEADER_BYTES = 8;
const SHAPED_ERROR_MAX = 0.03;
const POLICED_TCP_MIN = 0.85;
const PLUGIN = "/usr/lib/cni/bandwidth";

const { values: flags } = parseArgs({
  options: { seconds: { type: "string", default: "6" }, rates: { type: "string", default: "1,10,100" } },
});
const seconds = Number(flags.seconds);
const ratesMbit = flags.rates.split(",").map(Number);

interface Load {
  readonly name: string;
  readonly family: 4 | 6;
  readonly isUdp: boolean;
  readonly connections: number;
}

const LOADS: readonly Load[] = [
  { name: "TCP v4", family: 4, isUdp: false, connections: 1 },
  { name: "TCP v6", family: 6, isUdp: false, connections: 1 },
  { name: "TCP v4 × 8", family: 4, isUdp: false, connections: 8 },
  { name: "UDP v4", family: 4, isUdp: true, connections: 1 },
];

/** Part of a frame that is the program's. */
function payloadShare({ family, isUdp }: Load): number {
  if (isUdp) return UDP_BYTES / (UDP_BYTES + UDP_HEADER_BYTES + IP_BYTES[family] + ETHERNET_BYTES);
  return (MTU_BYTES - IP_BYTES[family] - TCP_BYTES) / (MTU_BYTES + ETHERNET_BYTES);
}

await using world = await startTestCluster({ nodes: 1 });
printMachine();
const rest = { tenantName: "t1", networkName: "net" };
await world.rest.post("/api/v1/tenants/t1/", { tenantName: "t1" });
const subnets = { subnet: "10.1.0.0/16", ipv6Subnet: "fd01::/64", mtuBytes: MTU_BYTES };
await world.rest.post("/api/v1/networks/t1:net/", { ...rest, encap: "vxlan", ...subnets });
await world.rest.post("/api/v1/endpointGroups/t1:web/", { ...rest, groupName: "web" });
await world.addPod("client", 1, { tenant: "t1", network: "net", group: "web" });
await world.addPod("server", 1, { tenant: "t1", network: "net" });
await serveIperf(world, "server");
const [v4 = "", v6 = ""] = await world.addresses("server");

const verdicts: Verdict[] = [];
const rows: (string | number)[][] = [];
for (const rateMbit of ratesMbit) {
  for (const load of LOADS) {
    const shapedOut = await ours(rateMbit, load, { egressMode: "shape", isReverse: false });
    const shapedIn = await ours(rateMbit, load, { egressMode: "shape", isReverse: true });
    const policed = await ours(rateMbit, load, { egressMode: "police", isReverse: false });
    rows.push([
      `${rateMbit} Mbit/s ${load.name}`,
      shapedIn,
      shapedOut,
      policed,
      await plugin(rateMbit, load, true),
      await plugin(rateMbit, load, false),
    ]);
    for (const [side, part] of [
      ["in", shapedIn],
      ["out", shapedOut],
    ] as const) {
      const what = `${rateMbit} Mbit/s ${load.name}, shaped ${side}: error`;
      verdicts.push({ what, measured: Math.abs(part - 1), limit: SHAPED_ERROR_MAX, direction: "at-most" });
    }
    if (load.isUdp) continue;
    const what = `${rateMbit} Mbit/s ${load.name}, policed: part`;
    verdicts.push({ what, measured: policed, limit: POLICED_TCP_MIN, direction: "at-least" });
  }
}
printTable(["part of the limit", "ours in", "ours out, shaped", "ours out, policed", "plugin in", "plugin out"], rows);
printVerdicts(verdicts);
process.exit();

interface Way {
  readonly egressMode: "shape" | "police";
  readonly isReverse: boolean;
}

async function ours(rateMbit: number, load: Load, { egressMode, isReverse }: Way): Promise<number> {
  const profile = { tenantName: "t1", profileName: "p", bandwidth: `${rateMbit}mbps`, egressMode };
  await world.rest.post("/api/v1/netprofiles/t1:p/", profile);
  await world.rest.post("/api/v1/endpointGroups/t1:web/", { ...rest, groupName: "web", netProfile: "p" });
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  const isPoliced = egressMode === "police" && !isReverse;
  const { receivedBitPerSecond } = await measure(world, {
    ...{
      from: "client",
      address: load.family === 4 ? v4 : v6,
      seconds,
      reverse: isReverse,
      connections: load.connections,
    },
    ...{ omitSeconds: isPoliced ? 0 : 1 },
    ...(load.isUdp ? { udpBitPerSecond: rateMbit * 1.5e6 } : {}),
  });
  return receivedBitPerSecond / (rateMbit * 1e6 * payloadShare(load));
}

/** The plugin on a veth between two namespaces of its own, with the burst that ours has; `in` is towards the pod. */
async function plugin(rateMbit: number, load: Load, isInward: boolean): Promise<number> {
  const [host, pod] = [`bw-host-${process.pid}`, `bw-pod-${process.pid}`];
  const ip = (...argv: string[]) => run(["ip", ...argv]);
  try {
    for (const netns of [host, pod]) await ip("netns", "add", netns);
    const mtu = ["mtu", String(MTU_BYTES)];
    await ip(
      "-n",
      host,
      "link",
      "add",
      "host0",
      ...mtu,
      "up",
      "type",
      "veth",
      "peer",
      "name",
      "eth0",
      ...mtu,
      "netns",
      pod,
    );
    await ip("-n", pod, "link", "set", "eth0", "up");
    for (const [netns, device, number] of [
      [host, "host0", 1],
      [pod, "eth0", 2],
    ] as const) {
      await ip("-n", netns, "address", "add", `10.8.0.${number}/24`, "dev", device);
      await ip("-n", netns, "address", "add", `fd08::${number}/64`, "dev", device, "nodad");
    }
    await limitByPlugin(rateMbit, host, pod);
    const address = load.family === 4 ? "10.8.0.2" : "fd08::2";
    await run(inNetns(pod, ["iperf3", "--server", "--one-off", "--daemon"]));
    await new Promise((resolve) => setTimeout(resolve, 300));
    const udp = load.isUdp ? ["--udp", "--bitrate", String(rateMbit * 1.5e6), "--length", String(UDP_BYTES)] : [];
    const times = ["--time", String(seconds), "--omit", "1", "--parallel", String(load.connections)];
    const client = ["iperf3", "--json", "--client", address, ...times, ...udp, ...(isInward ? [] : ["--reverse"])];
    const { end } = JSON.parse((await run(inNetns(host, client), { timeoutMs: 60_000 })).stdout);
    return (end.sum_received ?? end.sum).bits_per_second / (rateMbit * 1e6 * payloadShare(load));
  } finally {
    for (const netns of [host, pod]) await run(["ip", "netns", "del", netns], { allowFailure: true });
  }
}

async function limitByPlugin(rateMbit: number, host: string, pod: string): Promise<void> {
  const [rate, burst] = [rateMbit * 1e6, Math.max(rateMbit * 1e4, 262_144)];
  const sandbox = `/run/netns/${pod}`;
  const interfaces = [{ name: "host0" }, { name: "eth0", sandbox }];
  const prevResult = { cniVersion: "1.0.0", interfaces, ips: [{ address: "10.8.0.2/24", interface: 1 }] };
  const limits = { ingressRate: rate, ingressBurst: burst, egressRate: rate, egressBurst: burst };
  const stdin = JSON.stringify({ cniVersion: "1.0.0", name: "peer", type: "bandwidth", ...limits, prevResult });
  const call = {
    CNI_COMMAND: "ADD",
    CNI_CONTAINERID: "bench",
    CNI_NETNS: sandbox,
    CNI_IFNAME: "eth0",
    CNI_PATH: "/usr/lib/cni",
  };
  await run(inNetns(host, [PLUGIN]), { stdin, env: { ...process.env, ...call } });
}
