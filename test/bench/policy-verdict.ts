/**
 * Verdicts of the policy evaluator per second of processor time, one thread. Run: test/bench/run policy-verdict [count]
 */
import { formatIpv4 } from "../../state/address.ts";
import { verdict } from "../../state/policy/verdict.ts";
import type { PolicyPacket } from "../../state/policy/world.ts";
import { type FakeRule, type PolicyObjects, policyWorld } from "../fakes/policy-world.ts";
import { printTable } from "./table.ts";

const ENDPOINTS = 20_000;
const GROUPS = 1_000;
const FIRST_ADDRESS = 0x0a01_0001;

const count = Number(process.argv[2] ?? 1_000_000);
printTable(
  ["rules of the group", "verdicts per second of CPU", "denied"],
  [10, 100, 1_000, 10_000].map((ruleCount) => measure(ruleCount)),
);

function measure(ruleCount: number): string[] {
  const world = policyWorld(objects(ruleCount));
  const packets = Array.from({ length: 4_096 }, (_, index) => packetOf(index));
  for (const packet of packets) verdict(world, packet);
  let denied = 0;
  const started = process.cpuUsage();
  for (let index = 0; index < count; index += 1) {
    const packet = packets[index % packets.length];
    if (packet !== undefined && !verdict(world, packet).allowed) denied += 1;
  }
  const { user, system } = process.cpuUsage(started);
  const perSecond = count / ((user + system) / 1_000_000);
  return [String(ruleCount), Math.round(perSecond).toLocaleString("en"), `${Math.round((100 * denied) / count)} %`];
}

/** Every endpoint is in one of 1,000 groups, every group has the one policy; rules name groups, addresses, ports and lists. */
function objects(ruleCount: number): PolicyObjects {
  return {
    networks: [{ key: "t1:net", subnet: "10.1.0.0/16" }],
    groups: Array.from({ length: GROUPS }, (_, index) => ({ key: `t1:g${index}`, network: "t1:net", policies: ["p"] })),
    endpoints: Array.from({ length: ENDPOINTS }, (_, index) => ({
      key: `e${index}`,
      group: `t1:g${index % GROUPS}`,
      ipv4: addressAt(index),
    })),
    rules: Array.from({ length: ruleCount }, (_, index) => ruleOf(index)),
  };
}

function ruleOf(index: number): FakeRule {
  const direction = index % 2 === 0 ? "in" : "out";
  const side = direction === "in" ? "from" : "to";
  const peers: Partial<FakeRule>[] = [
    { [`${side}EndpointGroup`]: `g${index % GROUPS}` },
    { [`${side}IpAddress`]: `${addressAt(index * 3)}/28` },
    { [`${side}EndpointGroup`]: `g${(index * 7) % GROUPS}`, protocol: "udp" },
  ];
  return {
    ...{ id: `p:r${index}`, direction, protocol: "tcp", priority: 1 + (index % 100) },
    ...{ action: index % 3 === 0 ? "allow" : "deny", ...ports(index), ...peers[index % peers.length] },
  };
}

function ports(index: number): Partial<FakeRule> {
  if (index % 5 === 0) return { port: 8_000 + (index % 50), portEnd: 8_100 };
  return index % 7 === 0 ? { ports: [80, 443, 8_080] } : { port: 1_000 + (index % 1_000) };
}

function packetOf(index: number): PolicyPacket {
  return {
    ...{ networkKey: "t1:net", family: 4, protocol: index % 4 === 0 ? 17 : 6 },
    ...{ source: addressAt((index * 31) % ENDPOINTS), destination: addressAt((index * 17 + 5) % ENDPOINTS) },
    port: index % 3 === 0 ? 8_050 : 1_000 + (index % 1_000),
  };
}

function addressAt(index: number): string {
  return formatIpv4(BigInt(FIRST_ADDRESS + (index % 65_000)));
}
