import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { run } from "../../../deploy/cluster/exec.ts";
import { type NetnsHandle, openNetns } from "../../../drivers/netlink/netns.ts";
import { openSocketPool, type SocketPool } from "../../../drivers/netlink/pool.ts";
import { TunnelAddress } from "./tunnel-address.ts";

const NETNS = `ctta${process.pid}`;
let netns: NetnsHandle;
let netlink: SocketPool;

const ip = (...args: readonly string[]) => run(["ip", "-n", NETNS, ...args]);

beforeAll(async () => {
  await run(["ip", "netns", "add", NETNS]);
  await ip("link", "add", "nic0", "type", "veth", "peer", "name", "nic1");
  await ip("link", "set", "nic0", "up");
  netns = openNetns(`/run/netns/${NETNS}`);
  netlink = openSocketPool({ netns });
});

afterAll(async () => {
  netlink?.[Symbol.dispose]();
  netns?.[Symbol.dispose]();
  await run(["ip", "netns", "delete", NETNS]);
});

describe("the address that peers send tunnels to", () => {
  it.each([
    ["192.0.2.1", "192.0.2.1/24"],
    ["2001:db8:0::1", "2001:db8::1/64"],
  ])("%s: told when it is not the node's, once, and when it is again", async (vtepIp, prefix) => {
    const lines: string[] = [];
    const write = (fields: { reason?: string }, text: string) => lines.push(`${text}: ${fields.reason ?? ""}`);
    const log = { warn: write, info: write } as never;
    const tunnel = new TunnelAddress({ netlink, vtepIp: () => vtepIp, missing: () => undefined, log });
    await ip("address", "add", "198.51.100.7/24", "dev", "nic0");
    await tunnel.look();
    await tunnel.look();
    expect(tunnel.fault()).toMatch(/is on no link of this node \(it has: 198\.51\.100\.7\)/);
    await ip("address", "add", prefix, "dev", "nic0", "nodad");
    await tunnel.look();
    expect(tunnel.fault()).toBeUndefined();
    expect(lines).toHaveLength(2);
    await ip("address", "flush", "dev", "nic0", "scope", "global");
  });

  it("says why there is none, whatever stands in for it", async () => {
    const lines: string[] = [];
    const log = { warn: ({ reason }: { reason: string }) => lines.push(reason) } as never;
    const missing = () => "this node has no tunnel address (no uplink is given)";
    const tunnel = new TunnelAddress({ netlink, vtepIp: () => "198.51.100.7", missing, log });
    await tunnel.look();
    expect(tunnel.fault()).toBe(missing());
    expect(lines).toEqual([missing()]);
  });
});
