import { describe, expect, it } from "vitest";
import type { Match } from "../../../drivers/ovs/openflow/match.ts";
import { type Trip, tripOf, tripWorld } from "../../../test/fakes/policy-journey.ts";
import { machineFor, simulateNodes } from "../../../test/fakes/policy-nodes.ts";
import { policyMessages, policyView } from "../../../test/fakes/policy-view.ts";
import type { FakeRule, PolicyObjects } from "../../../test/fakes/policy-world.ts";
import { applyBatch } from "../../view/apply.ts";
import { emptyView } from "../../view/node-view.ts";
import { newFlowSet, updateFlowSet } from "../flow-set/flow-set.ts";

/** What packets after the first do: connections over two nodes, client on n1, server on n2, and two on the same node. */
const OBJECTS: PolicyObjects = {
  networks: [
    { key: "t1:blue", subnet: "10.1.1.0/24", ipv6Subnet: "2001:db8:1::/64" },
    { key: "t2:blue", subnet: "10.1.1.0/24" },
  ],
  groups: [
    { key: "t1:client", network: "t1:blue", policies: ["client"] },
    { key: "t1:server", network: "t1:blue", policies: ["server"] },
    { key: "t2:group", network: "t2:blue", policies: ["any"] },
  ],
  endpoints: [
    { key: "client", group: "t1:client", ipv4: "10.1.1.1", ipv6: "2001:db8:1::1" },
    { key: "server", group: "t1:server", ipv4: "10.1.1.2", ipv6: "2001:db8:1::2" },
    { key: "near", group: "t1:server", ipv4: "10.1.1.3" },
    { key: "free", network: "t1:blue", ipv4: "10.1.1.4" },
    { key: "t2c", group: "t2:group", ipv4: "10.1.1.1" },
    { key: "t2s", group: "t2:group", ipv4: "10.1.1.3" },
  ],
  rules: [],
};
const HOMES = { server: "n2" };

/** The client takes no connections from anybody; the server takes those to port 80. */
const RULES: FakeRule[] = [
  { id: "client:closed", direction: "in", action: "deny" },
  { id: "server:closed", direction: "in", action: "deny" },
  { id: "server:web", direction: "in", action: "allow", protocol: "tcp", port: 80, priority: 10 },
  { id: "server:udp", direction: "in", action: "allow", protocol: "udp", port: 53, priority: 10 },
];

const SYN = 0x02;
const ACK = 0x10;
const RST = 0x04;

function lab(rules: readonly FakeRule[] = RULES) {
  const nodes = simulateNodes(policyView({ ...OBJECTS, rules }, HOMES));
  const world = tripWorld({ ...OBJECTS, rules });
  const trip = (from: string, to: string, protocol = 6, port = 80): Trip => {
    const found = tripOf(world, { from, to, family: 4, isLinkLocal: false, protocol, port });
    if (found === undefined) throw new Error(`Nothing travels from ${from} to ${to}`);
    return found;
  };
  const connections = () => [...nodes.switches.values()].flatMap(({ conntrack }) => conntrack.connections);
  return {
    nodes,
    trip,
    connections,
    load: (next: readonly FakeRule[]) => nodes.load(policyView({ ...OBJECTS, rules: next }, HOMES)),
  };
}

/** The frame of a TCP segment of the trip's connection: from its client, or back. */
function segment({ frame, source, destination }: Trip, tcpFlags: number, isReply = false): Match {
  if (!isReply) return { ...frame, tcpFlags };
  return { ...frame, ...turned(frame), ethSrc: destination?.mac ?? "", ethDst: source?.mac ?? "", tcpFlags };
}

function turned({ ipv4Src, ipv4Dst, tcpSrc, tcpDst, udpSrc, udpDst }: Match): Match {
  const addresses = { ipv4Src: ipv4Dst ?? "", ipv4Dst: ipv4Src ?? "" };
  if (tcpSrc !== undefined && tcpDst !== undefined) return { ...addresses, tcpSrc: tcpDst, tcpDst: tcpSrc };
  if (udpSrc !== undefined && udpDst !== undefined) return { ...addresses, udpSrc: udpDst, udpDst: udpSrc };
  return addresses;
}

function back(trip: Trip): Trip {
  return { ...trip, source: trip.destination, destination: trip.source };
}

describe.each(["server", "near"])("a connection to %s", (server) => {
  it("is answered, though the client takes none itself", () => {
    const { nodes, trip } = lab();
    const web = trip("client", server);
    expect(nodes.send(trip(server, "client"))).toEqual([]);
    expect(nodes.send(web)).toEqual([server]);
    expect(nodes.send(back(web), segment(web, SYN | ACK, true))).toEqual(["client"]);
    expect(nodes.send(web, segment(web, ACK))).toEqual([server]);
    expect(nodes.send(back(web), segment(web, ACK, true))).toEqual(["client"]);
    expect(nodes.send(trip("client", server, 6, 81))).toEqual([]);
  });

  it("ends in both directions when its rule goes, and goes on when the rule comes back", () => {
    const { nodes, trip, load } = lab();
    const web = trip("client", server);
    nodes.send(web);
    nodes.send(back(web), segment(web, SYN | ACK, true));
    load(RULES.filter(({ id }) => id !== "server:web"));
    expect(nodes.send(web, segment(web, ACK))).toEqual([]);
    expect(nodes.send(back(web), segment(web, ACK, true))).toEqual([]);
    load(RULES);
    expect(nodes.send(web, segment(web, ACK))).toEqual([server]);
    expect(nodes.send(back(web), segment(web, ACK, true))).toEqual(["client"]);
  });

  it("loses nothing to rules that come and go beside it", () => {
    const { nodes, trip, load } = lab();
    const web = trip("client", server);
    nodes.send(web);
    nodes.send(back(web), segment(web, SYN | ACK, true));
    for (let port = 1_000; port < 1_010; port += 1) {
      load([
        ...RULES,
        { id: "server:other", protocol: "tcp", port },
        { id: "client:other", direction: "out", protocol: "udp", port },
      ]);
      expect(nodes.send(web, segment(web, ACK))).toEqual([server]);
      expect(nodes.send(back(web), segment(web, ACK, true))).toEqual(["client"]);
    }
  });
});

describe("conntrack", () => {
  it("remembers nothing of what is denied", () => {
    const { nodes, trip, connections } = lab();
    for (let port = 1; port < 50; port += 1) expect(nodes.send(trip("near", "client", 6, port))).toEqual([]);
    for (let port = 100; port < 150; port += 1) expect(nodes.send(trip("client", "near", 17, port))).toEqual([]);
    expect(connections()).toEqual([]);
  });

  it("is not asked where neither end has rules", () => {
    const { nodes, trip, connections } = lab();
    expect(nodes.send(trip("free", "server", 17, 53))).toEqual(["server"]);
    expect(connections().map(({ zone }) => zone)).toEqual([11]);
    const { nodes: others, connections: none } = lab([]);
    others.load(policyView({ ...OBJECTS, groups: OBJECTS.groups.map((group) => ({ ...group, policies: [] })) }, HOMES));
    expect(others.send(trip("client", "server"))).toEqual(["server"]);
    expect(none()).toEqual([]);
  });

  it("keeps tenants with the same addresses apart", () => {
    const { nodes, trip } = lab([...RULES, { id: "any:closed", tenantName: "t2", direction: "in" }]);
    expect(nodes.send(trip("client", "near"))).toEqual(["near"]);
    const foreign = back(trip("t2c", "t2s"));
    expect(nodes.send(foreign, segment(trip("t2c", "t2s"), SYN | ACK, true))).toEqual([]);
  });

  it("judges TCP without its beginning in both directions, packet by packet, whatever its ports", () => {
    const { nodes, trip, connections } = lab([{ id: "client:closed", direction: "in", action: "deny" }]);
    const web = trip("client", "near");
    expect(nodes.send(web, segment(web, ACK))).toEqual(["near"]);
    expect(nodes.send(back(web), segment(web, ACK, true))).toEqual([]);
    const lowSource = { tcpSrc: 1_000, tcpDst: 50_000 };
    expect(nodes.send(back(web), { ...segment(web, ACK, true), ...lowSource })).toEqual([]);
    expect(nodes.send(back(web), { ...segment(web, ACK, true), tcpSrc: 50_000, tcpDst: 1_000 })).toEqual([]);
    expect(connections()).toEqual([]);
  });

  it("drops what belongs to no connection and begins none", () => {
    const { nodes, trip } = lab([]);
    const web = trip("client", "near");
    expect(nodes.send(web, segment(web, RST))).toEqual([]);
    expect(nodes.send(web, segment(web, SYN | ACK))).toEqual([]);
  });

  it("judges protocols packet by packet that it does not know", () => {
    const { nodes, trip, connections } = lab([{ id: "server:gre", protocol: "47", direction: "in" }]);
    expect(nodes.send(trip("client", "near", 47))).toEqual([]);
    expect(nodes.send(trip("near", "client", 47))).toEqual(["client"]);
    expect(nodes.send(trip("client", "near", 132))).toEqual(["near"]);
    expect(connections()).toEqual([]);
  });
});

describe("ICMP errors", () => {
  const PORT_UNREACHABLE = { icmpType: 3, icmpCode: 3 };

  /** Who gets an error from one pod of n1 to another about a packet of the trip (or of its replies). */
  function error(nodes: ReturnType<typeof lab>["nodes"], { from, about, what }: ErrorCase): number {
    const view = policyView(OBJECTS, HOMES);
    const inPort = machineFor(view, "n1").ports.get(from) ?? 0;
    const sender = OBJECTS.endpoints.find(({ key }) => key === from);
    const fields: Match = {
      ...{ inPort, ethType: 0x0800, ipProto: 1, ipTtl: 64, ...what },
      ...{ ipv4Src: sender?.ipv4 ?? "", ipv4Dst: about.ipv4Src ?? "" },
      ...{ ethSrc: macOf(sender?.ipv4 ?? ""), ethDst: about.ethSrc ?? "" },
    };
    return nodes.switches.get("n1")?.send({ fields, about: { fields: about } }).length ?? 0;
  }

  interface ErrorCase {
    readonly from: string;
    readonly about: Match;
    readonly what: Match;
  }

  const macOf = (ipv4: string) =>
    `02:02:${ipv4
      .split(".")
      .map((part) => Number(part).toString(16).padStart(2, "0"))
      .join(":")}`;

  it("of a connection pass when they come from the addressee of the packet, and from nobody else", () => {
    const closed: FakeRule[] = [...RULES, { id: "server:out", direction: "out" }];
    const { nodes, trip } = lab(closed);
    const question = trip("client", "near", 17, 53);
    const about = question.frame;
    expect(error(nodes, { from: "near", about, what: PORT_UNREACHABLE })).toBe(0);
    expect(nodes.send(question)).toEqual(["near"]);
    expect(error(nodes, { from: "near", about, what: PORT_UNREACHABLE })).toBe(1);
    expect(error(nodes, { from: "near", about, what: { icmpType: 3, icmpCode: 2 } })).toBe(1);
    expect(error(nodes, { from: "free", about, what: PORT_UNREACHABLE })).toBe(0);
  });

  it("about a reply are not believed, for their sender cannot be compared", () => {
    const { nodes, trip } = lab();
    const question = trip("client", "near", 17, 53);
    nodes.send(question);
    const about = { ...question.frame, ...turned(question.frame), ethSrc: question.destination?.mac ?? "" };
    expect(error(nodes, { from: "client", about, what: PORT_UNREACHABLE })).toBe(0);
    expect(error(nodes, { from: "free", about, what: PORT_UNREACHABLE })).toBe(0);
  });

  it.each([
    ["fragmentation needed", { icmpType: 3, icmpCode: 4 }],
    ["host unreachable", { icmpType: 3, icmpCode: 1 }],
    ["source quench", { icmpType: 4, icmpCode: 0 }],
    ["redirect", { icmpType: 5, icmpCode: 1 }],
    ["time exceeded", { icmpType: 11, icmpCode: 0 }],
    ["parameter problem", { icmpType: 12, icmpCode: 0 }],
  ])("of routers are not believed from pods: %s", (_name, what) => {
    const { nodes, trip } = lab([]);
    const question = trip("client", "near", 17, 53);
    nodes.send(question);
    expect(error(nodes, { from: "near", about: question.frame, what })).toBe(0);
  });
});

describe("fragments", () => {
  /** Whom the first and the later fragment of a packet reach. */
  function fragments({ nodes }: ReturnType<typeof lab>, trip: Trip) {
    const { udpSrc: _s, udpDst: _d, tcpSrc: _t, tcpDst: _u, tcpFlags: _, ...rest } = trip.frame;
    return {
      first: nodes.send(trip, { ...trip.frame, ipFrag: "first" }),
      later: nodes.send(trip, { ...rest, ipFrag: "later" }),
    };
  }

  it("pass where their whole protocol is allowed, without conntrack", () => {
    const world = lab([
      { id: "server:closed", direction: "in", action: "deny" },
      { id: "server:udp", direction: "in", action: "allow", protocol: "udp", priority: 10 },
    ]);
    expect(fragments(world, world.trip("client", "near", 17, 53))).toEqual({ first: ["near"], later: ["near"] });
    expect(fragments(world, world.trip("client", "server", 17, 53))).toEqual({ first: ["server"], later: ["server"] });
    expect(fragments(world, world.trip("client", "near", 6, 80)).later).toEqual([]);
    expect(world.connections()).toEqual([]);
  });

  it("are not whole where a rule allows or denies some ports of their protocol", () => {
    const allowed = lab();
    expect(fragments(allowed, allowed.trip("client", "near", 17, 53)).later).toEqual([]);
    const denied = lab([{ id: "server:81", direction: "in", action: "deny", protocol: "udp", port: 81 }]);
    expect(fragments(denied, denied.trip("client", "near", 17, 53)).later).toEqual([]);
    expect(fragments(denied, denied.trip("client", "near", 17, 81))).toEqual({ first: [], later: [] });
    expect(fragments(denied, denied.trip("client", "near", 6, 81)).later).toEqual(["near"]);
  });

  it("pass as ever where nobody has rules", () => {
    const world = lab();
    world.load([]);
    expect(fragments(world, world.trip("near", "free", 17, 53))).toEqual({ first: ["free"], later: ["free"] });
  });
});

describe("a lying sender", () => {
  it("reaches nobody past his rules by naming another address, or all", () => {
    const { nodes, trip } = lab();
    const udp = trip("free", "near", 17, 99);
    for (const ipv4Dst of ["10.1.1.77", "255.255.255.255", "224.0.0.1"]) {
      expect(nodes.send(udp, { ...udp.frame, ipv4Dst })).toEqual([]);
      expect(nodes.send(udp, { ...udp.frame, ipv4Dst, ethDst: "ff:ff:ff:ff:ff:ff" })).toEqual([]);
    }
  });
});

describe("an endpoint whose rules are not known", () => {
  const messages = policyMessages({ ...OBJECTS, rules: RULES }, HOMES);
  const cases: readonly (readonly [string, (id: string) => boolean, string])[] = [
    ["its group is missing", (id) => id !== "endpointGroup/t1:server", "endpoint group t1:server is not known"],
    ["its policy is missing", (id) => id !== "policy/t1:server", "policy t1:server is not known"],
  ];

  it.each(cases)("is closed when %s", (_title, keeps, reason) => {
    const kept = messages.filter((message) => message.type !== "put" || keeps(`${message.kind}/${message.key}`));
    const { view } = applyBatch(emptyView(), [...kept, { type: "synced", revision: 9n }]);
    const { nodes, trip } = lab();
    nodes.load(view);
    expect(nodes.send(trip("free", "near", 17, 53))).toEqual([]);
    expect(nodes.send(trip("near", "free"))).toEqual([]);
    const broadcast = { ...trip("free", "near", 17, 53).frame, ethDst: "ff:ff:ff:ff:ff:ff" };
    expect(nodes.send(trip("free", "near"), broadcast)).not.toContain("near");
    const { set } = updateFlowSet(newFlowSet(), { view, changes: new Map(), machine: machineFor(view, "n1") });
    expect(set.failures.get("endpoint/near")).toContain(reason);
  });

  it("is closed when a rule of its policy cannot be read", () => {
    const { view } = applyBatch(emptyView(), [
      ...messages,
      { type: "quarantine", kind: "rule", key: "t1:server:new", reason: "it is of a later release" },
      { type: "synced", revision: 9n },
    ]);
    const { nodes, trip } = lab();
    nodes.load(view);
    expect(nodes.send(trip("client", "near"))).toEqual([]);
    expect(nodes.send(trip("free", "client"))).toEqual([]);
    expect(nodes.send(trip("client", "free"))).toEqual(["free"]);
  });
});
