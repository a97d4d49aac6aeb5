import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { addAddress, deleteAddress, dumpAddresses } from "./address.ts";
import { isErrno } from "./errno.ts";
import {
  createLink,
  createMacvlan,
  createVeth,
  deleteLink,
  deleteLinkGroup,
  dumpLinks,
  getLink,
  setLink,
} from "./link.ts";
import { echoedLink } from "./link-row.ts";
import { addNeighbour, deleteNeighbour, dumpNeighbours } from "./neighbour.ts";
import { type NetnsHandle, openNetns } from "./netns.ts";
import { getNetnsId } from "./netns-id.ts";
import { addRoute, deleteRoute, dumpRoutes, findRoute, RT_TABLE_MAIN } from "./route.ts";
import { createScratchNetns, type ScratchNetns } from "./scratch-netns.ts";
import { type NetlinkSocket, openNetlink } from "./socket.ts";

let host: ScratchNetns;
let pod: ScratchNetns;
let podNetns: NetnsHandle;
let outside: NetlinkSocket;
let inside: NetlinkSocket;

beforeEach(async () => {
  host = await createScratchNetns();
  pod = await createScratchNetns();
  using hostNetns = openNetns(host.path);
  podNetns = openNetns(pod.path);
  outside = openNetlink({ netns: hostNetns });
  inside = openNetlink({ netns: podNetns });
});

afterEach(() => {
  for (const one of [outside, inside, podNetns, host, pod]) one[Symbol.dispose]();
});

const shown = (netns: ScratchNetns, name: string) => netns.json("ip", "-d", "-j", "link", "show", "dev", name)[0];

describe("a pod's veth pair", () => {
  it("has the peer in the other namespace under its final name, addressed and routed", async () => {
    const near = { name: "vh0", mtuBytes: 1400, up: true, mac: "02:00:00:00:00:01" };
    const far = { name: "eth0", mtuBytes: 1400, mac: "02:02:0a:01:00:02", netnsFd: podNetns.fd };
    const made = echoedLink(await outside.execute([createVeth(near, far)]));
    expect(made).toMatchObject({ name: "vh0", kind: "veth", mtuBytes: 1400, mac: near.mac });
    const ifindex = made?.ifindex ?? 0;
    const peerIfindex = made?.peerIfindex ?? 0;
    expect(await outside.get(getNetnsId(podNetns))).toBe(made?.peerNetnsId);

    await inside.execute([
      addAddress({ ifindex: peerIfindex, prefix: "10.1.0.2/24" }),
      addAddress({ ifindex: peerIfindex, prefix: "2001:db8::2/64", skipDuplicateDetection: true }),
      setLink({ ifindex: 1 }, { up: true }),
      setLink({ ifindex: peerIfindex }, { up: true }),
      addRoute({ destination: "0.0.0.0/0", gateway: "10.1.0.1", ifindex: peerIfindex }),
      addRoute({ destination: "::/0", gateway: "2001:db8::1", ifindex: peerIfindex }),
    ]);

    const [addresses] = pod.json("ip", "-j", "address", "show", "dev", "eth0");
    expect(addresses).toMatchObject({ ifname: "eth0", mtu: 1400, address: far.mac, operstate: "UP" });
    expect(addresses?.addr_info).toMatchObject([
      { local: "10.1.0.2", prefixlen: 24 },
      { local: "2001:db8::2", prefixlen: 64, nodad: true },
      { scope: "link" },
    ]);
    expect(pod.json("ip", "-j", "route")).toMatchObject([
      { dst: "default", gateway: "10.1.0.1", dev: "eth0", protocol: "static" },
      { dst: "10.1.0.0/24", dev: "eth0" },
    ]);

    const rows = await inside.dump(dumpAddresses({ ifindex: peerIfindex }));
    expect(rows.map((row) => `${row.address}/${row.prefixLengthBits}`)).toContain("2001:db8::2/64");
    const routes = await inside.dump(dumpRoutes({ table: RT_TABLE_MAIN, ifindex: peerIfindex }));
    expect(routes).toContainEqual(expect.objectContaining({ destination: "::/0", gateway: "2001:db8::1" }));
    expect(await outside.get(getLink({ ifindex }))).toMatchObject({ operState: "up", statistics: { rxErrors: 0n } });
    expect((await outside.dump(dumpLinks())).map((row) => row.name).sort()).toEqual(["lo", "vh0"]);
  });

  it("can be made here, then moved, renamed and dressed in one send", async () => {
    const made = echoedLink(await outside.execute([createVeth({ name: "port1" }, { name: "spare1" })]));
    const peer = { ifindex: made?.peerIfindex ?? 0 };
    await outside.execute([
      setLink(peer, { netnsFd: podNetns.fd, name: "eth0", mac: "02:02:0a:01:00:03", mtuBytes: 1446 }),
      setLink(
        { name: "port1" },
        { alias: "contiv:pod/eth0", group: 9, txQueueLengthPackets: 500, mtuBytes: 1446, up: true },
      ),
    ]);
    expect(shown(pod, "eth0")).toMatchObject({ mtu: 1446, address: "02:02:0a:01:00:03", operstate: "DOWN" });
    const port = { ifalias: "contiv:pod/eth0", group: "9", txqlen: 500, mtu: 1446 };
    expect(shown(host, "port1")).toMatchObject(port);
    const row = await outside.get(getLink({ name: "port1" }));
    expect(row).toMatchObject({ alias: "contiv:pod/eth0", group: 9, txQueueLengthPackets: 500, up: true });
    expect(await inside.get(getLink({ name: "eth0" }))).toMatchObject({ peerIfindex: row.ifindex, kind: "veth" });

    await outside.execute([setLink({ name: "port1" }, { alias: "", group: 0, up: false })]);
    expect(await outside.get(getLink({ name: "port1" }))).toMatchObject({ alias: undefined, group: 0, up: false });
  });

  it("vanishes whole when one end is deleted, or the group of one end", async () => {
    const far = (name: string) => ({ name, netnsFd: podNetns.fd });
    await outside.execute([createVeth({ name: "a0" }, far("b0")), createVeth({ name: "a1", group: 70 }, far("b1"))]);
    await inside.execute([deleteLink({ name: "b0" })]);
    await outside.execute([deleteLinkGroup(70)]);
    expect((await outside.dump(dumpLinks())).map((row) => row.name)).toEqual(["lo"]);
    expect((await inside.dump(dumpLinks())).map((row) => row.name)).toEqual(["lo"]);
  });
});

describe("other links", () => {
  it("are bridges with ports, ifbs with queues, macvlans", async () => {
    const echoes = await outside.execute([
      createLink("bridge", { name: "br0", up: true }),
      createVeth({ name: "p0", txQueues: 4, rxQueues: 2 }, { name: "p1" }),
      createLink("ifb", { name: "ifb7", txQueues: 3 }),
    ]);
    const bridge = echoedLink(echoes, 0)?.ifindex ?? 0;
    const port = { ifindex: echoedLink(echoes, 1)?.ifindex ?? 0 };
    await outside.execute([
      setLink(port, { masterIfindex: bridge }),
      createMacvlan({ name: "mv0" }, { lowerIfindex: echoedLink(echoes, 1)?.peerIfindex ?? 0, mode: "bridge" }),
    ]);
    expect(shown(host, "p0")).toMatchObject({ master: "br0", num_tx_queues: 4, num_rx_queues: 2 });
    expect(shown(host, "ifb7")).toMatchObject({ linkinfo: { info_kind: "ifb" }, num_tx_queues: 3 });
    expect(shown(host, "mv0")).toMatchObject({ linkinfo: { info_kind: "macvlan", info_data: { mode: "bridge" } } });
    const ports = await outside.dump(dumpLinks({ masterIfindex: bridge }));
    expect(ports).toMatchObject([{ name: "p0", masterIfindex: bridge, masterKind: "bridge", txQueues: 4 }]);
    expect((await outside.dump(dumpLinks({ kind: "veth" }))).map((row) => row.name).sort()).toEqual(["p0", "p1"]);
    await outside.execute([setLink(port, { masterIfindex: 0 })]);
    expect(await outside.get(getLink(port))).toMatchObject({ masterIfindex: undefined });
  });

  it("have their counters", async () => {
    const [loopback] = await outside.dump(dumpLinks());
    expect(loopback?.statistics).toMatchObject({ rxPackets: 0n });
    host.run("ip", "link", "set", "lo", "up");
    host.run("ping", "-c", "1", "-w", "2", "127.0.0.1");
    expect(await outside.get(getLink({ ifindex: 1 }))).toMatchObject({ statistics: { rxPackets: 2n, txPackets: 2n } });
  });
});

describe("addresses, routes and neighbours", () => {
  it("are added, replaced, listed by link and deleted", async () => {
    const made = echoedLink(
      await outside.execute([createVeth({ name: "n0", up: true }, { name: "n1", netnsFd: podNetns.fd })]),
    );
    const ifindex = made?.ifindex ?? 0;
    await inside.execute([setLink({ ifindex: made?.peerIfindex ?? 0 }, { up: true })]);
    const address = { ifindex, prefix: "10.7.0.1/24", broadcast: "10.7.0.255", skipPrefixRoute: true };
    const neighbour = { ifindex, address: "10.7.0.9", mac: "02:00:00:00:00:09" };
    const neighbour6 = { ifindex, address: "2001:db8::9", mac: "02:00:00:00:00:0a" };
    await outside.execute([
      addAddress(address),
      addAddress(address), // twice equals once
      addNeighbour(neighbour),
      addNeighbour(neighbour6),
      addNeighbour({ ...neighbour, mac: "02:00:00:00:00:0b" }),
      addRoute({ destination: "10.7.0.0/24", ifindex, source: "10.7.0.1" }),
      addRoute({ destination: "10.8.0.0/16", gateway: "10.7.0.254", metric: 5, mtuBytes: 1300, table: 100 }),
      addRoute({ destination: "10.9.0.0/16", gateway: "172.16.0.1", ifindex, onLink: true, protocol: 99 }),
    ]);
    const table = (rows: readonly { destination: string }[]) => rows.map((row) => row.destination).sort();
    expect(table(await outside.dump(dumpRoutes({ table: RT_TABLE_MAIN, family: "ipv4" })))).toEqual([
      "10.7.0.0/24",
      "10.9.0.0/16",
    ]);
    expect(host.json("ip", "-j", "route", "show", "table", "100")).toMatchObject([
      { dst: "10.8.0.0/16", gateway: "10.7.0.254", metric: 5, metrics: [{ mtu: 1300 }] },
    ]);
    expect(await outside.dump(dumpRoutes({ table: 100 }))).toMatchObject([{ metric: 5, mtuBytes: 1300, ifindex }]);
    const known = await outside.dump(dumpNeighbours({ ifindex, family: "ipv4" }));
    expect(known).toEqual([{ ...neighbour, family: "ipv4", mac: "02:00:00:00:00:0b", state: "permanent" }]);
    expect(await outside.dump(dumpNeighbours({ ifindex }))).toContainEqual(expect.objectContaining(neighbour6));
    expect(await outside.dump(dumpAddresses({ ifindex, family: "ipv4" }))).toMatchObject([
      { address: "10.7.0.1", broadcast: "10.7.0.255", permanent: true },
    ]);

    expect(await outside.get(findRoute("10.7.0.0"))).toMatchObject({ destination: "10.7.0.0/24", ifindex });
    expect(await outside.get(findRoute("10.9.8.7"))).toMatchObject({ destination: "10.9.0.0/16", protocol: 99 });
    for (const unrouted of ["10.10.0.1", "2001:db9::1"]) {
      await expect(outside.get(findRoute(unrouted))).rejects.toMatchObject({ reason: "ENETUNREACH" });
    }

    await outside.execute([
      deleteRoute({ destination: "10.8.0.0/16", table: 100 }),
      deleteRoute({ destination: "10.9.0.0/16" }),
      deleteRoute({ destination: "10.7.0.0/24" }),
      deleteNeighbour(neighbour),
      deleteAddress(address),
    ]);
    expect(host.json("ip", "-4", "-j", "route")).toEqual([]);
    expect(await outside.dump(dumpNeighbours({ ifindex, family: "ipv4" }))).toEqual([]);
    const again = await outside.settle([
      deleteRoute({ destination: "10.9.0.0/16" }),
      deleteNeighbour(neighbour),
      deleteAddress(address),
    ]);
    expect(again.map((one) => one.error?.reason)).toEqual(["ESRCH", "ENOENT", "EADDRNOTAVAIL"]);
  });
});

describe("refusals", () => {
  it("carry the errno, the kernel's text and which message it was", async () => {
    const batch = [
      createVeth({ name: "x0" }, { name: "x1" }),
      createVeth({ name: "x0" }, { name: "x2" }),
      setLink({ name: "x1" }, { mtuBytes: 10 }),
      setLink({ name: "x1" }, { up: true }),
    ];
    const outcomes = await outside.settle(batch);
    expect(outcomes.map((one) => one.error?.reason)).toEqual([undefined, "EEXIST", "EINVAL", undefined]);
    expect(outcomes[1]?.error?.message).toBe(
      'Cannot create veth pair "x0", "x2": file already exists (EEXIST, message 2 of 4)',
    );
    expect(outcomes[2]?.error?.message).toBe(
      'Cannot change link "x1": mtu less than device minimum (EINVAL, message 3 of 4)',
    );
    expect(shown(host, "x1")).toMatchObject({ flags: expect.arrayContaining(["UP"]) }); // the kernel went on
    await expect(outside.execute(batch.slice(1))).rejects.toMatchObject({ code: "REJECTED", reason: "EEXIST" });
  });

  it("say that a link is absent", async () => {
    const absent = [setLink({ ifindex: 4_000 }, { up: true }), deleteLink({ name: "nosuch" }), deleteLinkGroup(5)];
    const outcomes = await outside.settle(absent);
    expect(outcomes.every((one) => isErrno(one.error, "ENODEV"))).toBe(true);
    await expect(outside.get(getLink({ name: "nosuch" }))).rejects.toMatchObject({ reason: "ENODEV" });
    const query = outside.get(getLink({ ifindex: 4_000 }));
    await expect(query).rejects.toThrow("Cannot read link #4000: no such device (ENODEV)");
  });

  it("say that a gateway is not reachable", async () => {
    const route = outside.execute([addRoute({ destination: "0.0.0.0/0", gateway: "10.99.0.1" })]);
    await expect(route).rejects.toThrow("Cannot add route to 0.0.0.0/0: Nexthop has invalid gateway (ENETUNREACH)");
  });
});
