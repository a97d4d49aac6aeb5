import { setTimeout as sleep } from "node:timers/promises";
import type { TestCluster } from "./test-cluster.ts";

/** Where pods are. */
type Pods = Pick<TestCluster, "inPod">;

export interface FlowOptions {
  readonly from: string;
  readonly address: string;
  readonly seconds: number;
  /** Left out at the beginning: bursts and slow start. */
  readonly omitSeconds?: number;
  /** The far pod sends. */
  readonly reverse?: boolean;
  readonly connections?: number;
  /** Sends UDP at this rate instead of TCP. */
  readonly udpBitPerSecond?: number;
  readonly port?: number;
}

/** What arrived, by the receiver's own count. */
export interface Flow {
  readonly receivedBitPerSecond: number;
  readonly sentBitPerSecond: number;
}

/** Starts iperf3's server in a pod; it ends with the pod's namespace's processes, that is with the test. */
export async function serveIperf(world: Pods, pod: string, port = 5_201): Promise<void> {
  const argv = ["setpriv", "--pdeathsig", "KILL", "--", "iperf3", "--server", "--port", String(port), "--daemon"];
  const { exitCode, stderr } = await world.inPod(pod, argv);
  if (exitCode !== 0) throw new Error(`iperf3 does not serve in ${pod}: ${stderr}`);
}

/** Runs iperf3 between two pods. */
export async function measure(world: Pods, options: FlowOptions): Promise<Flow> {
  const { from, address, seconds, omitSeconds = 0, reverse = false, connections = 1, udpBitPerSecond } = options;
  const argv = [
    ...["iperf3", "--json", "--client", address, "--port", String(options.port ?? 5_201)],
    ...["--time", String(seconds), "--omit", String(omitSeconds), "--parallel", String(connections)],
    ...(reverse ? ["--reverse"] : []),
    ...(udpBitPerSecond === undefined ? [] : ["--udp", "--bitrate", String(udpBitPerSecond), "--length", "1300"]),
  ];
  const report = await runIperf(world, from, argv, (seconds + omitSeconds) * 1_000 + 15_000);
  const { sum, sum_received, sum_sent } = report.end;
  const received = sum_received ?? sum;
  return {
    receivedBitPerSecond: received?.bits_per_second ?? 0,
    sentBitPerSecond: (sum_sent ?? sum)?.bits_per_second ?? 0,
  };
}

/** A machine that stands still for a moment measures too little or too much, so what was measured may be measured again. */
const MEASUREMENTS_MAX = 3;

/** Measures and compares; what fails is told, and counts when it fails each time. */
export async function steadily<Result>(measureAndCompare: () => Promise<Result>): Promise<Result> {
  for (let count = 1; ; count++) {
    try {
      return await measureAndCompare();
    } catch (error) {
      if (count === MEASUREMENTS_MAX) throw error;
      const reason = error instanceof Error ? error.message : String(error);
      process.stdout.write(`measured again, since measurement ${count} of ${MEASUREMENTS_MAX} failed: ${reason}\n`);
    }
  }
}

interface IperfReport {
  readonly error?: string;
  readonly end: {
    readonly sum?: { readonly bits_per_second: number };
    readonly sum_sent?: { readonly bits_per_second: number };
    readonly sum_received?: { readonly bits_per_second: number };
  };
}

/** Between two clients iperf3's server opens its port anew and refuses whoever comes in that moment. */
const ATTEMPTS = 5;
const ATTEMPT_PAUSE_MS = 200;

async function runIperf(world: Pods, pod: string, argv: readonly string[], timeoutMs: number): Promise<IperfReport> {
  for (let attempt = 1; ; attempt++) {
    const result = await world.inPod(pod, argv, timeoutMs);
    const report = JSON.parse(result.stdout) as IperfReport;
    if (report.error === undefined) return report;
    if (attempt === ATTEMPTS) throw new Error(`iperf3 in ${pod}: ${report.error}`);
    await sleep(ATTEMPT_PAUSE_MS);
  }
}
