import { join } from "node:path";
import { cniSocketPath, projectRoot } from "../../../deploy/cluster/components.ts";
import { run } from "../../../deploy/cluster/exec.ts";
import { nodeNetns } from "../../../deploy/cluster/underlay.ts";
import type { TestCluster } from "../../system/test-cluster.ts";
import type { Job, Step } from "./spawn-timer.ts";

/** A pod as the runtime sees it: a container and a namespace that is there before the ADD. */
export interface BenchPod {
  readonly id: string;
  readonly netns: string;
}

/** One way to attach pods, as a list of plugin calls. */
export interface Contender {
  readonly name: string;
  /** The node's namespace, in which the plugins run. */
  readonly netns: string;
  add(pod: BenchPod): Job;
  del(pod: BenchPod): Job;
}

const PEER_PLUGINS = "/usr/lib/cni";
const PODS_SUBNET = "10.77.0.0/16";
const LIMIT_BITS_PER_S = 100_000_000;
const BURST_BITS = 10_000_000;
const LIMITS = {
  ...{ ingressRate: LIMIT_BITS_PER_S, ingressBurst: BURST_BITS },
  ...{ egressRate: LIMIT_BITS_PER_S, egressBurst: BURST_BITS },
} as const;

function environment(command: string, pod: BenchPod): Record<string, string> {
  return {
    PATH: "/usr/sbin:/usr/bin:/sbin:/bin",
    CNI_COMMAND: command,
    CNI_CONTAINERID: pod.id,
    CNI_NETNS: `/run/netns/${pod.netns}`,
    CNI_IFNAME: "eth0",
    CNI_PATH: PEER_PLUGINS,
    CNI_ARGS: `IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=${pod.id}`,
  };
}

export interface ContivOptions {
  readonly tenant?: string;
  readonly group?: string;
  /** With the limits that the peer's `bandwidth` plugin sets. */
  readonly withLimits?: boolean;
}

/** The product: the real shim on the socket of a real netplugin. */
export function contivContender(
  cluster: TestCluster,
  node: number,
  networkName: string,
  { tenant, group, withLimits = false }: ContivOptions = {},
): Contender {
  const { layout } = cluster.cluster;
  const labels = { "io.contiv.network": networkName, "io.contiv.tenant": tenant, "io.contiv.net-group": group };
  const config = {
    cniVersion: "1.0.0",
    name: "contiv",
    type: "contiv",
    args: { labels },
    ...(withLimits ? { runtimeConfig: { bandwidth: LIMITS } } : {}),
  };
  const steps = [{ program: join(projectRoot(), "cni-shim/contiv"), input: JSON.stringify(config) }];
  const call = (command: string, pod: BenchPod): Job => ({
    name: `contiv:${command}:${pod.id}`,
    env: { ...environment(command, pod), CONTIV_CNI_SOCKET: cniSocketPath(layout, node) },
    steps,
  });
  return {
    name: withLimits ? "contiv with limits" : "contiv",
    netns: nodeNetns(layout.underlay, node),
    add: (pod) => call("ADD", pod),
    del: (pod) => call("DEL", pod),
  };
}

export interface PeerOptions {
  /** With the `bandwidth` plugin behind `bridge`: the peer that the targets name. */
  readonly withBandwidth: boolean;
  /** Where host-local keeps its addresses, and the results of ADD for DEL. */
  readonly directory: string;
  readonly netns: string;
}

/** Debian's reference plugins, called as a runtime calls a chain: DEL in reverse order, with the result of ADD. */
export function peerContender(options: PeerOptions): Contender {
  const name = options.withBandwidth ? "bridge + host-local + bandwidth" : "bridge + host-local";
  const bridge = JSON.stringify({
    cniVersion: "1.0.0",
    name: "peer",
    type: "bridge",
    bridge: "cni0",
    isGateway: true,
    ipam: {
      type: "host-local",
      dataDir: join(options.directory, "host-local"),
      ranges: [[{ subnet: PODS_SUBNET }]],
      routes: [{ dst: "0.0.0.0/0" }],
    },
  });
  const withPrev = (text: string) => text.replace(/}$/, `,"prevResult":@PREV@}`);
  const bandwidth = JSON.stringify({
    cniVersion: "1.0.0",
    name: "peer",
    type: "bandwidth",
    ...LIMITS,
  });
  const bridgeProgram = join(PEER_PLUGINS, "bridge");
  const limit: Step[] = options.withBandwidth
    ? [{ program: join(PEER_PLUGINS, "bandwidth"), input: withPrev(bandwidth) }]
    : [];
  const resultFile = (pod: BenchPod) => join(options.directory, `${pod.id}.result`);
  return {
    name,
    netns: options.netns,
    add: (pod) => ({
      name: `peer:ADD:${pod.id}`,
      env: environment("ADD", pod),
      steps: [{ program: bridgeProgram, input: bridge }, ...limit],
      saveFile: resultFile(pod),
    }),
    del: (pod) => ({
      name: `peer:DEL:${pod.id}`,
      env: environment("DEL", pod),
      steps: [...limit, { program: bridgeProgram, input: withPrev(bridge) }],
      prevFile: resultFile(pod),
    }),
  };
}

/** Namespaces of pods that do not exist yet, many with one program start. */
export async function makeNamespaces(names: readonly string[]): Promise<void> {
  await run(["ip", "-batch", "-"], { stdin: names.map((name) => `netns add ${name}\n`).join(""), timeoutMs: 120_000 });
}
