import { NetError } from "../../state/errors.ts";
import type { Cluster } from "./cluster.ts";
import { inNetns, run } from "./exec.ts";
import { addPod, listPods, removePod } from "./pods.ts";
import { type RestClient, restClient } from "./rest-client.ts";
import { podNetns } from "./underlay.ts";

interface DemoPod {
  readonly name: string;
  readonly node: number;
  readonly network: string;
}

const TENANT = "blue";
const NETWORKS = [
  { networkName: "web", encap: "vxlan", subnet: "10.1.0.0/16", gateway: "10.1.255.254", ipv6Subnet: "fd00:1::/64" },
  { networkName: "db", encap: "vlan", subnet: "10.2.0.0/16", gateway: "10.2.255.254", ipv6Subnet: "fd00:2::/64" },
];

function demoPods(nodes: readonly number[]): readonly DemoPod[] {
  const second = nodes.length > 1 ? 2 : 1;
  return [
    { name: "web-1", node: 1, network: "web" },
    { name: "web-2", node: second, network: "web" },
    { name: "db-1", node: 1, network: "db" },
    { name: "db-2", node: second, network: "db" },
  ];
}

/** Declares a tenant with a VXLAN and a VLAN network, attaches two pods to each, and shows that they talk. */
export async function attachDemo(cluster: Cluster): Promise<void> {
  const rest = restClient(cluster.restUrl);
  await ensure(rest, `/api/v1/tenants/${TENANT}/`, { tenantName: TENANT });
  for (const network of NETWORKS) {
    await ensure(rest, `/api/v1/networks/${TENANT}:${network.networkName}/`, { tenantName: TENANT, ...network });
  }
  for (const pod of demoPods(cluster.nodes)) await ensurePod(cluster, pod);
  await showTheyTalk(cluster, [
    ["web-1", "web-2"],
    ["db-1", "db-2"],
  ]);
}

async function ensure(rest: RestClient, path: string, body: unknown): Promise<void> {
  try {
    await rest.get(path);
  } catch (error) {
    if (!(error instanceof NetError && error.code === "NOT_FOUND")) throw error;
    await rest.post(path, body);
  }
}

/** A pod that is written down but has no addresses (the machine was restarted, say) is attached anew. */
async function ensurePod(cluster: Cluster, { name, node, network }: DemoPod): Promise<void> {
  if (listPods(cluster.layout).some((pod) => pod.name === name)) {
    const addresses = await podAddresses(cluster, name).catch(() => []);
    if (addresses.length > 0) return;
    await removePod(cluster.layout, name);
  }
  await addPod(cluster.layout, name, node, { tenant: TENANT, network });
}

/** All at once; the lines stand in the order of the pairs. */
async function showTheyTalk(cluster: Cluster, pairs: readonly (readonly [string, string])[]): Promise<void> {
  const pings = pairs.map(async ([from, to]) => {
    const addresses = await podAddresses(cluster, to);
    return await Promise.all(addresses.map((address) => ping(cluster, { from, to, address })));
  });
  for (const { from, to, address, summary, exitCode } of (await Promise.all(pings)).flat()) {
    process.stderr.write(`           ${from} → ${to} ${address.padEnd(12)} ${summary}\n`);
    if (exitCode !== 0) throw new NetError("REJECTED", `${from} does not reach ${to} at ${address}: ${summary}`);
  }
}

interface Pinged {
  readonly from: string;
  readonly to: string;
  readonly address: string;
}

async function ping({ layout }: Cluster, pinged: Pinged) {
  const argv = ["ping", "-n", "-c", "3", "-i", "0.2", "-W", "2", pinged.address];
  const { exitCode, stdout, stderr } = await run(inNetns(podNetns(layout.underlay, pinged.from), argv), {
    allowFailure: true,
  });
  const summary = stdout.split("\n").find((line) => line.includes("packet loss")) ?? stderr.trim();
  return { ...pinged, exitCode, summary };
}

/** Global addresses of a pod's eth0, IPv4 first. */
export async function podAddresses(cluster: Cluster, pod: string): Promise<readonly string[]> {
  const { stdout } = await run([
    "ip",
    "-n",
    podNetns(cluster.layout.underlay, pod),
    "-json",
    "address",
    "show",
    "eth0",
  ]);
  const [link] = JSON.parse(stdout) as { addr_info: { local: string; scope: string; family: string }[] }[];
  const global = (link?.addr_info ?? []).filter((each) => each.scope === "global");
  return global.sort((a, b) => a.family.localeCompare(b.family)).map((each) => each.local);
}

/** Commands to try, with the names and addresses of this cluster. */
export async function printTour(cluster: Cluster, withDemo: boolean): Promise<void> {
  const lines = ["Try:", "  deploy/sandbox status", `  curl -s ${cluster.restUrl}/api/v1/networks/`];
  if (withDemo) {
    const [address] = await podAddresses(cluster, "web-2");
    lines.push(
      `  deploy/sandbox pod exec web-1 -- ping -c 3 ${address}`,
      `  curl -s ${cluster.restUrl}/api/v1/inspect/networks/${TENANT}:web/`,
      `  deploy/sandbox pod add extra --node n1 --tenant ${TENANT} --network web`,
    );
  } else {
    lines.push(
      `  curl -X POST ${cluster.restUrl}/api/v1/networks/default:default-net/ -d '{"tenantName":"default","networkName":"default-net","encap":"vxlan","subnet":"10.9.0.0/16"}'`,
      "  deploy/sandbox pod add first --node n1",
    );
  }
  lines.push("  deploy/sandbox node exec n1 -- ovs-ofctl dump-flows contiv-int");
  lines.push("  deploy/sandbox logs netplugin-n1", "  deploy/sandbox down");
  process.stdout.write(`${lines.join("\n")}\n`);
}
