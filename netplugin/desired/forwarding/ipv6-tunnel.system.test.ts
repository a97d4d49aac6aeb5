import { afterAll, beforeAll, expect, it } from "vitest";
import { type FlowLab, startFlowLab } from "../../../test/fakes/flow-lab.ts";

/** Tunnels over an IPv6 underlay. */
const WORLD = `
  mode routing proxy
  node n1 fd50::1
  node n2 fd50::2
  network t1:red vxlan 100 10.1.1.0/24 gateway 10.1.1.254 ipv6 2001:db8:1::/64 gateway6 2001:db8:1::ff
  network t1:green vxlan 200 10.1.2.0/24 gateway 10.1.2.254 ipv6 2001:db8:2::/64 gateway6 2001:db8:2::ff
  endpoint a t1:red n1 10.1.1.1 2001:db8:1::1
  endpoint r t1:red n2 10.1.1.20 2001:db8:1::20
  endpoint g t1:green n2 10.1.2.20 2001:db8:2::20
`;

let lab: FlowLab;

beforeAll(async () => {
  lab = await startFlowLab(WORLD);
  await lab.load(WORLD);
  await lab.forgetNeighbours();
});

afterAll(async () => {
  await lab?.[Symbol.asyncDispose]();
});

it.each(["10.1.1.20", "2001:db8:1::20", "10.1.2.20", "2001:db8:2::20"])("a reaches %s", async (address) => {
  expect(await lab.reaches("a", address)).toBe(true);
});
