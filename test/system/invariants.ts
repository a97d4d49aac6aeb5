import { type ClusterLayout, netmasterName } from "../../deploy/cluster/components.ts";
import { daemonPid } from "../../deploy/cluster/daemon.ts";
import { listPods, type Pod } from "../../deploy/cluster/pods.ts";
import { isInfraEndpoint } from "../../state/infra.ts";
import { CLAIMS } from "../../state/keys.ts";
import type { EndpointRecord } from "../../state/kinds/endpoint.ts";
import { networkRanges } from "../../state/network-ranges.ts";
import { type DumpedLink, type DumpedPort, dumpNode, dumpPodLinks, type NodeDump } from "./node-dump.ts";
import { dumpStore, expectedClaims, type StoreDump } from "./store-dump.ts";
import type { TestCluster } from "./test-cluster.ts";

/**
 * What must hold of a cluster at rest, whatever has happened to it: pods, leases, claims, REST, ports, flows and links agree, and
 * nothing is lost, doubled or left over. Each violation is a sentence.
 */
export async function violations(world: TestCluster): Promise<readonly string[]> {
  const { layout, nodes } = world.cluster;
  const pods = listPods(layout);
  const store = await dumpStore(layout);
  const dumps = await Promise.all(nodes.map((node) => dumpNode(layout, node)));
  const podLinks = new Map(
    await Promise.all(pods.map(async (pod) => [pod.name, await dumpPodLinks(layout, pod.name)] as const)),
  );
  return [
    ...claimViolations(store),
    ...leaseViolations(store, pods),
    ...(await restViolations(world, store)),
    ...dumps.flatMap((dump) => nodeViolations(dump, store)),
    ...pods.flatMap((pod) => podViolations(pod, podLinks.get(pod.name) ?? [], { store, dump: dumps[pod.node - 1] })),
  ];
}

/** Looks again until nothing is wrong; at the deadline throws with everything that still is. */
export async function expectSound(world: TestCluster, timeoutMs = 30_000): Promise<void> {
  const deadlineMs = Date.now() + timeoutMs;
  for (;;) {
    const found = await violations(world).catch((error: unknown) => [`cannot look: ${String(error)}`]);
    if (found.length === 0) return;
    if (Date.now() > deadlineMs)
      throw new Error(`${found.length} violations after ${timeoutMs} ms:\n${found.join("\n")}`);
    await new Promise((resolve) => setTimeout(resolve, 150));
  }
}

function claimViolations(store: StoreDump): string[] {
  const expected = expectedClaims(store);
  const found = [...store.oddities];
  for (const [key, owner] of expected) {
    if (store.claims.get(key) !== owner) found.push(`claim ${key} is ${store.claims.get(key) ?? "lost"}, not ${owner}`);
  }
  for (const [key, owner] of store.claims) if (!expected.has(key)) found.push(`claim ${key} of ${owner} is left over`);
  return found;
}

function leaseViolations(store: StoreDump, pods: readonly Pod[]): string[] {
  const found: string[] = [];
  const leases = store.records("endpoint").filter((endpoint) => !isInfraEndpoint(endpoint));
  const attached = new Set(pods.map((pod) => `${pod.containerId} n${pod.node}`));
  const taken = new Map<string, string>();
  for (const lease of leases) {
    if (!attached.has(`${lease.containerId} ${lease.nodeName}`)) {
      found.push(`lease ${describe(lease)} is of no pod on ${lease.nodeName}`);
    }
    for (const ip of [lease.ipv4, lease.ipv6]) {
      if (ip === undefined) continue;
      const place = `${lease.networkId} ${ip}`;
      if (taken.has(place)) found.push(`address ${ip} of ${describe(lease)} is also ${taken.get(place)}'s`);
      taken.set(place, lease.key);
    }
  }
  const leased = new Set(leases.map(({ containerId, nodeName }) => `${containerId} ${nodeName}`));
  for (const pod of pods)
    if (!leased.has(`${pod.containerId} n${pod.node}`)) found.push(`pod ${pod.name} has lost its lease`);
  return found;
}

function describe({ podName, ipv4, key }: EndpointRecord): string {
  return `${ipv4} of ${podName} (${key.slice(0, 8)}…)`;
}

interface RestEndpoint {
  readonly key: string;
  readonly epoch: string;
  readonly homingHost: string;
  readonly ipAddress: readonly string[];
}

/** Every netmaster that runs tells what the store holds. */
async function restViolations(world: TestCluster, store: StoreDump): Promise<string[]> {
  const { layout } = world.cluster;
  const found: string[] = [];
  const wanted = store.records("endpoint").map(({ key, epoch, nodeName, ipv4, ipv6 }) => {
    return JSON.stringify([key, epoch, nodeName, ipv4, ipv6 ?? ""]);
  });
  for (const index of runningNetmasters(layout)) {
    const rest = world.restOf(index);
    const endpoints = await rest.get<RestEndpoint[]>("/api/v1/endpoints/");
    const told = endpoints.map(({ key, epoch, homingHost, ipAddress }) => {
      return JSON.stringify([key, epoch, homingHost, ...ipAddress]);
    });
    found.push(...differences(`netmaster-${index}: endpoint`, wanted, told));
    for (const network of store.records("network")) {
      const { Oper: oper } = await rest.get<NetworkInspection>(`/api/v1/inspect/networks/${network.key}/`);
      const addressCount = [...store.claims.keys()].filter((key) =>
        key.startsWith(`${CLAIMS}ip/${network.networkId}/`),
      ).length;
      const gateways = Object.values(networkRanges(network.config)).filter(
        (ranges) => ranges?.gateway !== undefined,
      ).length;
      const endpointCount = store.records("endpoint").filter(({ networkId }) => networkId === network.networkId).length;
      if ((oper.numEndpoints ?? 0) !== endpointCount)
        found.push(`${network.key} shows ${oper.numEndpoints} endpoints of ${endpointCount}`);
      const leased = oper.allocatedAddressesCount ?? 0;
      if (leased !== addressCount - gateways)
        found.push(`${network.key} shows ${leased} addresses of ${addressCount - gateways}`);
    }
  }
  return found;
}

interface NetworkInspection {
  readonly Oper: { readonly numEndpoints?: number; readonly allocatedAddressesCount?: number };
}

export function runningNetmasters(layout: ClusterLayout): readonly number[] {
  const all = Array.from({ length: layout.netmasters }, (_, index) => index + 1);
  return all.filter((index) => daemonPid(layout.home, netmasterName(index)) !== undefined);
}

/** What is missing of `wanted`, and what is too much; both may hold doubles. */
export function differences(what: string, wanted: readonly string[], present: readonly string[]): string[] {
  const left = [...present];
  const found: string[] = [];
  for (const each of wanted) {
    const at = left.indexOf(each);
    if (at < 0) found.push(`${what} ${each} is missing`);
    else left.splice(at, 1);
  }
  return [...found, ...left.map((each) => `${what} ${each} is too much`)];
}

const ROLES = new Set(["pod", "warm", "tunnel", "patch", "nic", "infra"]);
/** Bridges' own ports; they carry no mark of ours. */
const LOCAL_PORT = 65_534;
/** A failed ADD gives its port back, so that there may be more than the pool's target for a while. */
const READY_PORTS_MAX = 40;

function nodeViolations(dump: NodeDump, store: StoreDump): string[] {
  const name = `n${dump.node}`;
  const found: string[] = [];
  const pods = dump.ports.filter(({ externalIds }) => externalIds["contiv-role"] === "pod");
  const ready = dump.ports.filter(({ externalIds }) => externalIds["contiv-role"] === "warm");
  for (const port of dump.ports) {
    if (port.ofport === LOCAL_PORT) continue;
    if (port.ofport === undefined || port.ofport < 1) found.push(`port ${port.name} is not plugged in: ${port.error}`);
    if (!ROLES.has(port.externalIds["contiv-role"] ?? "")) found.push(`port ${port.name} has no role`);
  }
  if (ready.length > READY_PORTS_MAX) found.push(`${ready.length} ready ports`);
  const leases = store.records("endpoint").filter((lease) => lease.nodeName === name && !isInfraEndpoint(lease));
  found.push(
    ...differences(
      "port of",
      leases.map(({ key, epoch }) => `${key} epoch ${epoch}`),
      pods.map(({ externalIds }) => `${externalIds["contiv-endpoint"]} epoch ${externalIds["contiv-epoch"]}`),
    ),
    ...linkViolations(dump, [...pods, ...ready]),
    ...flowViolations(dump, pods),
  );
  return found.map((each) => `${name}: ${each}`);
}

const FIXED_LINKS = new Set(["lo", "eth0", "ovs-netdev", "cu-eth0", "contiv-int"]);

/** Each port has its pair of links, one end here and one in the panel, and there are no others. */
function linkViolations(dump: NodeDump, ports: readonly DumpedPort[]): string[] {
  const near = new Map(dump.links.map((link) => [link.name, link]));
  const found = differences(
    "link",
    [...FIXED_LINKS, ...internalNames(dump), ...ports.map(({ name }) => name)],
    dump.links.map(({ name }) => name),
  );
  found.push(
    ...differences(
      "link in the panel",
      ["lo", ...ports.map(({ name }) => farName(name))],
      dump.panelLinks.map(({ name }) => name),
    ),
  );
  for (const far of dump.panelLinks) {
    const mate = near.get(nearName(far.name));
    if (
      far.name !== "lo" &&
      mate !== undefined &&
      (mate.lowerIfindex !== far.ifindex || far.lowerIfindex !== mate.ifindex)
    ) {
      found.push(`links ${mate.name} and ${far.name} are not a pair`);
    }
    if (far.name !== "lo" && !far.isUp) found.push(`link in the panel ${far.name} is down`);
  }
  return found;
}

function internalNames({ ports }: NodeDump): string[] {
  return ports.flatMap(({ name, type, ofport }) => (type === "internal" && ofport !== LOCAL_PORT ? name : []));
}

/** The names of a pair's ends differ in their prefix. */
function nearName(farEnd: string): string {
  return farEnd.replace(/^cvp/, "cvh");
}

function farName(portName: string): string {
  return portName.replace(/^cvh/, "cvp");
}

/** Flows are ours, as many as netplugin knows of, and let exactly the attached pods in. */
function flowViolations(dump: NodeDump, pods: readonly DumpedPort[]): string[] {
  const found: string[] = [];
  const foreign = dump.flows.filter((flow) => !flow.includes("cookie=0xc017"));
  found.push(...foreign.map((flow) => `foreign flow: ${flow}`));
  const known = dump.metrics.get("contiv_netplugin_flows");
  if (known !== dump.flows.length) found.push(`${dump.flows.length} flows, of which netplugin knows ${known}`);
  const classified = dump.flows.filter((flow) => !flow.includes("table=") && /,in_port=\d+,vlan_tci=0x0000/.test(flow));
  found.push(
    ...differences(
      "flow that lets in port",
      pods.map(({ ofport }) => String(ofport)),
      classified.map((flow) => /in_port=(\d+)/.exec(flow)?.[1] ?? ""),
    ),
  );
  const numbers = new Set(dump.ports.map(({ ofport }) => ofport));
  for (const flow of dump.flows) {
    const port = /in_port=(\d+)/.exec(flow)?.[1];
    if (port !== undefined && !numbers.has(Number(port))) found.push(`flow of a port that is gone: ${flow}`);
  }
  return found;
}

interface PodWorld {
  readonly store: StoreDump;
  readonly dump: NodeDump | undefined;
}

/** The pod has its interface, with the lease's addresses, on its own port; and nothing besides. */
function podViolations(pod: Pod, links: readonly DumpedLink[], { store, dump }: PodWorld): string[] {
  const lease = store
    .records("endpoint")
    .find(({ containerId, nodeName }) => containerId === pod.containerId && nodeName === `n${pod.node}`);
  if (lease === undefined || dump === undefined) return []; // told elsewhere
  const found = differences(
    "link",
    ["lo", lease.ifName],
    links.map(({ name }) => name),
  );
  const link = links.find(({ name }) => name === lease.ifName);
  if (link === undefined) return found.map((each) => `pod ${pod.name}: ${each}`);
  const port = dump.ports.find(({ externalIds }) => externalIds["contiv-endpoint"] === lease.key);
  const lower = dump.panelLinks.find(({ name }) => name === farName(port?.name ?? ""));
  if (!link.isUp) found.push("its interface is down");
  if (link.mac !== lease.mac) found.push(`its MAC is ${link.mac}, not ${lease.mac}`);
  if (lower === undefined || link.lowerIfindex !== lower.ifindex) found.push("its interface is not on its port");
  const wanted = [lease.ipv4, lease.ipv6].flatMap((ip) => ip ?? []);
  found.push(
    ...differences(
      "address",
      wanted,
      link.addresses.map((address) => address.split("/")[0] ?? ""),
    ),
  );
  return found.map((each) => `pod ${pod.name}: ${each}`);
}
