import { setTimeout as sleep } from "node:timers/promises";
import { bandwidthAdmin, bandwidthTraffic } from "../../system/bandwidth-world.ts";
import type { TestCluster } from "../../system/test-cluster.ts";
import { serveIperf } from "../../system/throughput.ts";
import { peerPod } from "./bandwidth-peer.ts";
import { printTable, type Verdict } from "./report.ts";

const MTU_BYTES = 1_450;
const UDP_BYTES = 1_300;
const ETHERNET_BYTES = 14;
const IP_BYTES = { 4: 20, 6: 40 } as const;
const TCP_BYTES = 32; // with timestamps
const UDP_HEADER_BYTES = 8;
const SHAPED_ERROR_MAX = 0.03;
const POLICED_TCP_MIN = 0.85;
/** A policed limit's default burst is what it lets through in a second. */
const POLICED_BURST_S = 1;
/** Up to here all columns are measured at the same time: they do not disturb each other. */
const TOGETHER_MAX_MBIT = 10;
/** A queue's least burst, 32 kB, is a quarter of a second at 1 Mbit/s: what TCP saves up must not show. */
const SLOW_MAX_MBIT = 1;
const SLOW_SECONDS = 12;
/** A limit can be measured when the machine carries so much more without one. */
const HEADROOM = 1.2;

export interface AccuracyOptions {
  readonly ratesMbit: readonly number[];
  readonly seconds: number;
}

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
  { name: "UDP v6", family: 6, isUdp: true, connections: 1 },
];

/** A pair of pods for each column; the policed one is of another group. */
const COLUMNS = [
  { name: "in", group: "web", reverse: true },
  { name: "out", group: "web", reverse: false },
  { name: "policed", group: "db", reverse: false },
] as const;

/**
 * How much of a limit arrives. Limits count Ethernet frames, of which the payload is what iperf3 shows: 1 is all of the limit's payload.
 * The first second is left out (slow start, bursts), but for policed UDP, whose whole burst counts.
 */
export async function accuracy(world: TestCluster, options: AccuracyOptions): Promise<readonly Verdict[]> {
  for (const { name, group } of COLUMNS) {
    await world.addPod(`c-${name}`, 1, { tenant: "t1", network: "net", group });
    await world.addPod(`s-${name}`, 1, { tenant: "t1", network: "net" });
    await serveIperf(world, `s-${name}`);
  }
  const unlimitedMbit = (await bandwidthTraffic(() => world).flow("c-in", "s-in")).receivedBitPerSecond / 1e6;
  process.stdout.write(`Without limits: ${unlimitedMbit.toFixed(0)} Mbit/s of TCP between two pods\n\n`);
  const verdicts: Verdict[] = [];
  const rows: (string | number)[][] = [];
  for (const rateMbit of options.ratesMbit) {
    if (unlimitedMbit < rateMbit * HEADROOM) {
      process.stdout.write(`${rateMbit} Mbit/s is left out: this machine does not carry it\n`);
      continue;
    }
    const seconds = rateMbit <= SLOW_MAX_MBIT ? Math.max(SLOW_SECONDS, options.seconds) : options.seconds;
    for (const row of await rateRows(world, rateMbit, seconds)) {
      rows.push([`${rateMbit} Mbit/s ${row.load.name}`, ...row.parts]);
      verdicts.push(...verdictsOf(rateMbit, row, seconds));
    }
  }
  printTable(["part of the limit", "in", "out, shaped", "out, policed", "plugin in", "plugin out"], rows);
  await world.removeAllPods();
  return verdicts;
}

interface Row {
  readonly load: Load;
  /** In, out shaped, out policed, plugin in, plugin out. */
  readonly parts: readonly number[];
}

async function rateRows(world: TestCluster, rateMbit: number, seconds: number): Promise<readonly Row[]> {
  const { profile, attach } = bandwidthAdmin(() => world);
  for (const [group, egressMode] of [
    ["web", "shape"],
    ["db", "police"],
  ] as const) {
    await profile(egressMode, { bandwidth: `${rateMbit}mbps`, egressMode });
    await attach(group, egressMode);
  }
  const peer = (name: string) =>
    peerPod({
      name,
      rateBitPerSecond: rateMbit * 1e6,
      mtuBytes: MTU_BYTES,
      directory: world.cluster.layout.home.directory,
    });
  await using peerIn = await peer(`in${rateMbit}`);
  await using peerOut = await peer(`out${rateMbit}`);
  await sleep(1_000);
  const { flow, addressOf } = bandwidthTraffic(() => world);
  const rows: Row[] = [];
  for (const load of LOADS) {
    const { family, connections } = load;
    const udp = load.isUdp ? { udpBitPerSecond: rateMbit * 1.5e6 } : {};
    const common = { seconds, omitSeconds: 1, connections, ...udp };
    const ours = COLUMNS.map(({ name, reverse }) => async () => {
      const omitSeconds = name === "policed" && load.isUdp ? 0 : 1;
      const address = await addressOf(`s-${name}`, family);
      return (await flow(`c-${name}`, `s-${name}`, { ...common, omitSeconds, reverse, address })).receivedBitPerSecond;
    });
    const peers = [() => peerIn.flow({ family, ...common, reverse: true }), () => peerOut.flow({ family, ...common })];
    const measured = await all([...ours, ...peers], rateMbit <= TOGETHER_MAX_MBIT);
    rows.push({ load, parts: measured.map((bitPerSecond) => bitPerSecond / (rateMbit * 1e6 * payloadShare(load))) });
  }
  return rows;
}

async function all(measurements: readonly (() => Promise<number>)[], isTogether: boolean): Promise<readonly number[]> {
  if (isTogether) return Promise.all(measurements.map((each) => each()));
  const results: number[] = [];
  for (const each of measurements) results.push(await each());
  return results;
}

/** Part of a frame that is the program's. */
function payloadShare({ family, isUdp }: Load): number {
  if (isUdp) return UDP_BYTES / (UDP_BYTES + UDP_HEADER_BYTES + IP_BYTES[family] + ETHERNET_BYTES);
  return (MTU_BYTES - IP_BYTES[family] - TCP_BYTES) / (MTU_BYTES + ETHERNET_BYTES);
}

function verdictsOf(rateMbit: number, { load, parts }: Row, seconds: number): readonly Verdict[] {
  const [inward = 0, outward = 0, policed = 0] = parts;
  const what = `${rateMbit} Mbit/s ${load.name}`;
  const shaped = { limit: SHAPED_ERROR_MAX, direction: "at-most" } as const;
  const burst = 1 + POLICED_BURST_S / seconds;
  return [
    { what: `${what}, in: error`, measured: Math.abs(inward - 1), ...shaped },
    { what: `${what}, out, shaped: error`, measured: Math.abs(outward - 1), ...shaped },
    { what: `${what}, policed: part of rate and burst`, measured: policed / burst, limit: 1, direction: "at-most" },
    ...(load.isUdp
      ? []
      : [
          { what: `${what}, policed: part`, measured: policed, limit: POLICED_TCP_MIN, direction: "at-least" } as const,
        ]),
  ];
}
