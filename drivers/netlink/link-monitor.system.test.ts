import { readdirSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { addAddress } from "./address.ts";
import { createVeth, deleteLink, setLink } from "./link.ts";
import { type LinkMonitor, openLinkMonitor } from "./link-monitor.ts";
import { echoedLink } from "./link-row.ts";
import { type NetnsHandle, openNetns } from "./netns.ts";
import { createScratchNetns, type ScratchNetns } from "./scratch-netns.ts";
import { type NetlinkSocket, openNetlink } from "./socket.ts";

let scratch: ScratchNetns;
let netns: NetnsHandle;
let socket: NetlinkSocket;

beforeEach(async () => {
  scratch = await createScratchNetns();
  netns = openNetns(scratch.path);
  socket = openNetlink({ netns });
});

afterEach(() => {
  socket[Symbol.dispose]();
  netns[Symbol.dispose]();
  scratch[Symbol.dispose]();
});

const soon = () => AbortSignal.timeout(2_000);

async function untilReported(monitor: LinkMonitor, ifindex: number): Promise<void> {
  for (;;) {
    const change = await monitor.next({ signal: soon() });
    if (change.kind === "links" && change.ifindexes.has(ifindex)) return;
  }
}

async function makePair(): Promise<number> {
  return echoedLink(await socket.execute([createVeth({ name: "m0" }, { name: "m1" })]))?.ifindex ?? 0;
}

describe("the link monitor", () => {
  it("begins with a resync and then names links that were made, changed and deleted", async () => {
    using monitor = openLinkMonitor({ netns });
    expect(await monitor.next({ signal: soon() })).toEqual({ kind: "resync", reason: "start" });
    const ifindex = await makePair();
    await untilReported(monitor, ifindex);
    scratch.run("ip", "link", "set", "m0", "mtu", "1300"); // another process
    await untilReported(monitor, ifindex);
    await socket.execute([deleteLink({ ifindex })]);
    await untilReported(monitor, ifindex);
  });

  it("names links whose addresses changed, when asked to", async () => {
    const ifindex = await makePair();
    using monitor = openLinkMonitor({ netns, withAddresses: true });
    await monitor.next();
    await socket.execute([addAddress({ ifindex, prefix: "10.9.0.1/24" })]);
    await untilReported(monitor, ifindex);
  });

  it.each([
    { family: "IPv4", prefix: "10.9.0.1/24", destination: "10.9.0.0/24" },
    { family: "IPv6", prefix: "2001:db8:9::1/64", destination: "2001:db8:9::/64" },
  ])("names links whose $family routes changed, when asked to", async ({ prefix, destination }) => {
    const ifindex = await makePair();
    await socket.execute([setLink({ ifindex }, { up: true })]);
    await socket.execute([addAddress({ ifindex, prefix, skipDuplicateDetection: true })]);
    using monitor = openLinkMonitor({ netns, withRoutes: true });
    await monitor.next();
    scratch.run("ip", "route", "delete", destination, "dev", "m0"); // another process
    await untilReported(monitor, ifindex);
  });

  it("asks for a resync after an overflow and goes on watching", async () => {
    const ifindex = await makePair();
    using monitor = openLinkMonitor({ netns, receiveBufferBytes: 32_768 });
    await monitor.next();
    // The loop stands still meanwhile, so that the error is there when libuv looks.
    const lines = "i=1000; while [ $i -lt 1300 ]; do echo link set m0 mtu $i; i=$((i+1)); done";
    scratch.run("sh", "-c", `(${lines}) | ip -batch -`);
    const seen: string[] = [];
    while (!seen.includes("resync")) seen.push((await monitor.next({ signal: soon() })).kind);
    await new Promise((resolve) => setTimeout(resolve, 20));
    await socket.execute([setLink({ ifindex }, { mtuBytes: 1_400 })]);
    await untilReported(monitor, ifindex);
  });

  it("ends a wait by abort, by timeout and by closing", async () => {
    const monitor = openLinkMonitor({ netns });
    await monitor.next();
    const controller = new AbortController();
    const aborted = monitor.next({ signal: controller.signal });
    controller.abort();
    await expect(aborted).rejects.toMatchObject({ code: "CLOSED" });
    await expect(monitor.next({ signal: AbortSignal.timeout(10) })).rejects.toMatchObject({ code: "TIMEOUT" });
    const closed = monitor.next();
    await expect(monitor.next()).rejects.toMatchObject({ code: "INTERNAL" });
    monitor[Symbol.dispose]();
    await expect(closed).rejects.toMatchObject({ code: "CLOSED" });
    await expect(monitor.next()).rejects.toMatchObject({ code: "CLOSED" });
  });

  it("keeps what an aborted caller did not take", async () => {
    using monitor = openLinkMonitor({ netns });
    await expect(monitor.next({ signal: AbortSignal.abort() })).rejects.toMatchObject({ code: "CLOSED" });
    expect(await monitor.next()).toEqual({ kind: "resync", reason: "start" });
  });

  it("leaves no descriptor behind", async () => {
    const count = () => readdirSync("/proc/self/fd").length;
    const before = count();
    for (let n = 0; n < 100; n++) {
      using monitor = openLinkMonitor({ netns });
      await monitor.next();
    }
    expect(count()).toBeLessThanOrEqual(before + 1);
  });
});
