import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { connectSwitch, type SwitchConnection } from "./connection.ts";
import type { Flow } from "./flow.ts";
import { flowKey, flowsEqual } from "./flow-identity.ts";
import type { FlowMod } from "./flow-mod.ts";
import type { Group } from "./group.ts";
import { groupsEqual } from "./group-codec.ts";
import type { Meter } from "./meter.ts";
import type { PacketIn } from "./packet.ts";
import { hex } from "./testing/hex.ts";
import { type ScratchSwitch, startSwitch } from "./testing/scratch-switch.ts";

let scratch: ScratchSwitch;
let connection: SwitchConnection;

beforeAll(async () => {
  scratch = await startSwitch(["br0"]);
});

afterAll(async () => {
  await scratch?.[Symbol.asyncDispose]();
});

beforeEach(async () => {
  await connection?.close();
  connection = await connectSwitch(scratch.socketOf("br0"));
  await connection.bundle([
    { kind: "flow-delete", filter: {} },
    { kind: "group-delete", id: "all" },
  ]);
  await connection.meterMods([{ kind: "meter-delete", id: "all" }]);
});

function add(flow: Partial<Flow>): FlowMod {
  return { kind: "flow-add", flow: { table: 0, priority: 1, cookie: 0n, match: {}, actions: [], ...flow } };
}

/** A UDP packet from 10.0.0.1:1 to 10.0.0.2:`port`. */
function udp(port: number): Buffer {
  const header = "020202020202 020202020201 0800 4500001c00000000401166cf0a0000010a000002";
  return hex(`${header} 0001${port.toString(16).padStart(4, "0")} 00080000`);
}

describe("bundle", () => {
  it("applies flows and groups in one step", async () => {
    const group: Group = { id: 1, type: "all", buckets: [{ id: 1, actions: [{ kind: "output", port: 1 }] }] };
    await connection.bundle([
      { kind: "group-add", group },
      add({ actions: [{ kind: "group", group: 1 }] }),
      add({ priority: 2, actions: [{ kind: "output", port: 2 }] }),
    ]);
    expect((await connection.dumpFlows()).length).toBe(2);
    expect(await connection.dumpGroups()).toEqual([group]);
  });

  it.each<[string, FlowMod, string]>([
    ["on arrival", add({ actions: [{ kind: "setField", field: "udpDst", value: 5 }] }), "OFPBAC_MATCH_INCONSISTENT"],
    ["on arrival, in the match", add({ match: { unknown: "800000080000000100000000" } }), "OFPBMC_BAD_"],
    ["on commit", add({ actions: [{ kind: "group", group: 99 }] }), "OFPBAC_BAD_OUT_GROUP"],
    [
      "for a reason of Nicira's",
      add({ actions: [{ kind: "conjunction", id: 1, clause: 3, clauseCount: 2 }] }),
      "NXBAC_",
    ],
  ])("applies nothing when a message is refused %s", async (_, bad, name) => {
    const good = add({ priority: 3, actions: [{ kind: "output", port: 1 }] });
    const work = connection.bundle([good, good, bad, good]);
    await expect(work).rejects.toMatchObject({ code: "REJECTED", reason: expect.stringContaining(name) });
    await expect(work).rejects.toThrow(
      /^Cannot apply a bundle of 4 changes to .*br0\.mgmt: message 2 \(flow-add .*: the switch answered/,
    );
    expect(await connection.dumpFlows()).toEqual([]);
    await connection.bundle([good]);
    expect((await connection.dumpFlows()).length).toBe(1);
  });

  it("refuses what cannot be encoded before the switch sees it", async () => {
    const work = connection.bundle([add({}), add({ match: { tcpDst: 80 } })]);
    await expect(work).rejects.toMatchObject({ code: "INVALID", field: "tcpDst" });
    expect(await connection.dumpFlows()).toEqual([]);
  });

  it("runs beside another on the same connection", async () => {
    const bundles = Array.from({ length: 10 }, (_, table) =>
      connection.bundle(Array.from({ length: 50 }, (_, priority) => add({ table, priority }))),
    );
    await Promise.all(bundles);
    expect((await connection.dumpFlows()).length).toBe(500);
  });

  it("leaves nothing behind when its caller gives up", async () => {
    const controller = new AbortController();
    const mods = Array.from({ length: 20_000 }, (_, index) => add({ match: { reg0: index } }));
    const work = connection.bundle(mods, { signal: controller.signal });
    setTimeout(() => controller.abort(), 5);
    await expect(work).rejects.toMatchObject({ code: "CLOSED" });
    await connection.barrier();
    expect(await connection.dumpFlows()).toEqual([]);
  });
});

describe("flows", () => {
  const flows: Flow[] = [1, 2, 3].map((priority) => ({
    table: priority,
    priority,
    cookie: 0x1000n + BigInt(priority),
    match: { inPort: priority },
    actions: [{ kind: "output", port: 1 }],
  }));

  beforeEach(async () => {
    await connection.bundle(flows.map((flow) => ({ kind: "flow-add", flow })));
  });

  async function cookies(filter = {}): Promise<bigint[]> {
    return (await connection.dumpFlows(filter)).map(({ cookie }) => cookie).sort();
  }

  it("are listed by table, cookie, port and match", async () => {
    expect(await cookies()).toEqual([0x1001n, 0x1002n, 0x1003n]);
    expect(await cookies({ table: 2 })).toEqual([0x1002n]);
    expect(await cookies({ cookie: 0x1001n, cookieMask: 0xff01n })).toEqual([0x1001n, 0x1003n]);
    expect(await cookies({ cookie: 0x1002n })).toEqual([0x1002n]);
    expect(await cookies({ outPort: 2 })).toEqual([]);
    expect(await cookies({ match: { inPort: 3 } })).toEqual([0x1003n]);
  });

  it("are deleted by cookie bits", async () => {
    await connection.bundle([{ kind: "flow-delete", filter: { cookie: 0x1001n, cookieMask: 0xff01n } }]);
    expect(await cookies()).toEqual([0x1002n]);
  });

  it("are deleted strictly, and only when the cookie agrees", async () => {
    const [first, second] = flows as [Flow, Flow];
    await connection.bundle([
      { kind: "flow-delete-strict", flow: first },
      { kind: "flow-delete-strict", flow: second, cookie: 5n },
      { kind: "flow-delete-strict", flow: { ...second, priority: 77 } },
    ]);
    expect(await cookies()).toEqual([0x1002n, 0x1003n]);
  });

  it("are replaced by the same identity, modified without taking the cookie", async () => {
    const [first, second] = flows as [Flow, Flow];
    const drop: Flow = { ...first, cookie: 9n, actions: [] };
    const other: Flow = { ...second, cookie: 9n, actions: [{ kind: "output", port: 3 }] };
    await connection.sendMods([
      { kind: "flow-add", flow: drop },
      { kind: "flow-modify-strict", flow: other },
    ]);
    const there = new Map((await connection.dumpFlows()).map((flow) => [flowKey(flow), flow]));
    expect(there.get(flowKey(first))).toEqual(drop);
    expect(there.get(flowKey(second))).toEqual({ ...other, cookie: second.cookie });
  });

  it("count packets", async () => {
    const flow: Flow = { table: 0, priority: 9, cookie: 0n, match: { ethType: 0x0800, udpDst: 7 }, actions: [] };
    await connection.bundle([{ kind: "flow-add", flow }]);
    await connection.packetOut({ inPort: 1, actions: [{ kind: "output", port: "table" }], data: udp(7) });
    await expect
      .poll(async () => (await connection.dumpFlowStats({ match: flow.match, table: 0 }))[0], { timeout: 5000 })
      .toMatchObject({ packetCount: 1n, byteCount: 42n, flow: { priority: 9 } });
    const [stats] = await connection.dumpFlowStats({ table: 0 });
    expect(stats?.durationMs).toBeLessThan(10_000);
  });

  it("that others made in unknown words are seen and can be removed", async () => {
    const socket = `unix:${scratch.socketOf("br0")}`;
    const text =
      "table=9,priority=4,mpls,mpls_label=5,actions=pop_mpls:0x0800,multipath(eth_src,50,modulo_n,1,0,NXM_NX_REG0[]),write_metadata:0x5";
    await scratch.ofctl("add-flow", socket, text);
    const [foreign] = await connection.dumpFlows({ table: 9 });
    expect(foreign?.match.unknown).toBeDefined();
    expect(foreign?.actions.map(({ kind }) => kind)).toEqual(["raw", "raw"]);
    if (foreign === undefined) return;
    await connection.bundle([{ kind: "flow-delete-strict", flow: foreign }]);
    expect(await connection.dumpFlows({ table: 9 })).toEqual([]);
    await connection.bundle([{ kind: "flow-add", flow: foreign }]);
    const [again] = await connection.dumpFlows({ table: 9 });
    expect(again && flowsEqual(again, foreign)).toBe(true);
  });
});

describe("groups", () => {
  const bucket = (id: number, port: number) => ({ id, weight: 10, actions: [{ kind: "output", port }] }) as const;
  const group: Group = {
    id: 7,
    type: "select",
    selection: { method: "dp_hash" },
    buckets: [bucket(1, 1), { ...bucket(2, 2), watchPort: 2 }],
  };

  it("come back as they were put, whatever the type", async () => {
    const groups: Group[] = [
      group,
      { id: 8, type: "all", buckets: [{ id: 0, actions: [{ kind: "ctClear" }, { kind: "output", port: "in_port" }] }] },
      { id: 9, type: "indirect", buckets: [{ id: 0, actions: [] }] },
      { id: 10, type: "fastFailover", buckets: [{ id: 5, watchGroup: 8, actions: [{ kind: "group", group: 8 }] }] },
    ];
    await connection.sendMods(groups.map((each) => ({ kind: "group-put", group: each })));
    const dumped = await connection.dumpGroups();
    expect(dumped.sort((a, b) => a.id - b.id)).toEqual(groups);
    expect(dumped.every((each, index) => groups[index] !== undefined && groupsEqual(each, groups[index]))).toBe(true);
  });

  it("take and lose buckets", async () => {
    await connection.sendMods([
      { kind: "group-add", group },
      { kind: "group-insert-buckets", id: 7, type: "select", place: "first", buckets: [bucket(3, 3)] },
      { kind: "group-remove-bucket", id: 7, bucket: 1 },
    ]);
    const [changed] = await connection.dumpGroups();
    expect(changed?.buckets.map(({ id }) => id)).toEqual([3, 2]);
  });

  it("count packets by bucket", async () => {
    const all: Group = { id: 7, type: "all", buckets: [{ id: 1, actions: [{ kind: "output", port: 1 }] }] };
    await connection.sendMods([{ kind: "group-put", group: all }]);
    await connection.packetOut({ actions: [{ kind: "group", group: 7 }], data: udp(1) });
    await expect
      .poll(async () => await connection.groupStats(7), { timeout: 5000 })
      .toMatchObject([{ id: 7, packetCount: 1n, byteCount: 42n, buckets: [{ packetCount: 1n }] }]);
  });

  it("are refused when they exist already", async () => {
    await connection.bundle([{ kind: "group-add", group }]);
    const again = connection.sendMods([{ kind: "group-add", group }]);
    await expect(again).rejects.toThrow(/message 0 \(group-add group_id=7.*OFPGMFC_GROUP_EXISTS/);
  });
});

describe("meters", () => {
  const meter: Meter = {
    id: 5,
    rateUnit: "kbit/s",
    hasBurst: true,
    keepsStats: true,
    bands: [{ kind: "drop", rate: 1000, burst: 2000 }],
  };

  it("come back as they were made, with counters and what the switch can do", async () => {
    const packets: Meter = { ...meter, id: 6, rateUnit: "packet/s", bands: [{ kind: "drop", rate: 10, burst: 20 }] };
    await connection.meterMods([
      { kind: "meter-add", meter },
      { kind: "meter-add", meter: packets },
      { kind: "meter-modify", meter: { ...meter, bands: [{ kind: "drop", rate: 3000, burst: 2000 }] } },
    ]);
    expect((await connection.dumpMeters()).sort((a, b) => a.id - b.id)).toEqual([
      { ...meter, bands: [{ kind: "drop", rate: 3000, burst: 2000 }] },
      packets,
    ]);
    expect(await connection.meterStats(5)).toMatchObject([{ id: 5, flowCount: 0, bands: [{ packetCount: 0n }] }]);
    expect(await connection.meterFeatures()).toMatchObject({
      maxMeters: 262144,
      maxBands: 8,
      canDrop: true,
      hasKbps: true,
    });
  });

  it("are refused by name", async () => {
    const modify = connection.meterMods([{ kind: "meter-modify", meter: { ...meter, id: 77 } }]);
    await expect(modify).rejects.toMatchObject({ code: "REJECTED", reason: "OFPMMFC_UNKNOWN_METER" });
  });
});

describe("counts of tables", () => {
  it("are those of the flows that are there, of whoever they are", async () => {
    const counted = async () => {
      const rows = await connection.tableCounts();
      return Object.fromEntries(rows.map(({ table, flowCount }) => [table, flowCount]));
    };
    const before = await counted();
    await connection.bundle([add({ table: 61 }), add({ table: 61, priority: 7 }), add({ table: 62, cookie: 5n })]);
    const after = await counted();
    expect([before[61], before[62]]).toEqual([0, 0]);
    expect([after[61], after[62]]).toEqual([2, 1]);
    await scratch.ofctl("del-flows", `unix:${scratch.socketOf("br0")}`, "table=61");
    expect((await counted())[61]).toBe(0);
  });
});

describe("ports", () => {
  it("are described and counted", async () => {
    const ports = await connection.portDesc();
    expect(ports.map(({ port, name }) => [port, name]).sort()).toEqual(
      [
        ["local", "br0"],
        [1, "br0p1"],
        [2, "br0p2"],
        [3, "br0p3"],
      ].sort(),
    );
    expect(await connection.portDesc(2)).toMatchObject([{ name: "br0p2", isDown: true, isLinkDown: true }]);
    expect(await connection.portStats(1)).toMatchObject([{ port: 1, rxPackets: 0n }]);
    expect((await connection.portStats()).length).toBe(4);
  });
});

describe("fragment handling", () => {
  it("is the bridge's, and stays when somebody listens to packets", async () => {
    const shown = () => scratch.ofctl("get-frags", `unix:${scratch.socketOf("br0")}`);
    expect(await shown()).toContain("normal");
    await connection.setFragmentHandling("nx-match");
    expect(await shown()).toContain("nx-match");
    const stop = await connection.onPacketIn(() => {});
    expect(await shown()).toContain("nx-match");
    stop();
    await connection.setFragmentHandling("normal");
    expect(await shown()).toContain("normal");
  });
});

describe("packets", () => {
  it("reach the listener with what the flow says of them, and go on when resumed", async () => {
    const packets: PacketIn[] = [];
    const stop = await connection.onPacketIn((packet) => packets.push(packet));
    const pause = { kind: "controller", userdata: Uint8Array.of(1, 2), pause: true } as const;
    await connection.bundle([
      add({
        table: 0,
        actions: [{ kind: "setField", field: "reg3", value: 9 }, pause, { kind: "resubmit", table: 7 }],
      }),
      add({ table: 7 }),
    ]);
    await connection.packetOut({ inPort: 1, actions: [{ kind: "output", port: "table" }], data: udp(7) });
    await expect.poll(() => packets.length, { timeout: 5000 }).toBe(1);
    const [packet] = packets;
    expect(packet).toMatchObject({
      table: 0,
      reason: 1,
      totalLenBytes: 42,
      metadata: { inPort: 1, reg3: 9 },
    });
    expect(packet?.userdata).toEqual(Uint8Array.of(1, 2));
    expect(packet && Buffer.from(packet.data)).toEqual(udp(7));
    if (packet !== undefined) await connection.resume(packet);
    await expect
      .poll(async () => (await connection.dumpFlowStats({ table: 7 }))[0]?.packetCount, { timeout: 5000 })
      .toBe(1n);
    stop();
  });

  it("come with the cookie of the flow, to every listener that has not stopped", async () => {
    const first: PacketIn[] = [];
    const second: PacketIn[] = [];
    const stopFirst = await connection.onPacketIn((packet) => first.push(packet));
    await connection.onPacketIn((packet) => second.push(packet));
    const send = { kind: "controller", userdata: Uint8Array.of(7) } as const;
    await connection.bundle([add({ cookie: 0x55n, actions: [send] })]);
    const out = { inPort: 1, actions: [{ kind: "output", port: "table" }], data: udp(7) } as const;
    await connection.packetOut(out);
    await expect.poll(() => second.length, { timeout: 5000 }).toBe(1);
    stopFirst();
    await connection.packetOut(out);
    await expect.poll(() => second.length, { timeout: 5000 }).toBe(2);
    expect(first.length).toBe(1);
    expect(first[0]).toMatchObject({ cookie: 0x55n, totalLenBytes: 42, continuation: undefined });
    await expect(connection.resume(first[0] as PacketIn)).rejects.toMatchObject({ code: "INVALID" });
  });

  it("sent through a meter come no faster than it lets them, and go on all the same", async () => {
    const packets: PacketIn[] = [];
    const stop = await connection.onPacketIn((packet) => packets.push(packet));
    const band = { kind: "drop", rate: 1, burst: 5 } as const;
    const meter: Meter = { id: 0x3_0001, rateUnit: "packet/s", hasBurst: true, keepsStats: true, bands: [band] };
    await connection.meterMods([{ kind: "meter-add", meter }]);
    const tell = { kind: "controller", userdata: Uint8Array.of(3), meter: meter.id } as const;
    await connection.bundle([add({ actions: [tell, { kind: "resubmit", table: 7 }] }), add({ table: 7 })]);
    const data = udp(7);
    const out = { inPort: 1, actions: [{ kind: "output", port: "table" }], data } as const;
    for (let count = 0; count < 50; count += 1) await connection.packetOut(out);
    const passed = async () => (await connection.dumpFlowStats({ table: 7 }))[0]?.packetCount;
    await expect.poll(passed, { timeout: 5_000 }).toBe(50n);
    await expect.poll(() => packets.length, { timeout: 5_000 }).toBeGreaterThan(0);
    expect(packets.length).toBeLessThan(50);
    stop();
  });

  it("are not sent because their time to live ends", async () => {
    const packets: PacketIn[] = [];
    const stop = await connection.onPacketIn((packet) => packets.push(packet));
    await connection.bundle([
      add({ match: { ethType: 0x0800, ipTtl: 1 }, actions: [{ kind: "decTtl" }, { kind: "output", port: 2 }] }),
      add({ actions: [{ kind: "controller", userdata: Uint8Array.of(9) }], priority: 0 }),
    ]);
    const out = { inPort: 1, actions: [{ kind: "output", port: "table" }] } as const;
    const dying = Buffer.from(udp(7));
    dying.writeUInt8(1, 14 + 8);
    for (let count = 0; count < 5; count += 1) await connection.packetOut({ ...out, data: dying });
    await connection.packetOut({ ...out, data: udp(7) });
    await expect.poll(() => packets.length, { timeout: 5_000 }).toBeGreaterThan(0);
    expect(packets.map(({ userdata }) => [...userdata])).toEqual([[9]]);
    stop();
  });
});

describe("conntrack", () => {
  async function entries(): Promise<string[]> {
    const { directory } = scratch;
    const text = await scratch.appctl(`${directory}/vswitchd.ctl`, "dpctl/dump-conntrack");
    return text.split("\n").filter((line) => line.startsWith("udp"));
  }

  it("forgets by tuple, by zone and all", async () => {
    const commit = [{ kind: "ct", commit: true, zone: 5 }] as const;
    await connection.bundle([add({ match: { ethType: 0x0800, ipProto: 17 }, actions: commit })]);
    for (const port of [100, 200, 300]) {
      await connection.packetOut({ inPort: 1, actions: [{ kind: "output", port: "table" }], data: udp(port) });
    }
    await expect.poll(async () => (await entries()).length, { timeout: 5000 }).toBe(3);
    await connection.ctFlush({ zone: 5, ipProto: 17, orig: { dst: "10.0.0.2", dstPort: 200 } });
    expect((await entries()).some((line) => line.includes("dport=200"))).toBe(false);
    expect((await entries()).length).toBe(2);
    await connection.ctFlush({ zone: 6 });
    expect((await entries()).length).toBe(2);
    await connection.ctFlush({ zone: 5, ipProto: 17, reply: { src: "10.0.0.2", srcPort: 100 } });
    expect((await entries()).length).toBe(1);
    await connection.ctFlush({});
    expect((await entries()).length).toBe(0);
  });
});
