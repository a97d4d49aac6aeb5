import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { dumpClasses, replaceHtbClass } from "./class.ts";
import { isErrno } from "./errno.ts";
import { addMatchAll, deleteFilters, dumpFilters } from "./filter.ts";
import { createLink, createVeth } from "./link.ts";
import { echoedLink } from "./link-row.ts";
import { openNetns } from "./netns.ts";
import {
  addClsact,
  addIngress,
  deleteIngress,
  deleteQdisc,
  dumpQdiscs,
  replaceHtb,
  replaceQdisc,
  replaceTbf,
} from "./qdisc.ts";
import { createScratchNetns, type ScratchNetns } from "./scratch-netns.ts";
import { type NetlinkSocket, openNetlink } from "./socket.ts";
import { sameTbf, tbfLimitBytes } from "./tbf.ts";
import { TC_H_CLSACT_EGRESS, tcHandle } from "./traffic-control.ts";

let netns: ScratchNetns;
let socket: NetlinkSocket;
let veth: number;
let peer: number;
let ifb: number;

beforeAll(async () => {
  netns = await createScratchNetns();
  using handle = openNetns(netns.path);
  socket = openNetlink({ netns: handle });
  const echoes = await socket.execute([
    createVeth({ name: "v0", up: true }, { name: "v1" }),
    createLink("ifb", { name: "ifb0", up: true }),
  ]);
  veth = echoedLink(echoes, 0)?.ifindex ?? 0;
  peer = echoedLink(echoes, 0)?.peerIfindex ?? 0;
  ifb = echoedLink(echoes, 1)?.ifindex ?? 0;
});

afterAll(() => {
  socket[Symbol.dispose]();
  netns[Symbol.dispose]();
});

describe("tbf", () => {
  const mbit = 125_000; // bytes per second
  it("is set, read back, and changed in place", async () => {
    const first = { rateBytesPerSecond: 20 * mbit, burstBytes: 262_144, limitBytes: tbfLimitBytes(20 * mbit, 262_144) };
    const second = { ...first, rateBytesPerSecond: 40 * mbit };
    await socket.execute([replaceTbf({ ifindex: veth }, first)]);
    const [shown] = netns.json("tc", "-j", "qdisc", "show", "dev", "v0");
    expect(shown).toMatchObject({
      kind: "tbf",
      handle: "1:",
      root: true,
      options: { rate: first.rateBytesPerSecond, burst: expect.closeTo(262_144, -1) },
    });

    await socket.execute([replaceTbf({ ifindex: veth }, second)]);
    expect(netns.json("tc", "-j", "qdisc", "show", "dev", "v0")).toMatchObject([
      { handle: "1:", options: { rate: 5_000_000 } },
    ]);
    const rows = await socket.dump(dumpQdiscs({ ifindex: veth }));
    expect(rows).toHaveLength(1);
    expect(rows[0]).toMatchObject({
      kind: "tbf",
      handle: tcHandle(1, 0),
      statistics: { droppedPackets: 0, backlogBytes: 0 },
    });
    expect(rows[0]?.tbf !== undefined && sameTbf(second, rows[0].tbf)).toBe(true);
    expect(rows[0]?.tbf !== undefined && sameTbf(first, rows[0].tbf)).toBe(false);
  });

  it.each([1_000, 125_000, 2 ** 32 - 2, 2 ** 32 - 1, 2 ** 32, 6_250_000_000])(
    "carries %d bytes per second",
    async (rate) => {
      const wanted = { rateBytesPerSecond: rate, burstBytes: 200_000, limitBytes: tbfLimitBytes(rate, 200_000) };
      await socket.execute([replaceTbf({ ifindex: veth }, wanted)]);
      const [shown] = netns.json("tc", "-j", "qdisc", "show", "dev", "v0");
      expect(shown).toMatchObject({ options: { rate } });
      const [row] = await socket.dump(dumpQdiscs({ ifindex: veth }));
      expect(row?.tbf).toBeDefined();
      expect(row?.tbf !== undefined && sameTbf(wanted, row.tbf)).toBe(true);
    },
  );

  it("is deleted", async () => {
    await socket.execute([deleteQdisc({ ifindex: veth })]);
    expect(netns.json("tc", "-j", "qdisc", "show", "dev", "v0")).toMatchObject([{ kind: "noqueue" }]);
    const again = await socket.settle([deleteQdisc({ ifindex: veth })]);
    expect(isErrno(again[0]?.error, "ENOENT", "EINVAL")).toBe(true);
  });
});

describe("what comes in through a link", () => {
  it("is redirected to an ifb and shaped there, set up by one send", async () => {
    const tbf = { rateBytesPerSecond: 1_250_000, burstBytes: 65_536, limitBytes: 96_786 };
    await socket.execute([
      addIngress(veth),
      addMatchAll("u32", { ifindex: veth }, [{ kind: "redirect", toIfindex: ifb }]),
      replaceTbf({ ifindex: ifb }, tbf),
    ]);
    const shown = netns.json("tc", "-j", "filter", "show", "dev", "v0", "ingress");
    expect(shown.at(-1)).toMatchObject({
      protocol: "all",
      kind: "u32",
      options: { actions: [{ kind: "mirred", mirred_action: "redirect", direction: "egress", to_dev: "ifb0" }] },
    });
    expect(await socket.dump(dumpFilters({ ifindex: veth }))).toMatchObject([
      { kind: "u32", priority: 1, protocol: 3, actions: [{ kind: "redirect", toIfindex: ifb }] },
    ]);
    const twice = await socket.settle([addIngress(veth)]);
    expect(isErrno(twice[0]?.error, "EEXIST")).toBe(true);
  });

  it("loses its filters by priority, all at once, or with the qdisc", async () => {
    const add = (priority: number) =>
      addMatchAll("u32", { ifindex: veth, priority }, [{ kind: "redirect", toIfindex: ifb }]);
    await socket.execute([add(7), add(8), deleteFilters({ ifindex: veth, priority: 7 })]);
    const priorities = async () => (await socket.dump(dumpFilters({ ifindex: veth }))).map((row) => row.priority);
    expect(await priorities()).toEqual([1, 8]);
    await socket.execute([deleteFilters({ ifindex: veth })]);
    expect(await priorities()).toEqual([]);
    await socket.execute([deleteIngress(veth)]);
    expect(netns.json("tc", "-j", "qdisc", "show", "dev", "v0")).toMatchObject([{ kind: "noqueue" }]);
  });

  it("can be filtered on the way out with clsact", async () => {
    const place = { ifindex: veth, parent: TC_H_CLSACT_EGRESS };
    await socket.execute([addClsact(veth), addMatchAll("u32", place, [{ kind: "redirect", toIfindex: ifb }])]);
    expect(netns.json("tc", "-j", "filter", "show", "dev", "v0", "egress").at(-1)).toMatchObject({ kind: "u32" });
    expect(await socket.dump(dumpFilters(place))).toHaveLength(1);
    await socket.execute([deleteIngress(veth)]);
  });

  it.each(["matchall", "basic"] as const)(
    "is policed with %s where the kernel can, else refused by name",
    async (kind) => {
      await socket.execute([addIngress(veth)]);
      const police = { kind: "police", rateBytesPerSecond: 2_500_000, burstBytes: 2_500_000 } as const;
      const [outcome] = await socket.settle([addMatchAll(kind, { ifindex: veth }, [police])]);
      const rows = await socket.dump(dumpFilters({ ifindex: veth }));
      await socket.execute([deleteIngress(veth)]);
      if (outcome?.error === undefined) {
        expect(rows).toMatchObject([{ kind, actions: [{ kind: "police", rateBytesPerSecond: 2_500_000 }] }]);
      } else {
        expect(outcome.error).toMatchObject({ code: "REJECTED", reason: "ENOENT" });
        expect(outcome.error.message).toMatch(/TC classifier not found|Failed to load TC action module/);
      }
    },
  );
});

describe("htb", () => {
  it("has classes with a rate and a ceiling", async () => {
    const place = { ifindex: peer, parent: tcHandle(1, 0), handle: tcHandle(1, 0x10) };
    const htb = { rateBytesPerSecond: 1_250_000, ceilBytesPerSecond: 2_500_000, burstBytes: 15_000, priority: 3 };
    await socket.execute([replaceHtb({ ifindex: peer }, 0x10), replaceHtbClass(place, htb)]);
    const shown = netns.run("tc", "class", "show", "dev", "v1"); // iproute2 6.1 prints no JSON for classes
    expect(shown).toMatch(/^class htb 1:10 root prio 3 rate 10Mbit ceil 20Mbit burst (15000b|15Kb|14999b)/m);
    const [row] = await socket.dump(dumpClasses({ ifindex: peer }));
    expect(row).toMatchObject({
      kind: "htb",
      handle: tcHandle(1, 0x10),
      htb: { ...htb, burstBytes: expect.closeTo(15_000, -2) },
    });
  });

  it("carries rates beyond 32 bits", async () => {
    const place = { ifindex: peer, parent: tcHandle(1, 0), handle: tcHandle(1, 0x11) };
    const htb = {
      rateBytesPerSecond: 5_000_000_000,
      ceilBytesPerSecond: 6_250_000_000,
      burstBytes: 640_000,
      priority: 0,
    };
    await socket.execute([replaceHtbClass(place, htb)]);
    const rows = await socket.dump(dumpClasses({ ifindex: peer }));
    expect(rows.find((row) => row.handle === place.handle)?.htb).toMatchObject(htb);
  });
});

describe("a refusal", () => {
  it("names a qdisc that the kernel does not have", async () => {
    await expect(socket.execute([replaceQdisc("nosuch", { ifindex: veth })])).rejects.toMatchObject({
      code: "REJECTED",
      reason: "ENOENT",
      message: `Cannot set nosuch on link #${veth}: Specified qdisc kind is unknown (ENOENT)`,
    });
  });

  it("tells that a qdisc of another kind is in the way", async () => {
    const tbf = { rateBytesPerSecond: 125_000, burstBytes: 10_000, limitBytes: 20_000 };
    await expect(socket.execute([replaceTbf({ ifindex: peer }, tbf)])).rejects.toMatchObject({ reason: "EINVAL" });
    await socket.execute([deleteQdisc({ ifindex: peer }), replaceTbf({ ifindex: peer }, tbf)]);
  });
});
