import fc from "fast-check";
import { beforeEach, describe, expect, it } from "vitest";
import type { ErrorCode, NetError } from "../../state/errors.ts";
import type { Epoch, Mac } from "../../state/ids.ts";
import type { EndpointRecord } from "../../state/kinds/endpoint.ts";
import { EndpointGroup } from "../../state/kinds/endpoint-group.ts";
import { Network } from "../../state/kinds/network.ts";
import { NodeRegistration } from "../../state/kinds/node.ts";
import { NodeName } from "../../state/names.ts";
import { EndpointOffer, EndpointRequest } from "../../state/node-api.ts";
import { type FakeCluster, fakeCluster } from "../rest/testing/fake-cluster.ts";
import { AllocAddress, allocateAddress } from "./bare-address.ts";
import { createEndpoint, type EndpointCreation, releaseEndpoint } from "./endpoint.ts";
import { upsertEndpointGroup } from "./endpoint-group.ts";
import { deleteNetwork, upsertNetwork } from "./network.ts";
import { deleteNode, reclaimNode, registerNode, setNodeState } from "./node.ts";
import { plan } from "./plan.ts";
import { takeBackEndpoint } from "./take-back.ts";

const [N1, N2] = [NodeName.parse("node1"), NodeName.parse("node2")];

function registration(name: string, octet: number, members: object = {}): NodeRegistration {
  const capabilities = {
    datapathType: "netdev",
    ovsVersion: "3.1",
    kernelRelease: "6.1",
    ingressPolicing: true,
    tbf: true,
    ifbRedirect: true,
    meters: true,
    conntrack: true,
  };
  const common = {
    vtepIp: `192.0.2.${octet}`,
    underlayMtuBytes: 1500,
    routerMac: `02:03:00:00:00:0${octet}`,
    bootId: "b1",
    version: "1",
  };
  return NodeRegistration.parse({ name, ...common, capabilities, ...members });
}

function asked(members: Partial<EndpointCreation> = {}): EndpointCreation {
  const request = { containerId: "c1", ifName: "eth0", tenantName: "default", networkName: "n1", ...members };
  return { ...EndpointRequest.parse(request), nodeName: N1, ...members };
}

/** The code and reason of what the call throws. */
function refusal(work: () => unknown): [ErrorCode, string | undefined] {
  try {
    work();
  } catch (error) {
    const { code, reason } = error as NetError;
    return [code, reason];
  }
  throw new Error("It was not refused");
}

let cluster: FakeCluster;

function network(members: object): void {
  cluster.run(upsertNetwork, Network.parse({ tenantName: "default", encap: "vxlan", ...members }));
}

beforeEach(() => {
  cluster = fakeCluster();
  cluster.run(registerNode, registration("node1", 1));
  cluster.run(registerNode, registration("node2", 2));
  network({ networkName: "n1", subnet: "10.1.1.0/24", gateway: "10.1.1.1", ipv6Subnet: "2001:DB8::/64" });
});

describe("create", () => {
  it("leases both families, with the MAC of the address", () => {
    const endpoint = cluster.run(createEndpoint, asked({ podName: "web", labels: { a: "1" } }));
    expect(endpoint).toMatchObject({
      key: "c1:eth0",
      endpointId: "c1",
      ipv4: "10.1.1.2",
      ipv6: "2001:db8::1",
      mac: "02:02:0a:01:01:02",
      epoch: "epoch-1",
      podName: "web",
    });
    expect(cluster.claims().filter((key) => key.includes("/ip/"))).toEqual([
      "/contiv-ts/v1/claims/ip/1/10.1.1.1",
      "/contiv-ts/v1/claims/ip/1/10.1.1.2",
      "/contiv-ts/v1/claims/ip/1/2001:db8::1",
    ]);
    expect(cluster.run(createEndpoint, asked({ ifName: "net1" })).endpointId).toBe("c1-net1");
  });

  it.each<Partial<EndpointCreation>>([
    { requestedIpv4: "10.1.1.77" },
    { requestedIpv6: "2001:db8::77" },
    { podName: "other" },
    { podNamespace: "other" },
  ])("refuses a repetition that asks for something else: %j", (members) => {
    const before = asked({ podName: "web", podNamespace: "shop" });
    const { ipv4 } = cluster.run(createEndpoint, before);
    const [field = ""] = Object.keys(members);
    expect(() => cluster.run(createEndpoint, { ...before, ...members })).toThrow(
      new RegExp(`${field}: .* already, not ${Object.values(members)[0]}; delete it`),
    );
    expect(cluster.run(createEndpoint, { ...before, requestedIpv4: ipv4 }).ipv4).toBe(ipv4);
  });

  it("answers a repetition with the same lease and writes nothing", () => {
    const first = cluster.run(createEndpoint, asked());
    const { revision } = cluster.view();
    expect(cluster.run(createEndpoint, asked({ podName: "other" }))).toEqual(first);
    expect(cluster.view().revision).toBe(revision);
  });

  it.each<[Partial<EndpointCreation>, [ErrorCode, string]]>([
    [{ nodeName: NodeName.parse("node9") }, ["PRECONDITION", "node-not-registered"]],
    [{ networkName: "n9" }, ["INVALID", "unknown-reference"]],
    [{ tenantName: "t9" }, ["INVALID", "unknown-reference"]],
    [{ groupName: "g9" }, ["INVALID", "unknown-reference"]],
    [{ groupName: "g2" }, ["INVALID", "invalid-field"]],
    [{ requestedIpv4: "10.1.1.1" }, ["CONFLICT", "address-taken"]],
    [{ requestedIpv4: "10.1.1.255" }, ["INVALID", "invalid-field"]],
    [{ requestedIpv6: "2001:db9::1" }, ["INVALID", "invalid-field"]],
    [{ requestedIpv6: "2001:db8::" }, ["INVALID", "invalid-field"]],
    [{ networkName: "n2", requestedIpv6: "2001:db8::5" }, ["INVALID", "invalid-field"]],
  ])("refuses %j: %j", (members, expected) => {
    network({ networkName: "n2", subnet: "10.2.0.0/16" });
    cluster.run(
      upsertEndpointGroup,
      EndpointGroup.parse({ tenantName: "default", groupName: "g2", networkName: "n2" }),
    );
    expect(refusal(() => cluster.run(createEndpoint, asked(members)))).toEqual(expected);
  });

  it("refuses another network for the same interface", () => {
    network({ networkName: "n2", subnet: "10.2.0.0/16" });
    cluster.run(createEndpoint, asked());
    expect(refusal(() => cluster.run(createEndpoint, asked({ networkName: "n2" })))).toEqual([
      "CONFLICT",
      "endpoint-exists",
    ]);
  });

  it("does not take a lease from a node that is registered, reachable or not", () => {
    cluster.run(createEndpoint, asked());
    const other = asked({ nodeName: N2 });
    expect(refusal(() => cluster.run(createEndpoint, other))).toEqual(["CONFLICT", "endpoint-elsewhere"]);
    cluster.run(setNodeState, { name: N1, state: "unreachable" });
    expect(refusal(() => cluster.run(createEndpoint, other))).toEqual(["CONFLICT", "endpoint-elsewhere"]);
  });

  describe("of one container id on two nodes", () => {
    const here = () => asked({ takesAnyKey: true });
    const there = () => asked({ takesAnyKey: true, nodeName: N2 });

    it("are two leases, and each node gets its own again", () => {
      const first = cluster.run(createEndpoint, here());
      const second = cluster.run(createEndpoint, there());
      expect(first).toMatchObject({ key: "c1:eth0", endpointId: "c1", containerId: "c1", nodeName: N1 });
      expect(second).toMatchObject({ key: "c1@node2:eth0", endpointId: "c1@node2", containerId: "c1", nodeName: N2 });
      expect(second.ipv4).not.toBe(first.ipv4);
      expect(cluster.run(createEndpoint, { ...here(), nodeName: N1 })).toEqual(first);
      expect(cluster.run(createEndpoint, there())).toEqual(second);
      expect(cluster.run(createEndpoint, { ...there(), ifName: "net1" })).toMatchObject({ key: "c1:net1" });
    });

    it("end apart, whichever ends first, and the node that stays keeps the key it has", () => {
      const empty = cluster.claims();
      const first = cluster.run(createEndpoint, here());
      const second = cluster.run(createEndpoint, there());
      expect(cluster.run(releaseEndpoint, { ...first, nodeName: N2 }).released).toBe(false);
      expect(cluster.run(releaseEndpoint, { ...second, nodeName: N1 }).released).toBe(false);
      expect(cluster.run(releaseEndpoint, first).released).toBe(true);
      expect(cluster.run(createEndpoint, there())).toEqual(second);
      const again = cluster.run(createEndpoint, here());
      expect(again.key).toBe("c1:eth0");
      expect(cluster.run(releaseEndpoint, second).released).toBe(true);
      expect(cluster.run(createEndpoint, here())).toEqual(again);
      cluster.run(releaseEndpoint, again);
      expect(cluster.claims()).toEqual(empty);
    });

    it("do not meet: another network or group there is no conflict", () => {
      network({ networkName: "n2", subnet: "10.2.0.0/16" });
      cluster.run(createEndpoint, here());
      expect(cluster.run(createEndpoint, { ...there(), networkName: "n2" }).networkName).toBe("n2");
      expect(refusal(() => cluster.run(createEndpoint, there()))).toEqual(["CONFLICT", "endpoint-exists"]);
    });

    it("are one that moves when the other node is registered no more", () => {
      const first = cluster.run(createEndpoint, here());
      cluster.run((_view, key: string) => plan(undefined, { deletes: [{ kind: "node", key }] }), N1);
      const moved = cluster.run(createEndpoint, there());
      expect(moved).toMatchObject({ key: first.key, ipv4: first.ipv4, nodeName: N2 });
      expect(moved.epoch).not.toBe(first.epoch);
      expect(cluster.run(releaseEndpoint, first).released).toBe(false);
    });

    it("of which an agent of an earlier release sees its own key only", () => {
      cluster.run(createEndpoint, here());
      cluster.run(createEndpoint, there());
      const earlier = { ...there(), takesAnyKey: false };
      expect(() => cluster.run(createEndpoint, earlier)).toThrow(/netplugin on node node2 .* upgrade it, delete/);
      expect(cluster.run(createEndpoint, { ...here(), takesAnyKey: false }).key).toBe("c1:eth0");
    });
  });

  it("grants the addresses that are asked for, once, in whatever form they are written", () => {
    const wish = { requestedIpv4: "10.1.1.77", requestedIpv6: "2001:0db8:0::AB" };
    expect(cluster.run(createEndpoint, asked(wish))).toMatchObject({ ipv4: "10.1.1.77", ipv6: "2001:db8::ab" });
    expect(refusal(() => cluster.run(createEndpoint, asked({ containerId: "c2", ...wish })))).toEqual([
      "CONFLICT",
      "address-taken",
    ]);
  });

  it("says who has the address that is asked for, of either family", () => {
    const first = cluster.run(createEndpoint, asked({ podName: "web", podNamespace: "shop" }));
    const wishing = (wish: Partial<EndpointCreation>) => () =>
      cluster.run(createEndpoint, asked({ containerId: "c2", ...wish }));
    const holder = "network default:n1 by endpoint c1:eth0 (pod shop/web) on node node1";
    expect(wishing({ requestedIpv4: first.ipv4 })).toThrow(`requestedIpv4: ${first.ipv4} is taken in ${holder}`);
    expect(wishing({ requestedIpv6: first.ipv6 })).toThrow(`requestedIpv6: ${first.ipv6} is taken in ${holder}`);
    const bare = cluster.run(allocateAddress, AllocAddress.parse({ NetworkID: "n1.default" }));
    const requestedIpv4 = bare.IPv4Address.split("/")[0];
    expect(wishing({ requestedIpv4 })).toThrow(/ is taken in network default:n1 by an address that POST \/plugin/);
  });

  it("uses both addresses of a /31 and of a /127, and then says what is exhausted", () => {
    network({ networkName: "tiny", subnet: "10.3.0.0/31", ipv6Subnet: "2001:db8:1::/127" });
    const leases = ["a", "b"].map((containerId) =>
      cluster.run(createEndpoint, asked({ containerId, networkName: "tiny" })),
    );
    expect(leases.map(({ ipv4, ipv6 }) => `${ipv4} ${ipv6}`)).toEqual([
      "10.3.0.0 2001:db8:1::",
      "10.3.0.1 2001:db8:1::1",
    ]);
    expect(refusal(() => cluster.run(createEndpoint, asked({ containerId: "c", networkName: "tiny" })))).toEqual([
      "EXHAUSTED",
      "addresses-exhausted",
    ]);
  });
});

describe("release", () => {
  it("ends the lease of its epoch only, and of its own node only", () => {
    const { key, epoch } = cluster.run(createEndpoint, asked());
    const release = (members: object) =>
      cluster.run(releaseEndpoint, { key, epoch, nodeName: N1, ...members }).released;
    expect(release({ epoch: "old" as Epoch })).toBe(false);
    expect(release({ nodeName: N2 })).toBe(false);
    expect(release({ key: "other" })).toBe(false);
    expect(release({})).toBe(true);
    expect(release({})).toBe(false);
    expect(cluster.claims().filter((claim) => claim.includes("/ip/"))).toEqual(["/contiv-ts/v1/claims/ip/1/10.1.1.1"]);
  });

  it("does not hand the address out again at once", () => {
    const { key, epoch, ipv4 } = cluster.run(createEndpoint, asked());
    cluster.run(releaseEndpoint, { key, epoch, nodeName: N1 });
    expect(cluster.run(createEndpoint, asked()).ipv4).not.toBe(ipv4);
  });
});

describe("nodes", () => {
  it("register once, and again only when something changed", () => {
    const { revision } = cluster.view();
    cluster.run(registerNode, registration("node1", 1));
    expect(cluster.view().revision).toBe(revision);
    expect(cluster.run(registerNode, registration("node1", 1, { bootId: "b2" })).registration.bootId).toBe("b2");
    expect(refusal(() => cluster.run(registerNode, registration("node3", 2)))).toEqual(["CONFLICT", "vtep-taken"]);
    expect(refusal(() => cluster.run(setNodeState, { name: NodeName.parse("no"), state: "ready" }))).toEqual([
      "NOT_FOUND",
      "not-found",
    ]);
  });

  it("are not deleted or reclaimed while ready, and then give everything back", () => {
    const before = cluster.claims();
    for (let index = 0; index < 100; index += 1) cluster.run(createEndpoint, asked({ containerId: `c${index}` }));
    const other = cluster.run(createEndpoint, asked({ containerId: "other", nodeName: N2 }));
    expect(refusal(() => cluster.run(deleteNode, "node1"))).toEqual(["IN_USE", "node-ready"]);
    expect(refusal(() => cluster.run(reclaimNode, "node1"))).toEqual(["IN_USE", "node-ready"]);
    cluster.run(setNodeState, {
      name: N1,
      state: "unreachable",
      conditions: [{ type: "heartbeat", status: "failed", message: "silent" }],
    });
    expect(cluster.run(reclaimNode, "node1").remaining).toBe(69);
    let steps = 1;
    while (cluster.run(deleteNode, "node1").remaining > 0) steps += 1;
    expect(steps).toBe(3);
    expect(cluster.view().records("node").has("node1")).toBe(false);
    cluster.run(releaseEndpoint, { ...other, nodeName: N2 });
    expect(cluster.claims()).toEqual(before);
  });
});

describe("properties", () => {
  const step = fc.record({
    create: fc.boolean(),
    container: fc.integer({ min: 0, max: 9 }),
    requested: fc.option(fc.integer({ min: 0, max: 9 }), { nil: undefined }),
  });

  it("any mix of creates and releases: no double address, nothing left behind", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        cluster = fakeCluster();
        cluster.run(registerNode, registration("node1", 1));
        network({ networkName: "n1", subnet: "10.1.1.0/29", ipv6Subnet: "2001:db8::/125" });
        const empty = cluster.claims();
        for (const { create, container, requested } of steps) {
          const containerId = `c${container}`;
          if (create) tryCreate(containerId, requested);
          else releaseOf(containerId);
          const ips = Array.from(cluster.view().records("endpoint").entries(), ([, { ipv4 }]) => ipv4);
          expect(new Set(ips).size).toBe(ips.length);
        }
        for (let container = 0; container < 10; container += 1) releaseOf(`c${container}`);
        expect(cluster.claims()).toEqual(empty);
        cluster.run(deleteNetwork, "default:n1");
      }),
      { numRuns: 50 },
    );
  });

  function tryCreate(containerId: string, requested: number | undefined): void {
    const wish = requested === undefined ? {} : { requestedIpv4: `10.1.1.${requested}` };
    try {
      cluster.run(createEndpoint, asked({ containerId, ...wish }));
    } catch (error) {
      expect(["EXHAUSTED", "CONFLICT", "INVALID"]).toContain((error as NetError).code);
    }
  }

  function releaseOf(containerId: string): void {
    const endpoint = cluster.view().records("endpoint").get(`${containerId}:eth0`);
    if (endpoint !== undefined) cluster.run(releaseEndpoint, { ...endpoint });
  }
});

describe("take back into a store that lost it", () => {
  /** The endpoint as its node remembers it, and a store without it. */
  function lost(members: Partial<EndpointCreation> = {}): EndpointRecord {
    const endpoint = cluster.run(createEndpoint, asked(members));
    cluster.run(releaseEndpoint, { key: endpoint.key, epoch: endpoint.epoch, nodeName: endpoint.nodeName });
    return endpoint;
  }

  it("claims the same addresses and keeps the epoch, also when it is offered twice", () => {
    const endpoint = lost({ podName: "web" });
    expect(cluster.run(takeBackEndpoint, { endpoint, nodeName: N1 })).toEqual(endpoint);
    const claims = cluster.claims();
    for (const ip of [endpoint.ipv4, endpoint.ipv6])
      expect(claims.filter((key) => key.endsWith(`/${ip}`))).toHaveLength(1);
    expect(cluster.run(takeBackEndpoint, { endpoint, nodeName: N1 })).toEqual(endpoint);
    expect(cluster.claims()).toEqual(claims);
  });

  it("refuses an address that another holds by now, and what the store does not know", () => {
    const endpoint = lost();
    cluster.run(createEndpoint, asked({ containerId: "c2", requestedIpv4: endpoint.ipv4 }));
    const offered = { endpoint, nodeName: N1 };
    expect(refusal(() => cluster.run(takeBackEndpoint, offered))).toEqual(["CONFLICT", "address-taken"]);
    const strayed = { ...offered, endpoint: { ...endpoint, networkName: "n9" as typeof endpoint.networkName } };
    expect(refusal(() => cluster.run(takeBackEndpoint, strayed))).toEqual(["INVALID", "unknown-reference"]);
  });

  describe("whose network of that name is another one now", () => {
    const given = {
      ipv4: { address: "10.1.1.2/24", gateway: "10.1.1.1" },
      ipv6: { address: "2001:db8::1/64" },
      mtuBytes: 1450,
    };
    const members = { networkName: "n1", subnet: "10.1.1.0/24", gateway: "10.1.1.1", ipv6Subnet: "2001:db8::/64" };

    /** The network made anew, with these members changed, and the endpoint offered. */
    function offerTo(changed: object, has: object = given): () => EndpointRecord {
      const endpoint = lost();
      expect(endpoint).toMatchObject({ ipv4: "10.1.1.2", ipv6: "2001:db8::1" });
      cluster.run(deleteNetwork, "default:n1");
      network({ ...members, ...changed });
      const offered = { endpoint, nodeName: N1, given: EndpointOffer.parse({ endpoint, given: has }).given };
      return () => cluster.run(takeBackEndpoint, offered);
    }

    it.each<readonly [string, object]>([
      ["the same", {}],
      ["another tag", { pktTag: 77 }],
      ["another encapsulation that carries as much", { encap: "vlan" }],
      ["only a range of the subnet that holds the address", { subnet: "10.1.1.2-10.1.1.9/24" }],
      ["the same, written otherwise", { ipv6Subnet: "2001:0DB8:0::/64" }],
    ])("takes it back into %s, with the network's present number", (_, changed) => {
      const taken = offerTo(changed)();
      const { networkId } = cluster.view().records("network").get("default:n1") ?? {};
      expect(taken).toMatchObject({ networkId, ipv4: "10.1.1.2", ipv6: "2001:db8::1" });
      expect(cluster.claims().filter((key) => key.includes(`/${networkId}/10.1.1.2`))).toHaveLength(1);
    });

    it.each<readonly [string, object, readonly [ErrorCode, string]]>([
      ["another subnet", { subnet: "10.2.0.0/24", gateway: "10.2.0.1" }, ["INVALID", "invalid-field"]],
      ["a range without the address", { subnet: "10.1.1.9-10.1.1.20/24" }, ["INVALID", "invalid-field"]],
      ["the address as its gateway", { gateway: "10.1.1.2" }, ["CONFLICT", "address-taken"]],
      ["no IPv6", { ipv6Subnet: "" }, ["INVALID", "invalid-field"]],
      ["another IPv6 subnet", { ipv6Subnet: "2001:db8:1::/64" }, ["INVALID", "invalid-field"]],
      ["a wider subnet", { subnet: "10.1.0.0/16" }, ["CONFLICT", "network-changed"]],
      ["a narrower subnet", { subnet: "10.1.1.0/25" }, ["CONFLICT", "network-changed"]],
      ["another gateway", { gateway: "10.1.1.254" }, ["CONFLICT", "network-changed"]],
      ["no gateway", { gateway: "" }, ["CONFLICT", "network-changed"]],
      ["a wider IPv6 subnet", { ipv6Subnet: "2001:db8::/48" }, ["CONFLICT", "network-changed"]],
      ["an IPv6 gateway", { ipv6Gateway: "2001:db8::ff" }, ["CONFLICT", "network-changed"]],
      ["a smaller MTU", { mtuBytes: 1400 }, ["CONFLICT", "network-changed"]],
    ])("refuses it where that has %s; nothing is claimed", (_, changed, wanted) => {
      const offer = offerTo(changed);
      const before = cluster.claims();
      expect(refusal(offer)).toEqual(wanted);
      expect(cluster.claims()).toEqual(before);
    });

    it("says what the pod has and what it would have", () => {
      expect(offerTo({ gateway: "10.1.1.254" })).toThrow(
        "network default:n1 is not the one that the pod was attached to: its interface has 10.1.1.2/24 with gateway 10.1.1.1, and would have 10.1.1.2/24 with gateway 10.1.1.254 now",
      );
    });

    it("goes by the addresses alone where the node does not know what the pod was given", () => {
      const endpoint = lost();
      cluster.run(deleteNetwork, "default:n1");
      network({ ...members, subnet: "10.1.0.0/16" });
      expect(cluster.run(takeBackEndpoint, { endpoint, nodeName: N1 }).ipv4).toBe("10.1.1.2");
    });
  });

  it("refuses what is another node's, or no interface of a container", () => {
    const endpoint = lost();
    for (const wrong of [{ nodeName: N2 }, { key: "default:n1:x" }, { mac: "02:02:00:00:00:01" as Mac }]) {
      const offered = { endpoint: { ...endpoint, ...wrong }, nodeName: N1 };
      expect(refusal(() => cluster.run(takeBackEndpoint, offered))).toEqual(["INVALID", "invalid-field"]);
    }
  });

  it("takes the place of an older lease of the same interface on the same node, and of that only", () => {
    const endpoint = lost();
    const older = cluster.run(createEndpoint, asked({ requestedIpv4: "10.1.1.77" }));
    expect(cluster.run(takeBackEndpoint, { endpoint, nodeName: N1 })).toEqual(endpoint);
    expect(cluster.claims().some((key) => key.endsWith(older.ipv4))).toBe(false);
    cluster.run(releaseEndpoint, { key: endpoint.key, epoch: endpoint.epoch, nodeName: N1 });
    cluster.run(createEndpoint, asked({ nodeName: N2 }));
    const offered = { endpoint, nodeName: N1 };
    expect(refusal(() => cluster.run(takeBackEndpoint, offered))).toEqual(["CONFLICT", "endpoint-elsewhere"]);
  });
});
