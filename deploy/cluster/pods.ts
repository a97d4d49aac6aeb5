import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { NetError } from "../../state/errors.ts";
import { type ClusterLayout, cniSocketPath, projectRoot } from "./components.ts";
import { inNetns, type RunResult, run } from "./exec.ts";
import { writeJson } from "./json-file.ts";
import { netnsExists, nodeNetns, podNetns } from "./underlay.ts";

/** What `pod add` was asked for; written down before the attachment so that `pod rm` always finds it. */
export interface Pod {
  readonly name: string;
  readonly node: number;
  readonly containerId: string;
  readonly labels: Readonly<Record<string, string>>;
  /** What else the configuration says, besides labels. */
  readonly annotations?: Readonly<Record<string, string>>;
  readonly bandwidth?: Readonly<Record<string, number>>;
}

export interface PodPlacement {
  readonly tenant?: string;
  readonly network?: string;
  readonly group?: string;
  /** Random when absent. */
  readonly containerId?: string;
  readonly annotations?: Readonly<Record<string, string>>;
  /** `runtimeConfig.bandwidth`: rates in bit/s, bursts in bits. */
  readonly bandwidth?: Readonly<Record<string, number>>;
}

const IF_NAME = "eth0";
const CNI_TIMEOUT_MS = 125_000;
const POD_NAME_PATTERN = /^[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?$/;

function podFile(layout: ClusterLayout, name: string): string {
  return join(layout.home.directory, "pods", `${name}.json`);
}

/** The pods that exist, by name. */
export function listPods(layout: ClusterLayout): readonly Pod[] {
  const directory = join(layout.home.directory, "pods");
  if (!existsSync(directory)) return [];
  return readdirSync(directory)
    .filter((file) => file.endsWith(".json"))
    .sort()
    .map((file) => JSON.parse(readFileSync(join(directory, file), "utf8")) as Pod);
}

export function findPod(layout: ClusterLayout, name: string): Pod {
  const pod = listPods(layout).find((candidate) => candidate.name === name);
  if (pod !== undefined) return pod;
  const known = listPods(layout).map((each) => each.name);
  throw new NetError("NOT_FOUND", `There is no pod "${name}"; there are: ${known.join(", ") || "none"}`);
}

/** Makes a namespace for the pod and attaches it with the real shim, as a container runtime does; returns the CNI result. */
export async function addPod(
  layout: ClusterLayout,
  name: string,
  node: number,
  placement: PodPlacement,
): Promise<string> {
  if (!POD_NAME_PATTERN.test(name)) {
    throw new NetError("INVALID", `Pod name "${name}" must be lower case letters, digits and hyphens, at most 42`);
  }
  if (existsSync(podFile(layout, name)))
    throw new NetError("CONFLICT", `Pod "${name}" exists; remove it with: pod rm ${name}`);
  if (!netnsExists(nodeNetns(layout.underlay, node))) throw new NetError("NOT_FOUND", `There is no node n${node}`);
  const pod = await preparePod(layout, name, node, placement);
  const result = await callShim(layout, pod, "ADD");
  if (result.exitCode === 0) return result.stdout;
  await removePod(layout, name);
  throw new NetError("REJECTED", `Cannot attach pod "${name}" to node n${node}: ${cniMessage(result)}`);
}

/** Writes the pod down and makes its namespace; nothing is attached yet. */
export async function preparePod(
  layout: ClusterLayout,
  name: string,
  node: number,
  placement: PodPlacement,
): Promise<Pod> {
  const { annotations, bandwidth, containerId = randomBytes(32).toString("hex") } = placement;
  const pod: Pod = {
    ...{ name, node, containerId, labels: podLabels(placement) },
    ...(annotations === undefined ? {} : { annotations }),
    ...(bandwidth === undefined ? {} : { bandwidth }),
  };
  mkdirSync(join(layout.home.directory, "pods"), { recursive: true });
  writeJson(podFile(layout, name), pod);
  await run(["ip", "netns", "add", podNetns(layout.underlay, name)]);
  await run(["ip", "-n", podNetns(layout.underlay, name), "link", "set", "lo", "up"]);
  return pod;
}

/** Removes the pod's namespace and forgets it; it should be detached. */
export async function discardPod(layout: ClusterLayout, name: string): Promise<void> {
  const netns = podNetns(layout.underlay, name);
  if (netnsExists(netns)) await run(["ip", "netns", "delete", netns]);
  rmSync(podFile(layout, name), { force: true });
}

/** Detaches the pod and removes its namespace. */
export async function removePod(layout: ClusterLayout, name: string): Promise<void> {
  const pod = findPod(layout, name);
  const result = await callShim(layout, pod, "DEL");
  if (result.exitCode !== 0) throw new NetError("REJECTED", `Cannot detach pod "${name}": ${cniMessage(result)}`);
  await discardPod(layout, name);
}

/** Calls the CNI shim with the environment and configuration that a runtime would give it. */
export function callShim(layout: ClusterLayout, pod: Pod, command: string): Promise<RunResult> {
  const env = { ...process.env, ...shimEnvironment(layout, pod, command) };
  const options = { env, stdin: networkConfiguration(pod), timeoutMs: CNI_TIMEOUT_MS, allowFailure: true };
  return run(shimArgv(layout, pod.node), options);
}

/** The shim, as it is executed on a node. */
export function shimArgv(layout: ClusterLayout, node: number): readonly string[] {
  return inNetns(nodeNetns(layout.underlay, node), [join(projectRoot(), "cni-shim/contiv")]);
}

/** The variables of a CNI call. */
export function shimEnvironment(layout: ClusterLayout, pod: Pod, command: string): Record<string, string> {
  return {
    CNI_COMMAND: command,
    CNI_CONTAINERID: pod.containerId,
    CNI_NETNS: `/run/netns/${podNetns(layout.underlay, pod.name)}`,
    CNI_IFNAME: IF_NAME,
    CNI_PATH: join(projectRoot(), "cni-shim"),
    CNI_ARGS: `IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=${pod.name};K8S_POD_INFRA_CONTAINER_ID=${pod.containerId}`,
    CONTIV_CNI_SOCKET: cniSocketPath(layout, pod.node),
  };
}

/** What a runtime writes to the plugin's standard input, with the pod's labels as CNI's `args.labels`. */
export function networkConfiguration(pod: Pod): string {
  const labels = Object.entries(pod.labels).map(([key, value]) => ({ key, value }));
  const { annotations, bandwidth } = pod;
  const args = annotations === undefined ? { labels } : { labels, annotations };
  const runtimeConfig = bandwidth === undefined ? {} : { runtimeConfig: { bandwidth } };
  return JSON.stringify({ cniVersion: "1.0.0", name: "contiv", type: "contiv", args, ...runtimeConfig });
}

function podLabels(placement: PodPlacement): Record<string, string> {
  const labels: Record<string, string> = {};
  if (placement.tenant !== undefined) labels["io.contiv.tenant"] = placement.tenant;
  if (placement.network !== undefined) labels["io.contiv.network"] = placement.network;
  if (placement.group !== undefined) labels["io.contiv.net-group"] = placement.group;
  return labels;
}

function cniMessage(result: RunResult): string {
  try {
    const error = JSON.parse(result.stdout) as { msg?: string; details?: string };
    return [error.msg, error.details].filter((text) => text !== undefined && text !== "").join(": ");
  } catch {
    return result.stderr.trim() || result.stdout.trim() || `exit status ${result.exitCode}`;
  }
}
