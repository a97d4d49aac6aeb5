import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { addAddress, dumpAddresses } from "./address.ts";
import { createVeth, dumpLinks, getLink, setLink } from "./link.ts";
import { echoedLink } from "./link-row.ts";
import { openNetns } from "./netns.ts";
import { getNetnsId } from "./netns-id.ts";
import { addRoute, dumpRoutes, RT_TABLE_MAIN } from "./route.ts";
import { createScratchNetns, type ScratchNetns } from "./scratch-netns.ts";
import { openNetlink } from "./socket.ts";

let host: ScratchNetns;
let pod: ScratchNetns;

beforeAll(async () => {
  host = await createScratchNetns();
  pod = await createScratchNetns();
});

afterAll(() => {
  host[Symbol.dispose]();
  pod[Symbol.dispose]();
});

describe("a pod's veth pair", () => {
  it("has the peer in the other namespace under its final name, addressed and routed", async () => {
    using hostNetns = openNetns(host.path);
    using podNetns = openNetns(pod.path);
    using outside = openNetlink({ netns: hostNetns });
    using inside = openNetlink({ netns: podNetns });

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
});
