import { join } from "node:path";
import { inNetns, run } from "../../../deploy/cluster/exec.ts";
import type { FlowOptions } from "../../system/throughput.ts";
import { measure } from "../../system/throughput.ts";

/** A pod of the reference plugins: bridge, host-local and bandwidth, one after the other, as a runtime calls a chain. */
export interface PeerPod extends AsyncDisposable {
  /** What arrived, in bit/s, between the pod and its node, which has the bridge's address. */
  flow(options: PeerFlow): Promise<number>;
}

export type PeerFlow = Omit<FlowOptions, "from" | "address"> & { readonly family: 4 | 6 };

export interface PeerOptions {
  readonly name: string;
  readonly rateBitPerSecond: number;
  readonly mtuBytes: number;
  /** For what host-local writes down. */
  readonly directory: string;
}

const PLUGINS = "/usr/lib/cni";
const GATEWAYS = { 4: "10.8.0.1", 6: "fd08::1" } as const;
/** The least that the product takes for its queues, too. */
const BURST_MIN_BITS = 262_144;
const BURST_S = 0.01;

export async function peerPod({ name, rateBitPerSecond, mtuBytes, directory }: PeerOptions): Promise<PeerPod> {
  const [host, pod] = [`bw-host-${name}-${process.pid}`, `bw-pod-${name}-${process.pid}`];
  const remove = async () => {
    for (const netns of [pod, host]) await run(["ip", "netns", "del", netns], { allowFailure: true });
  };
  const inside = (netns: string, argv: readonly string[], timeoutMs = 30_000) =>
    run(inNetns(netns, argv), { allowFailure: true, timeoutMs });
  const env = {
    ...{ CNI_COMMAND: "ADD", CNI_CONTAINERID: name, CNI_NETNS: `/run/netns/${pod}`, CNI_IFNAME: "eth0" },
    CNI_PATH: PLUGINS,
  };
  const call = async (plugin: string, config: object): Promise<object> => {
    const stdin = JSON.stringify({ cniVersion: "1.0.0", name: "peer", type: plugin, ...config });
    const { stdout } = await run(inNetns(host, [join(PLUGINS, plugin)]), { stdin, env: { ...process.env, ...env } });
    return JSON.parse(stdout) as object;
  };
  try {
    for (const netns of [host, pod]) await run(["ip", "netns", "add", netns]);
    await inside(host, ["ip", "link", "set", "lo", "up"]);
    const ranges = [[{ subnet: "10.8.0.0/24" }], [{ subnet: "fd08::/64" }]];
    const ipam = { type: "host-local", dataDir: join(directory, `host-local-${name}`), ranges };
    const prevResult = await call("bridge", { bridge: "cni0", isGateway: true, mtu: mtuBytes, ipam });
    const burst = Math.max(Math.ceil(rateBitPerSecond * BURST_S), BURST_MIN_BITS);
    const limits = { ingressRate: rateBitPerSecond, egressRate: rateBitPerSecond };
    await call("bandwidth", { ...limits, ingressBurst: burst, egressBurst: burst, prevResult });
    await inside(host, ["setpriv", "--pdeathsig", "KILL", "--", "iperf3", "--server", "--daemon"]);
  } catch (error) {
    await remove();
    throw error;
  }
  const inPod = (_pod: string, argv: readonly string[], timeoutMs?: number) => inside(pod, argv, timeoutMs);
  return {
    flow: async ({ family, ...more }) =>
      (await measure({ inPod }, { from: pod, address: GATEWAYS[family], ...more })).receivedBitPerSecond,
    [Symbol.asyncDispose]: async () => {
      await killIn(host);
      await remove();
    },
  };
}

/** A namespace lives as long as its processes. */
async function killIn(netns: string): Promise<void> {
  const { stdout } = await run(["ip", "netns", "pids", netns], { allowFailure: true });
  const pids = stdout.split("\n").filter((line) => line !== "");
  if (pids.length > 0) await run(["kill", ...pids], { allowFailure: true });
}
