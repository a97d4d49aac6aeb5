import { afterAll, beforeAll, expect, it } from "vitest";
import { type FlowLab, startFlowLab } from "../../../test/fakes/flow-lab.ts";
import { arpFrame, sendFrames, sniff } from "../../../test/fakes/frames.ts";
import { macOf } from "../../../test/fakes/world.ts";

/** A VLAN network in bridge mode, and on the same VLAN of the underlay a machine that is no endpoint: its router. */
const WORLD = `
  mode bridge proxy
  node n1 192.168.50.1
  node n2 192.168.50.2
  network t1:red vlan 100 10.1.1.0/24 gateway 10.1.1.254 ipv6 2001:db8:1::/64 gateway6 2001:db8:1::ff
  endpoint a t1:red n1 10.1.1.1 2001:db8:1::1
  endpoint b t1:red n1 10.1.1.2 2001:db8:1::2
  endpoint r t1:red n2 10.1.1.20 2001:db8:1::20
`;
const BROADCAST = "ff:ff:ff:ff:ff:ff";
const CROSSING_MS = 400;
/** EtherType ARP, Ethernet and IPv4, reply. */
const ARP_REPLY = "08060001080006040002";

let lab: FlowLab;

beforeAll(async () => {
  lab = await startFlowLab(WORLD);
  await lab.addHost("router", ["10.1.1.254/24", "2001:db8:1::ff/64"], 100);
  await lab.load(WORLD);
  await lab.forgetNeighbours();
});

afterAll(async () => {
  await lab?.[Symbol.asyncDispose]();
});

it.each([
  ["a", "10.1.1.254"],
  ["r", "10.1.1.254"],
  ["a", "2001:db8:1::ff"],
  ["r", "2001:db8:1::ff"],
  ["router", "10.1.1.2"],
  ["router", "10.1.1.20"],
  ["router", "2001:db8:1::2"],
  ["router", "2001:db8:1::20"],
])("%s reaches %s", async (pod, address) => {
  await lab.forgetNeighbours();
  expect(await lab.reaches(pod, address)).toBe(true);
});

it.each(["10.1.1.1", "10.1.1.20"])(
  "the router's question for %s gets one answer, of the pod's MAC",
  async (address) => {
    const src = (await lab.exec("router", "cat", "/sys/class/net/eth0/address")).stdout.trim();
    const sniffer = await sniff(lab.netnsOf("router"), "eth0");
    const question = { op: 1, sha: src, spa: "10.1.1.254", tpa: address };
    await sendFrames(lab.netnsOf("router"), "eth0", [arpFrame({ src, dst: BROADCAST }, question)]);
    await new Promise((resolve) => setTimeout(resolve, CROSSING_MS));
    const answers = sniffer.frames.filter((frame) => frame.slice(24, 44) === ARP_REPLY);
    await sniffer[Symbol.asyncDispose]();
    expect(answers.map((frame) => frame.slice(44, 56))).toEqual([macOf(address).replaceAll(":", "")]);
  },
);

it("is not heard when it asks as a stranger for a stranger", async () => {
  const src = "02:aa:00:00:00:01";
  const sniffers = await Promise.all(["a", "b", "r"].map((pod) => sniff(lab.netnsOf(pod), "eth0")));
  const frame = arpFrame({ src, dst: BROADCAST }, { op: 1, sha: src, spa: "10.1.1.200", tpa: "10.1.1.201" });
  await sendFrames(lab.netnsOf("router"), "eth0", [frame]);
  await new Promise((resolve) => setTimeout(resolve, CROSSING_MS));
  const heard = sniffers.flatMap(({ frames }) => frames.filter((each) => each === frame));
  for (const sniffer of sniffers) await sniffer[Symbol.asyncDispose]();
  expect(heard).toEqual([]);
});
