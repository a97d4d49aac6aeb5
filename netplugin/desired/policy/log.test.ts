import { describe, expect, it } from "vitest";
import type { Flow } from "../../../drivers/ovs/openflow/flow.ts";
import type { Match } from "../../../drivers/ovs/openflow/match.ts";
import { formatFlow } from "../../../drivers/ovs/openflow/text.ts";
import { simulateFlows } from "../../../test/fakes/flow-simulator.ts";
import { flowsOfSet } from "../../../test/fakes/flows-of-set.ts";
import { readSample } from "../../../test/fakes/policy-samples.ts";
import { machineOf, worldView } from "../../../test/fakes/world.ts";
import { NO_MEANS } from "../../machine/limit-means.ts";
import type { Machine } from "../../machine/machine.ts";
import { metersOf } from "../../reconcile/flows/meters.ts";
import { NO_CHANGES } from "../../view/node-view.ts";
import { newFlowSet, updateFlowSet } from "../flow-set/flow-set.ts";
import { Table } from "../pipeline/pipeline.ts";
import { sampleMeter } from "../pipeline/sample-meters.ts";

const WORLD = `
  mode bridge proxy
  node n1 192.0.2.1
  node n2 192.0.2.2
  network t1:blue vxlan 100 10.1.1.0/24
  group t1:g7 t1:blue client
  group t1:g8 t1:blue server
  policy t1:client
  policy t1:server
  policy t1:nobody
  endpoint c t1:blue n1 10.1.1.1 group 7
  endpoint s t1:blue n1 10.1.1.2 group 8
  endpoint f t1:blue n1 10.1.1.3
  rule t1:server:closed in deny protocol udp
`;
const IN = "rule t1:server:audit in log";
const OUT = "rule t1:client:audit out log";
const PORTS = { c: 11, s: 12, f: 13 };
const RULE_KEYS = ["t1:server:audit", "t1:client:audit"];

function compile(rules: string, machine: Machine = machineOf("n1", PORTS)) {
  const view = worldView(`${WORLD}\n${rules}`);
  const { set } = updateFlowSet(newFlowSet(), { view, changes: NO_CHANGES, machine });
  return { flows: [...flowsOfSet(set).values()], failures: Object.fromEntries(set.failures.toArray()) };
}

const texts = (flows: readonly Flow[]) => new Set(flows.map(formatFlow));
const SYN = 0x02;
const ACK = 0x10;

function frame(from: number, to: number, more: Match): Match {
  return {
    ...{ inPort: 10 + from, ethSrc: `02:02:0a:01:01:0${from}`, ethDst: `02:02:0a:01:01:0${to}`, ethType: 0x0800 },
    ...{ ipv4Src: `10.1.1.${from}`, ipv4Dst: `10.1.1.${to}`, ...more },
  };
}

const tcp = (from: number, to: number, tcpFlags: number, [tcpSrc, tcpDst]: readonly [number, number] = [45_000, 80]) =>
  frame(from, to, { ipProto: 6, tcpSrc, tcpDst, tcpFlags });
const udp = (from: number, to: number) => frame(from, to, { ipProto: 17, udpSrc: 45_000, udpDst: 53 });

function lab(rules: string) {
  const simulator = simulateFlows(compile(rules).flows);
  return (fields: Match) => {
    const sent = simulator.send({ fields }).map(({ port }) => port);
    const told = simulator.takeSamples().map((sample) => {
      const { verdict, out, in: incoming } = readSample("n1", sample, RULE_KEYS);
      return [verdict, ...out.loggedBy, ...incoming.loggedBy].join(" ");
    });
    return { sent: sent.sort(), told };
  };
}

describe("flows of log rules", () => {
  it.each(["", "rule t1:nobody:audit in log"])("are none where no log rule concerns the node (%s)", (rules) => {
    const { flows } = compile(rules);
    expect(metersOf(flows)).toEqual([]);
    const logging = flows.filter(({ table }) => table === Table.outLog || table === Table.inLog);
    expect(logging.map(({ priority }) => priority)).toEqual([0, 0]);
  });

  it("leave all others as they are, and name meters that hold samples back", () => {
    const { flows, failures } = compile(`${IN}\n${OUT}`);
    const before = texts(compile("").flows);
    expect([...before].filter((text) => !texts(flows).has(text))).toEqual([]);
    expect(failures).toEqual({});
    const meters = metersOf(flows).map(sampleMeter);
    expect(meters).toHaveLength(2);
    for (const meter of meters) expect(meter).toMatchObject({ rateUnit: "packet/s", bands: [{ kind: "drop" }] });
  });

  it("are none without meters, and the rule says so", () => {
    const machine = machineOf("n1", PORTS, { limitMeans: NO_MEANS });
    const { flows, failures } = compile(IN, machine);
    expect(texts(flows)).toEqual(texts(compile("", machine).flows));
    expect(failures).toEqual({ "rule/t1:server:audit": expect.stringMatching(/^It logs nothing: .* no meters/) });
  });
});

describe("what is told", () => {
  it("of an allowed connection is its beginning", () => {
    const send = lab(`${IN}\n${OUT}`);
    expect(send(tcp(1, 2, SYN))).toEqual({ sent: [12], told: ["allowed t1:client:audit t1:server:audit"] });
    expect(send(tcp(2, 1, SYN | ACK, [80, 45_000]))).toEqual({ sent: [11], told: [] });
    for (let count = 0; count < 3; count += 1) expect(send(tcp(1, 2, ACK))).toEqual({ sent: [12], told: [] });
    expect(send(tcp(3, 2, SYN, [45_001, 80]))).toEqual({ sent: [12], told: ["allowed t1:server:audit"] });
    expect(send(tcp(1, 3, SYN, [45_002, 80]))).toEqual({ sent: [13], told: ["allowed t1:client:audit"] });
  });

  it("of what is denied is every packet, by each side that has met it", () => {
    const send = lab(`${IN}\n${OUT}`);
    for (let count = 0; count < 2; count += 1) {
      expect(send(udp(1, 2))).toEqual({ sent: [], told: ["denied t1:client:audit t1:server:audit"] });
    }
    const denied = lab(`${IN}\n${OUT}\nrule t1:client:closed out deny`);
    expect(denied(udp(1, 2))).toEqual({ sent: [], told: ["denied t1:client:audit"] });
  });

  it("of a connection that is denied by now, goes with marking it", () => {
    const simulator = simulateFlows(compile(IN).flows);
    simulator.send({ fields: tcp(1, 2, SYN) });
    simulator.send({ fields: tcp(2, 1, SYN | ACK, [80, 45_000]) });
    simulator.takeSamples();
    simulator.load(compile(`${IN}\nrule t1:server:all in deny`).flows);
    expect(simulator.send({ fields: tcp(1, 2, ACK) })).toEqual([]);
    expect(simulator.takeSamples()).toHaveLength(1);
    expect(simulator.conntrack.connections.map(({ mark }) => mark)).toEqual([1]);
    expect(simulator.send({ fields: tcp(2, 1, ACK, [80, 45_000]) })).toEqual([]);
  });

  it("of a flood are denied copies only; each copy goes where it did", () => {
    const toAll = (fields: Match): Match => ({ ...fields, ethDst: "ff:ff:ff:ff:ff:ff", ipv4Dst: "10.1.1.255" });
    const rules = `${IN}\nrule t1:client:seen in log priority 9`;
    const [logged, unlogged] = [lab(rules), lab("")];
    expect(logged(toAll(udp(3, 2)))).toEqual({ ...unlogged(toAll(udp(3, 2))), told: ["denied t1:server:audit"] });
    expect(logged(toAll(udp(3, 2))).sent).toContain(11);
    const icmp = toAll(frame(3, 2, { ipProto: 1, icmpType: 8, icmpCode: 0 }));
    expect(logged(icmp)).toEqual({ ...unlogged(icmp), told: [] });
  });
});
