import { beforeEach, describe, expect, it } from "vitest";
import type { NetError } from "../../state/errors.ts";
import { infraContainerId } from "../../state/infra.ts";
import { EndpointGroup } from "../../state/kinds/endpoint-group.ts";
import { Network } from "../../state/kinds/network.ts";
import { NodeRegistration } from "../../state/kinds/node.ts";
import { NodeName } from "../../state/names.ts";
import { EndpointRequest } from "../../state/node-api.ts";
import { type FakeCluster, fakeCluster } from "../rest/testing/fake-cluster.ts";
import { createEndpoint } from "./endpoint.ts";
import { upsertEndpointGroup } from "./endpoint-group.ts";
import { deleteNetwork, upsertNetwork } from "./network.ts";
import { registerNode } from "./node.ts";

const CAPABILITIES = {
  ...{ datapathType: "netdev", ovsVersion: "3.1", kernelRelease: "6.1", ingressPolicing: true },
  ...{ tbf: true, ifbRedirect: true, meters: true, conntrack: true },
};

let cluster: FakeCluster;
let without: unknown;

function register(count: number): NodeName[] {
  return Array.from({ length: count }, (_, index) => {
    const name = NodeName.parse(`node${index + 1}`);
    const vtepIp = `192.0.${index >> 8}.${index & 255}`;
    const routerMac = `02:03:00:00:0${index >> 8}:${(index & 255).toString(16).padStart(2, "0")}`;
    const common = { underlayMtuBytes: 1500, routerMac, bootId: "b", version: "1", capabilities: CAPABILITIES };
    cluster.run(registerNode, NodeRegistration.parse({ name, vtepIp, ...common }));
    return name;
  });
}

function network(networkName: string, nwType: "infra" | "data"): void {
  const subnets = { subnet: "10.1.0.0/16", ipv6Subnet: "2001:db8::/64" };
  cluster.run(upsertNetwork, Network.parse({ tenantName: "default", encap: "vxlan", networkName, nwType, ...subnets }));
}

function lease(nodeName: NodeName, containerId: string, networkName = "i1"): void {
  const request = EndpointRequest.parse({ containerId, ifName: "i1", tenantName: "default", networkName });
  cluster.run(createEndpoint, { ...request, nodeName });
}

beforeEach(() => {
  cluster = fakeCluster();
});

describe("deleting an infra network", () => {
  it("takes the nodes' own endpoints along, in one transaction", () => {
    const nodes = register(5);
    without = cluster.claims();
    network("i1", "infra");
    for (const node of nodes) lease(node, infraContainerId(node));
    expect(cluster.run(deleteNetwork, "default:i1")).toEqual({ key: "default:i1", remaining: 0 });
    expect(cluster.view().records("endpoint").size).toBe(0);
    expect(cluster.claims()).toEqual(without);
  });

  it("takes as many steps as a large cluster needs; the network goes last", () => {
    const nodes = register(100);
    without = cluster.claims();
    network("i1", "infra");
    for (const node of nodes) lease(node, infraContainerId(node));
    const steps: number[] = [];
    for (let remaining = 1; remaining > 0; steps.push(remaining)) {
      expect(cluster.view().records("network").has("default:i1")).toBe(true);
      ({ remaining } = cluster.run(deleteNetwork, "default:i1"));
    }
    expect(steps.length).toBeLessThan(6);
    expect(cluster.view().records("endpoint").size).toBe(0);
    expect(cluster.claims()).toEqual(without);
  });

  it("is refused for containers and groups, and names only them", () => {
    const [node] = register(1);
    if (node === undefined) throw new Error("no node");
    network("i1", "infra");
    lease(node, infraContainerId(node));
    lease(node, "pod");
    expect(blockers("default:i1")).toEqual(["pod:i1"]);
    const group = { tenantName: "default", groupName: "g1", networkName: "i1" };
    cluster.run(upsertEndpointGroup, EndpointGroup.parse(group));
    expect(blockers("default:i1")).toEqual(["default:g1", "pod:i1"]);
    expect(cluster.view().records("endpoint").size).toBe(2);
  });

  it("is nothing that a data network's deletion would do", () => {
    const [node] = register(1);
    if (node === undefined) throw new Error("no node");
    network("d1", "data");
    lease(node, infraContainerId(node), "d1");
    expect(blockers("default:d1")).toEqual([`${infraContainerId(node)}:i1`]);
  });

  it("does not take another node's name for the node's own", () => {
    const [node] = register(1);
    if (node === undefined) throw new Error("no node");
    network("i1", "infra");
    lease(node, infraContainerId("elsewhere"));
    expect(blockers("default:i1")).toEqual(["infra.elsewhere:i1"]);
  });
});

function blockers(key: string): readonly string[] | undefined {
  try {
    cluster.run(deleteNetwork, key);
  } catch (error) {
    return (error as NetError).code === "IN_USE" ? (error as NetError).blockers : undefined;
  }
  throw new Error("It was not refused");
}
