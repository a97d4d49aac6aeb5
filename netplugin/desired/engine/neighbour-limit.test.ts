import { describe, expect, it } from "vitest";
import type { Match } from "../../../drivers/ovs/openflow/match.ts";
import { simulateFlows } from "../../../test/fakes/flow-simulator.ts";
import { flowsFor } from "../../../test/fakes/policy-nodes.ts";
import { machineOf, worldView } from "../../../test/fakes/world.ts";
import type { Machine } from "../../machine/machine.ts";
import { meterIdOf } from "../limits/limit-plan.ts";
import { ArpOp, EtherType, Icmpv6 } from "../pipeline/actions.ts";
import { MeterUse, meterId, meterUseOf } from "../pipeline/meter-ids.ts";
import { neighbourMeterId, neighbourMeterOf } from "../pipeline/neighbour-limit.ts";

const RATE = 100;
const [WEB1, WEB2] = [11, 12];
const view = worldView(`
  mode bridge proxy
  node n1 192.0.2.1
  network blue:web vxlan 100 10.1.1.0/24 ipv6 2001:db8:1::/64
  endpoint web1 blue:web n1 10.1.1.1 2001:db8:1::1
  endpoint web2 blue:web n1 10.1.1.2 2001:db8:1::2
`);
const LIMITED = { neighbourMessagesPerSecond: RATE } as const;
const machineWith = (more: Partial<Machine>) => machineOf("n1", { web1: WEB1, web2: WEB2 }, more);

const [MAC1, MAC2] = ["02:02:0a:01:01:01", "02:02:0a:01:01:02"];
const [LINK_LOCAL, IPV6] = ["fe80::2:aff:fe01:101", "2001:db8:1::1"];
const FROM_WEB1 = { inPort: WEB1, ethSrc: MAC1, ethDst: MAC2 } as const;
const ARP = { ...FROM_WEB1, ethType: EtherType.arp, arpSha: MAC1 } as const;
const ND = { ...FROM_WEB1, ethType: EtherType.ipv6, ipProto: 58, ipTtl: 255, icmpv6Code: 0, ipv6Dst: "2001:db8:1::2" };

/** All true, and for web2: nothing else stops them. */
const MESSAGES: Readonly<Record<string, Match>> = {
  "an ARP reply": { ...ARP, arpOp: ArpOp.reply, arpSpa: "10.1.1.1", arpTpa: "10.1.1.2" },
  "an ARP probe": { ...ARP, arpOp: ArpOp.request, arpSpa: "0.0.0.0", arpTpa: "10.1.1.1" },
  "a router solicitation": { ...ND, ipv6Src: LINK_LOCAL, icmpv6Type: Icmpv6.routerSolicitation },
  "a solicitation": {
    ...{ ...ND, ipv6Src: IPV6, icmpv6Type: Icmpv6.neighbourSolicitation },
    ...{ ndTarget: "2001:db8:1::77", ndSll: MAC1 },
  },
  "a search for duplicates": {
    ...{ ...ND, ipv6Src: "::", icmpv6Type: Icmpv6.neighbourSolicitation },
    ...{ ndTarget: IPV6, ndSll: "00:00:00:00:00:00" },
  },
  "an advertisement": {
    ...{ ...ND, ipv6Src: IPV6, icmpv6Type: Icmpv6.neighbourAdvertisement },
    ...{ ndTarget: IPV6, ndTll: MAC1 },
  },
};

function sentBy(machine: Machine, fields: Match, lengthBytes?: number) {
  const simulator = simulateFlows(flowsFor(view, machine).values());
  return simulator.send({ fields, ...(lengthBytes === undefined ? {} : { lengthBytes }) });
}

describe.each(Object.entries(MESSAGES))("%s of a pod", (_what, fields) => {
  it("passes the meter of its port", () => {
    const machine = machineWith(LIMITED);
    const [sent, ...others] = sentBy(machine, fields);
    expect(sent).toMatchObject({ port: WEB2, meters: [neighbourMeterId(machine, WEB1)] });
    expect(others).toEqual([]);
  });

  it("passes none where there is no limit, or no meter", () => {
    expect(sentBy(machineWith({}), fields)).toMatchObject([{ port: WEB2, meters: [] }]);
  });

  it.each([LIMITED, {}])("is dropped when it is longer than 256 bytes (%j)", (limit) => {
    const machine = machineWith(limit);
    expect(sentBy(machine, fields, 256)).toHaveLength(1);
    expect(sentBy(machine, fields, 257)).toEqual([]);
  });
});

describe("other packets of a pod", () => {
  it("pass no meter, however long they are", () => {
    const ip = { ...FROM_WEB1, ethType: EtherType.ipv4, ipProto: 17, ipv4Src: "10.1.1.1", ipv4Dst: "10.1.1.2" };
    const udp = { ...ip, udpSrc: 7, udpDst: 7 };
    expect(sentBy(machineWith(LIMITED), udp, 1_514)).toMatchObject([{ port: WEB2, meters: [] }]);
  });
});

describe("the meter of a pod's messages to neighbours", () => {
  const kernel = machineWith({ ...LIMITED, datapathType: "system" });
  const userspace = machineWith(LIMITED);

  it.each([
    ["userspace", userspace],
    ["kernel", kernel],
  ])("is wanted while the pod is plugged in and something is to be limited (%s datapath)", (_name, machine) => {
    const id = neighbourMeterId(machine, WEB1);
    expect(neighbourMeterOf(machine, id)?.bands).toEqual([{ kind: "drop", rate: RATE, burst: 5 * RATE }]);
    expect(neighbourMeterOf(machine, neighbourMeterId(machine, 999))).toBeUndefined();
    expect(neighbourMeterOf({ ...machine, neighbourMessagesPerSecond: undefined }, id)).toBeUndefined();
  });

  it("has a number that the datapath has, and that nothing else there uses", () => {
    const last = 0xfeff;
    expect(neighbourMeterId(userspace, last)).toBeLessThanOrEqual(0x4_0000);
    expect(neighbourMeterId(kernel, last)).toBeLessThanOrEqual(200_000);
    expect(neighbourMeterId(userspace, WEB1)).not.toBe(meterIdOf(WEB1));
    const ids = Object.values(MeterUse).flatMap((use) => [meterId(use, 1), meterId(use, 0xff)]);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it.each(Object.entries(MeterUse))("tells its use by its number: %s", (_name, use) => {
    expect(meterUseOf(meterId(use, 0))).toBe(use);
    expect(meterUseOf(meterId(use, 0xff))).toBe(use);
    if (use !== MeterUse.sample) expect(meterUseOf(meterId(use, 0xfeff))).toBe(use);
  });
});
