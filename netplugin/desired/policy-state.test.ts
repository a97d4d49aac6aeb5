import { describe, expect, it } from "vitest";
import type { Match } from "../../drivers/ovs/openflow/flow.ts";
import { type Trip, tripOf, tripWorld } from "../../test/fakes/policy-journey.ts";
import { machineFor, simulateNodes } from "../../test/fakes/policy-nodes.ts";
import { policyMessages, policyView } from "../../test/fakes/policy-view.ts";
import type { FakeRule, PolicyObjects } from "../../test/fakes/policy-world.ts";
import { applyBatch } from "../view/apply.ts";
import { emptyView } from "../view/node-view.ts";
import { newFlowSet, updateFlowSet } from "./flow-set.ts";

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

  it("lets related ICMP pass, and only that", () => {
    const { nodes, trip } = lab([...RULES, { id: "server:out", direction: "out" }]);
    const question = trip("client", "near", 17, 53);
    const { ethType = 0, ipv4Src = "", ipv4Dst = "" } = question.frame;
    const [ethSrc, ethDst] = [question.destination?.mac ?? "", question.source?.mac ?? ""];
    const ofport = machineFor(policyView(OBJECTS, HOMES), "n1").ports.get("near") ?? 0;
    const unreachable = {
      ethType,
      ethSrc,
      ethDst,
      ipProto: 1,
      icmpType: 3,
      icmpCode: 3,
      ipv4Src: ipv4Dst,
      ipv4Dst: ipv4Src,
      inPort: ofport,
    };
    const sendError = () =>
      nodes.switches.get("n1")?.send({ fields: unreachable, about: { fields: question.frame } }).length;
    expect(sendError()).toBe(0);
    expect(nodes.send(question)).toEqual(["near"]);
    expect(sendError()).toBe(1);
  });

  it("takes up TCP connections older than itself, but never the wrong way round", () => {
    const { nodes, trip, connections } = lab([]);
    const web = trip("client", "near");
    expect(nodes.send(back(web), segment(web, ACK, true))).toEqual(["client"]);
    expect(connections()).toEqual([]);
    expect(nodes.send(web, segment(web, ACK))).toEqual(["near"]);
    expect(connections().map(({ orig }) => orig.dstPort)).toEqual([80]);
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

describe("fragments", () => {
  /** Both fragments of a packet: how many copies leave, and how often conntrack saw them before. */
  function fragments(nodes: ReturnType<typeof lab>["nodes"], { frame }: Trip) {
    const inPort = machineFor(policyView(OBJECTS, HOMES), "n1").ports.get("client") ?? 0;
    const { udpSrc = 0, udpDst = 0, tcpSrc = 0, tcpDst = 0, tcpFlags: _, ...rest } = frame;
    const ports = { src: Number(udpSrc) + Number(tcpSrc), dst: Number(udpDst) + Number(tcpDst) };
    const send = (fields: Match) => nodes.switches.get("n1")?.send({ fields: { ...fields, inPort }, ports }) ?? [];
    return { first: send({ ...rest, ipFrag: "first" }), later: send({ ...rest, ipFrag: "later" }) };
  }

  it.each([
    ["udp", 17, 53],
    ["tcp", 6, 80],
  ])("of allowed %s go the same way", (_name, protocol, port) => {
    const { nodes, trip } = lab();
    for (let round = 0; round < 3; round += 1) {
      const { first, later } = fragments(nodes, trip("client", "near", protocol, port));
      expect([first.length, later.length]).toEqual([1, 1]);
      expect(later[0]?.ctCount).toBe(first[0]?.ctCount);
      expect(later[0]?.ctCount).toBeGreaterThan(1);
    }
  });

  it("of what is denied are held back by conntrack: their first one never gets there", () => {
    const { nodes, trip, load } = lab();
    const denied = fragments(nodes, trip("client", "near", 17, 54));
    expect(denied.first).toEqual([]);
    expect(denied.later.every(({ ctCount }) => ctCount > 1)).toBe(true);
    const dns = trip("client", "near", 17, 53);
    nodes.send(dns);
    nodes.send(back(dns), turned({ ...dns.frame, ethSrc: "02:02:0a:01:01:03", ethDst: "02:02:0a:01:01:01" }));
    const multicast = { ...dns, frame: { ...dns.frame, ethDst: "01:00:5e:00:00:fb", ipv4Dst: "224.0.0.251" } };
    load([...RULES, { id: "client:silent", direction: "out", action: "deny" }]);
    const silenced = fragments(nodes, multicast);
    expect(silenced.first).toEqual([]);
    expect(silenced.later.every(({ ctCount }) => ctCount > 1)).toBe(true);
    load(RULES.filter(({ id }) => id !== "server:udp"));
    const ended = fragments(nodes, dns);
    expect(ended.first).toEqual([]);
    expect(ended.later.every(({ ctCount }) => ctCount > 1)).toBe(true);
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
