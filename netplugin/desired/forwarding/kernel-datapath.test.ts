import { describe, expect, it } from "vitest";
import type { Match } from "../../../drivers/ovs/openflow/match.ts";
import { simulateFlows } from "../../../test/fakes/flow-simulator.ts";
import { flowsFor } from "../../../test/fakes/policy-nodes.ts";
import { machineOf, worldView } from "../../../test/fakes/world.ts";
import type { Machine } from "../../machine/machine.ts";
import { knownNeighbours } from "../known-neighbours.ts";
import { EtherType, Icmpv6 } from "../pipeline/actions.ts";
import { GATEWAY_MAC } from "../pipeline/pipeline.ts";

/** What Open vSwitch takes on the userspace datapath only: it refuses the whole bundle on the kernel's. */
const USERSPACE_ONLY = /"nd(Reserved|OptionsType)"/;
const MODES = ["bridge proxy", "bridge flood", "routing proxy", "routing flood"];
const PORTS = { a: 11, b: 12 } as const;
const machines = {
  kernel: machineOf("n1", PORTS, { datapathType: "system" }),
  userspace: machineOf("n1", PORTS, { datapathType: "netdev" }),
};

function viewIn(mode: string) {
  return worldView(`
    mode ${mode}
    node n1 192.0.2.1
    node n2 192.0.2.2
    network t1:vx vxlan 100 10.1.1.0/24 gateway 10.1.1.254 ipv6 2001:db8:1::/64 gateway6 2001:db8:1::ff
    network t1:vl vlan 200 10.1.2.0/24 ipv6 2001:db8:2::/64
    endpoint a t1:vx n1 10.1.1.1 2001:db8:1::1
    endpoint b t1:vl n1 10.1.2.1 2001:db8:2::1
    endpoint c t1:vx n2 10.1.1.2 2001:db8:1::2
  `);
}

const texts = (mode: string, machine: Machine) =>
  [...flowsFor(viewIn(mode), machine).values()].map((flow) =>
    JSON.stringify(flow, (_, value) => (typeof value === "bigint" ? String(value) : value)),
  );

describe.each(MODES)("flows of the kernel's datapath (%s)", (mode) => {
  it("name no field that it does not have", () => {
    expect(texts(mode, machines.kernel).filter((text) => USERSPACE_ONLY.test(text))).toEqual([]);
    expect(texts(mode, machines.userspace).some((text) => USERSPACE_ONLY.test(text))).toBe(true);
  });

  it("differ from others in the answers to solicitations alone", () => {
    const others = new Set(texts(mode, machines.kernel));
    const missing = texts(mode, machines.userspace).filter((text) => !others.has(text));
    expect(missing.filter((text) => !/"icmpv6Type":13[56]/.test(text))).toEqual([]);
    expect(others.size).toBe(texts(mode, machines.userspace).length - missing.length);
  });
});

describe("a solicitation on the kernel's datapath", () => {
  const simulated = (mode: string) => simulateFlows(flowsFor(viewIn(mode), machines.kernel).values());
  const solicitation: Match = {
    ...{ ethType: EtherType.ipv6, ipProto: 58, ipTtl: 255 },
    ...{ icmpv6Type: Icmpv6.neighbourSolicitation, icmpv6Code: 0, ethDst: "33:33:ff:00:00:01" },
  };

  it.each(MODES)("of a pod goes to all nodes of its network (%s)", (mode) => {
    const mac = "02:02:0a:01:01:01";
    const own = { inPort: PORTS.a, ethSrc: mac, ipv6Src: "2001:db8:1::1", ndSll: mac };
    const sent = simulated(mode).send({ fields: { ...solicitation, ...own, ndTarget: "2001:db8:1::2" } });
    expect(sent.map(({ port }) => port)).toEqual([1]);
  });

  it.each(MODES)("of a machine on the VLAN reaches the pod that can answer (%s)", (mode) => {
    const mac = "02:aa:00:00:00:01";
    const outside = { inPort: 2, vlanVid: 200, ethSrc: mac, ipv6Src: "2001:db8:2::77", ndSll: mac };
    const sent = simulated(mode).send({ fields: { ...solicitation, ...outside, ndTarget: "2001:db8:2::1" } });
    expect(sent.map(({ port }) => port)).toEqual([PORTS.b]);
  });
});

describe("an IPv6 gateway of the kernel's datapath", () => {
  const gateway = "2001:db8:1::ff";
  const known = (mode: string, datapathType: "system" | "netdev", ipv6Gateway: string | undefined) =>
    knownNeighbours({ datapathType, view: () => viewIn(mode) }, ipv6Gateway);

  it("is known to pods by itself when it is the switch, and nowhere else", () => {
    expect(known("routing proxy", "system", gateway)).toEqual([{ address: gateway, mac: GATEWAY_MAC }]);
    expect(known("bridge proxy", "system", gateway)).toEqual([]);
    expect(known("routing proxy", "netdev", gateway)).toEqual([]);
    expect(known("routing proxy", "system", undefined)).toEqual([]);
    expect(known("routing proxy", "system", "")).toEqual([]);
  });

  it("answers pings at the MAC that pods know", () => {
    const own = { inPort: PORTS.a, ethSrc: "02:02:0a:01:01:01", ipv6Src: "2001:db8:1::1" };
    const echo = { ethDst: GATEWAY_MAC, ipv6Dst: gateway, icmpv6Type: Icmpv6.echoRequest, icmpv6Code: 0 };
    const fields = { ethType: EtherType.ipv6, ipProto: 58, ipTtl: 64, ...own, ...echo };
    const sent = simulateFlows(flowsFor(viewIn("routing proxy"), machines.kernel).values()).send({ fields });
    expect(sent.map(({ port }) => port)).toEqual([PORTS.a]);
  });
});
