import { describe, expect, it } from "vitest";
import { formatFlow } from "../../../drivers/ovs/openflow/text.ts";
import { simulateFlows } from "../../../test/fakes/flow-simulator.ts";
import { flowsOfSet } from "../../../test/fakes/flows-of-set.ts";
import { machineOf, macOf, worldView } from "../../../test/fakes/world.ts";
import { NO_MEANS } from "../../machine/limit-means.ts";
import { NO_CHANGES } from "../../view/node-view.ts";
import { newFlowSet, updateFlowSet } from "../flow-set/flow-set.ts";
import { GATEWAY_MAC } from "../pipeline/pipeline.ts";

/** Group 7 has a ceiling each way, the tenant one for what its pods receive; d is another tenant's. Group 8 has a policy. */
const CEILINGS = `
  group t1:g7 t1:net ingressCeiling 200mbps egressCeiling 100mbps
  tenant t1 ingressCeiling 1gbps
`;
/** The same group and tenant without. */
const NONE = CEILINGS.replace(/ \w+Ceiling \w+/g, "");
const WORLD = `
  mode routing proxy
  node n1 192.0.2.1
  node n2 192.0.2.2
  network t1:net vxlan 100 10.1.1.0/24 gateway 10.1.1.254
  network t1:vlan vlan 200 10.1.2.0/24 gateway 10.1.2.254
  network t2:net vxlan 102 10.1.1.0/24
  endpoint a t1:net n1 10.1.1.1 group 7
  endpoint b t1:net n1 10.1.1.2 group 7
  endpoint c t1:net n1 10.1.1.3 group 8
  endpoint d t2:net n1 10.1.1.4
  endpoint e t1:vlan n1 10.1.2.1 group 7
  endpoint far t1:net n2 10.1.1.9 group 7
  endpoint away t2:net n2 10.1.1.8
  group t1:g8 t1:net web
  policy t1:web
  rule t1:web:r1 in allow protocol udp
`;
const PORTS = { a: 11, b: 12, c: 13, d: 14, e: 15 };
const machine = machineOf("n1", PORTS, { limitMeans: { ...NO_MEANS, meters: true } });

function flowsOf(world: string, means = machine) {
  return [
    ...flowsOfSet(
      updateFlowSet(newFlowSet(), { view: worldView(world), changes: NO_CHANGES, machine: means }).set,
    ).values(),
  ];
}

const simulator = simulateFlows(flowsOf(WORLD + CEILINGS));
const [group, groupOut, tenant] = [0x2000e, 0x2000f, 0x28002];

interface Trip {
  readonly from: number | "tunnel" | "uplink";
  readonly ipv4Src: string;
  readonly ipv4Dst: string;
  readonly ethDst?: string;
}

const BROADCAST = "ff:ff:ff:ff:ff:ff";

/** Where the copies of a UDP packet go, and the meters that each has passed. */
function trip({ from, ipv4Src, ipv4Dst, ethDst = macOf(ipv4Dst) }: Trip): Record<number, readonly number[]> {
  const origin = {
    tunnel: { inPort: 1, tunId: 100n, tunSrc: "192.0.2.2" },
    uplink: { inPort: 2, vlanVid: 200 },
  };
  const where = typeof from === "number" ? { inPort: from } : origin[from];
  const fields = { ...where, ethSrc: macOf(ipv4Src), ethDst, ethType: 0x0800, ipProto: 17, ipv4Src, ipv4Dst };
  const ports = { udpSrc: 5_000, udpDst: 6_000, ipTtl: 64 };
  return Object.fromEntries(
    simulator.send({ fields: { ...fields, ...ports } }).map((sent) => [sent.port, sent.meters]),
  );
}

describe("meters of ceilings", () => {
  it("are passed by what a pod sends, once, and by what it receives, once", () => {
    const to = { from: 11, ipv4Src: "10.1.1.1" } as const;
    expect(trip({ ...to, ipv4Dst: "10.1.1.9" })).toEqual({ 1: [groupOut] });
    expect(trip({ ...to, ipv4Dst: "10.1.1.2" })).toEqual({ 12: [groupOut, group, tenant] });
    expect(trip({ ...to, ipv4Dst: "10.1.1.3" })).toEqual({ 13: [groupOut, tenant] });
    expect(trip({ from: 13, ipv4Src: "10.1.1.3", ipv4Dst: "10.1.1.1" })).toEqual({ 11: [group, tenant] });
  });

  it("are passed whatever way a packet comes: by tunnel, from the uplink, routed", () => {
    expect(trip({ from: "tunnel", ipv4Src: "10.1.1.9", ipv4Dst: "10.1.1.1" })).toEqual({ 11: [group, tenant] });
    expect(trip({ from: "uplink", ipv4Src: "10.1.2.99", ipv4Dst: "10.1.2.1" })).toEqual({ 15: [group, tenant] });
    const routed = { from: 11, ipv4Src: "10.1.1.1", ipv4Dst: "10.1.2.1", ethDst: GATEWAY_MAC } as const;
    expect(trip(routed)).toEqual({ 15: [groupOut, group, tenant] });
  });

  it("are passed by each copy of a flooded packet for itself, also by those that go through rules", () => {
    const flood = { ipv4Dst: "10.1.1.255", ethDst: BROADCAST };
    expect(trip({ from: "tunnel", ipv4Src: "10.1.1.9", ...flood })).toEqual({
      11: [group, tenant],
      12: [group, tenant],
      13: [tenant],
    });
    expect(trip({ from: 11, ipv4Src: "10.1.1.1", ...flood })).toEqual({
      1: [groupOut],
      12: [groupOut, group, tenant],
      13: [groupOut, tenant],
    });
    expect(trip({ from: "uplink", ipv4Src: "10.1.2.99", ipv4Dst: "10.1.2.255", ethDst: BROADCAST })).toEqual({
      15: [group, tenant],
    });
  });

  it("are no other tenant's", () => {
    expect(trip({ from: 14, ipv4Src: "10.1.1.4", ipv4Dst: "10.1.1.8" })).toEqual({ 1: [] });
  });
});

describe("flows of ceilings", () => {
  const texts = (world: string, means = machine) => flowsOf(world, means).map(formatFlow).sort();

  it("are one for each pod that receives under one, and none where nobody has one", () => {
    const [plain, limited] = [texts(WORLD + NONE), texts(WORLD + CEILINGS)];
    expect(plain.join()).not.toMatch(/meter:/);
    expect(limited.length - plain.length).toBe(4);
    expect(limited.filter((flow) => flow.includes("clone("))).toHaveLength(4);
  });

  it("are none on a node without meters", () => {
    const without = machineOf("n1", PORTS, { limitMeans: NO_MEANS });
    expect(texts(WORLD + CEILINGS, without)).toEqual(texts(WORLD + NONE, without));
  });
});
