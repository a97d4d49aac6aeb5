import { ovsRunDirectory } from "../../deploy/cluster/components.ts";
import { inNetns, run } from "../../deploy/cluster/exec.ts";
import { findPod } from "../../deploy/cluster/pods.ts";
import { nodeNetns, panelNetns } from "../../deploy/cluster/underlay.ts";
import type { TestCluster } from "./test-cluster.ts";
import { type Flow, type FlowOptions, measure } from "./throughput.ts";

/** An endpoint of a node's `/inspect/bandwidth`. */
export interface Inspected {
  readonly key: string;
  readonly portName?: string;
  readonly ofport?: number;
  readonly complaint?: string;
  readonly limits?: Readonly<
    Record<"podIngress" | "podEgress", { mechanism: string; rateBitPerSecond: number; source: string }>
  >;
}

interface Qdisc {
  readonly kind: string;
  readonly handle?: string;
  readonly options?: { readonly rate?: number; readonly burst?: number };
}

/** What an admin says about bandwidth. */
export function bandwidthAdmin(world: () => TestCluster) {
  async function attach(groupName: string, netProfile: string, tenantName = "t1"): Promise<void> {
    const group = { tenantName, groupName, networkName: "net", netProfile };
    await world().rest.post(`/api/v1/endpointGroups/${tenantName}:${groupName}/`, group);
  }
  return {
    attach,
    /** A tenant with the network "net" and the groups "web" and "db". */
    tenant: async (tenantName: string): Promise<void> => {
      await world().rest.post(`/api/v1/tenants/${tenantName}/`, { tenantName });
      const subnets = { subnet: "10.1.0.0/16", ipv6Subnet: "fd01::/64" };
      const network = { tenantName, networkName: "net", encap: "vxlan", ...subnets };
      await world().rest.post(`/api/v1/networks/${tenantName}:net/`, network);
      for (const groupName of ["web", "db"]) await attach(groupName, "", tenantName);
    },
    profile: async (profileName: string, members: object, tenantName = "t1"): Promise<void> => {
      const object = { tenantName, profileName, ...members };
      await world().rest.post(`/api/v1/netprofiles/${tenantName}:${profileName}/`, object);
    },
    /** No pods, and no profiles in the tenants t1 and t2. */
    clear: async (): Promise<void> => {
      await world().removeAllPods();
      for (const tenantName of ["t1", "t2"]) {
        for (const groupName of ["web", "db"]) await attach(groupName, "", tenantName);
      }
      const profiles = await world().rest.get<{ key: string }[]>("/api/v1/netprofiles/");
      for (const { key } of profiles) await world().rest.delete(`/api/v1/netprofiles/${key}/`);
    },
  };
}

/** What nodes, their kernels and their switches have. */
export function bandwidthNodes(world: () => TestCluster) {
  const keyOf = (pod: string) => `${findPod(world().cluster.layout, pod).containerId}:eth0`;
  const onNode = async (node: number, ...argv: string[]) =>
    (await run(inNetns(nodeNetns(world().cluster.layout.underlay, node), argv))).stdout;
  const inPanel = async (node: number, ...argv: string[]) =>
    (await run(inNetns(panelNetns(world().cluster.layout.underlay, node), argv))).stdout;
  const ofctl = (node: number, command: string, ...more: string[]) => {
    const socket = `${ovsRunDirectory(world().cluster.layout, node)}/contiv-int.mgmt`;
    return onNode(node, "ovs-ofctl", "-O", "OpenFlow15", command, socket, ...more);
  };
  return {
    ...{ keyOf, onNode, inPanel, ofctl },
    inspect: async (node: number, pod: string): Promise<Inspected | undefined> => {
      const text = await onNode(node, "curl", "-s", "http://127.0.0.1:9090/inspect/bandwidth");
      const { endpoints } = JSON.parse(text) as { endpoints: Inspected[] };
      return endpoints.find(({ key }) => key === keyOf(pod));
    },
    /** Rate in bit/s of the shaper towards the pod, as tc shows it; 0 without one. */
    nearRate: (node: number, port: string) => tbfRate(onNode, node, port),
    /** The same of what the pod sends. */
    farRate: (node: number, port: string) => tbfRate(inPanel, node, port.replace("cvh", "cvp")),
    /** kbit/s by meter; those of packets are not about bandwidth. */
    meterRates: async (node: number): Promise<Readonly<Record<string, number>>> => {
      const rows = (await ofctl(node, "dump-meters")).matchAll(/meter=(\d+) kbps[^\n]*\n?[^\n]*?rate=(\d+)/g);
      return Object.fromEntries([...rows].map(([, id, rate]) => [id, Number(rate)]));
    },
  };
}

type Show = (node: number, ...argv: string[]) => Promise<string>;

async function tbfRate(show: Show, node: number, device: string): Promise<number> {
  const qdiscs = JSON.parse(await show(node, "tc", "-j", "qdisc", "show", "dev", device, "root")) as Qdisc[];
  const tbf = qdiscs.find(({ kind }) => kind === "tbf");
  return (tbf?.options?.rate ?? 0) * 8;
}

/** What iperf3 shows. */
export function bandwidthTraffic(world: () => TestCluster) {
  const addressOf = async (pod: string, family: 4 | 6 = 4) =>
    (await world().addresses(pod))[family === 4 ? 0 : 1] ?? "";
  const flow = async (from: string, to: string, more: Partial<FlowOptions> = {}): Promise<Flow> =>
    measure(world(), { from, address: await addressOf(to), seconds: 3, omitSeconds: 1, ...more });
  return {
    ...{ addressOf, flow },
    /** One after the other: the acknowledgements of one way would wait in the other's full queue. */
    bothWays: async (from: string, to: string, more: Partial<FlowOptions> = {}): Promise<readonly [Flow, Flow]> => [
      await flow(from, to, more),
      await flow(from, to, { ...more, reverse: true }),
    ],
  };
}

export const mbit = (flow: Flow) => flow.receivedBitPerSecond / 1e6;
