import { describe, expect, it } from "vitest";
import { simulateFlows } from "../../../test/fakes/flow-simulator.ts";
import { tripOf, tripWorld } from "../../../test/fakes/policy-journey.ts";
import { flowsFor, machineFor, TUNNEL_PORT } from "../../../test/fakes/policy-nodes.ts";
import { policyView, VTEPS } from "../../../test/fakes/policy-view.ts";
import type { PolicyObjects } from "../../../test/fakes/policy-world.ts";
import type { Machine } from "../../machine/machine.ts";
import { newConnectionsMeterId, newConnectionsMeterOf } from "../pipeline/connection-limit.ts";

/** Pods `web` (takes TCP 80 and UDP 53 only) and `plain` (no group) on n1, `far` on n2. */
const OBJECTS: PolicyObjects = {
  networks: [{ key: "t1:blue", subnet: "10.1.1.0/24" }],
  groups: [{ key: "t1:web", network: "t1:blue", policies: ["web"] }],
  endpoints: [
    { key: "web", group: "t1:web", ipv4: "10.1.1.1" },
    { key: "plain", network: "t1:blue", ipv4: "10.1.1.2" },
    { key: "far", network: "t1:blue", ipv4: "10.1.1.3" },
  ],
  rules: [
    { id: "web:closed" },
    { id: "web:http", action: "allow", protocol: "tcp", port: 80, priority: 10 },
    { id: "web:dns", action: "allow", protocol: "udp", port: 53, priority: 10 },
  ],
};
const [SYN, ACK] = [0x02, 0x10];
const view = policyView(OBJECTS, { far: "n2" });
const machine = { ...machineFor(view, "n1"), newConnectionsPerSecond: 100 };
const meterOf = (key: string) => newConnectionsMeterId(machine.ports.get(key) ?? 0);

function node({ newConnectionsPerSecond }: Pick<Machine, "newConnectionsPerSecond"> = machine) {
  const simulator = simulateFlows(flowsFor(view, { ...machine, newConnectionsPerSecond }).values());
  const frameOf = (from: string, to: string, protocol: number, port: number) => {
    const trip = tripOf(tripWorld(OBJECTS), { from, to, family: 4, isLinkLocal: false, protocol, port });
    if (trip === undefined) throw new Error(`Nothing travels from ${from} to ${to}`);
    const inPort = machine.ports.get(from);
    const tunnel = { inPort: TUNNEL_PORT, tunSrc: VTEPS.n2 ?? "", tunId: BigInt(trip.network.tag) };
    return { ...trip.frame, ...(inPort === undefined ? tunnel : { inPort }) };
  };
  /** The meters that each copy which leaves has passed. */
  const send = (fields: ReturnType<typeof frameOf>, tcpFlags?: number) =>
    simulator.send({ fields: tcpFlags === undefined ? fields : { ...fields, tcpFlags } }).map(({ meters }) => meters);
  return { send, frameOf };
}

describe("connections that a pod of this node begins", () => {
  it.each([
    ["tcp", 6, 80, SYN],
    ["udp", 17, 53, undefined],
  ] as const)("pass its meter, with their first %s packet only", (_name, protocol, port, flags) => {
    const { send, frameOf } = node();
    const there = frameOf("plain", "web", protocol, port);
    expect(send(there, flags)).toEqual([[meterOf("plain")]]);
    const { ethSrc, ethDst, ipv4Src, ipv4Dst, tcpSrc, tcpDst, udpSrc, udpDst } = there;
    const ports = protocol === 6 ? { tcpSrc: tcpDst, tcpDst: tcpSrc } : { udpSrc: udpDst, udpDst: udpSrc };
    const ends = { ethSrc: ethDst, ethDst: ethSrc, ipv4Src: ipv4Dst, ipv4Dst: ipv4Src, ...ports };
    const back = { ...there, ...ends, inPort: machine.ports.get("web") } as typeof there;
    expect(send(back, flags === undefined ? undefined : SYN | ACK)).toEqual([[]]);
    expect(send(there, flags === undefined ? undefined : ACK)).toEqual([[]]);
  });

  it("do not when they are denied, nor when they come from elsewhere", () => {
    const { send, frameOf } = node();
    expect(send(frameOf("plain", "web", 6, 81), SYN)).toEqual([]);
    expect(send(frameOf("far", "web", 6, 80), SYN)).toEqual([[]]);
    expect(send(frameOf("web", "plain", 6, 7), SYN)).toEqual([[meterOf("web")]]);
  });

  it("are as many as they like when nothing is to be limited", () => {
    const { send, frameOf } = node({});
    expect(send(frameOf("plain", "web", 6, 80), SYN)).toEqual([[]]);
  });
});

describe("the meter of a pod's new connections", () => {
  it("is wanted while the pod is plugged in and something is to be limited", () => {
    const [band] = newConnectionsMeterOf(machine, meterOf("web"))?.bands ?? [];
    expect(band).toEqual({ kind: "drop", rate: 100, burst: 100 });
    expect(newConnectionsMeterOf(machine, newConnectionsMeterId(999))).toBeUndefined();
    const unlimited = { ...machine, newConnectionsPerSecond: undefined };
    expect(newConnectionsMeterOf(unlimited, meterOf("web"))).toBeUndefined();
  });
});
