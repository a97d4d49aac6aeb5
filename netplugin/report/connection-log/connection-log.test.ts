import { describe, expect, it } from "vitest";
import type { Match } from "../../../drivers/ovs/openflow/match.ts";
import type { PacketIn } from "../../../drivers/ovs/openflow/packet.ts";
import { udpFrame } from "../../../test/fakes/frames.ts";
import { worldView } from "../../../test/fakes/world.ts";
import { Flag, LogMark } from "../../desired/pipeline/pipeline.ts";
import { type SampledVerdict, sampleNote } from "../../desired/pipeline/sample-note.ts";
import { logNumberOf } from "../../desired/policy/log.ts";
import { createConnectionLog, type SampleOutcome, type WrittenLine } from "./connection-log.ts";

const WORLD = `
  mode bridge proxy
  node n1 192.0.2.1
  node n2 192.0.2.2
  network t1:blue vxlan 100 10.1.1.0/24 ipv6 2001:db8:1::/64
  group t1:g7 t1:blue client
  group t1:g8 t1:blue server
  policy t1:client
  policy t1:server
  endpoint c t1:blue n1 10.1.1.1 2001:db8:1::1 group 7
  endpoint s t1:blue n1 10.1.1.2 2001:db8:1::2 group 8
  endpoint f t1:blue n2 10.1.1.3
  rule t1:client:audit out log
  rule t1:server:audit in log
  rule t1:server:dns in allow protocol udp port 53 priority 10
  rule t1:server:closed in deny protocol udp
`;
const LIMITS = { linesPerSecond: 1_000, ruleLinesPerSecond: 1_000, foldMs: 5_000 };
const LINK = { src: "02:02:0a:01:01:01", dst: "02:02:0a:01:01:02" };
const NETWORK_ID = 11;
const asked = LogMark.asked;
const by = (key: string) => (LogMark.logged | LogMark.asked | logNumberOf(key)) >>> 0;

function packetIn(verdict: SampledVerdict, metadata: Match, ends = { src: "10.1.1.1", dst: "10.1.1.2" }): PacketIn {
  const data = Buffer.from(udpFrame(LINK, { ...ends, text: "x" }), "hex");
  return {
    ...{ data, totalLenBytes: data.length, table: 70, cookie: 0n, reason: 1, continuation: undefined },
    ...{ metadata: { reg0: NETWORK_ID, ...metadata }, userdata: sampleNote(verdict) },
  };
}

function started(world = WORLD, limits = LIMITS) {
  const view = worldView(world);
  const written: WrittenLine[] = [];
  const outcomes: SampleOutcome[] = [];
  const clock = { nowMs: 1_000 };
  const connections = createConnectionLog({
    context: () => ({ view, endpointOnPort: (ofport) => (ofport === 12 ? "s" : undefined) }),
    limits,
    log: { info: (line: object) => written.push(line as WrittenLine) } as never,
    count: (outcome) => outcomes.push(outcome),
    report: (error) => {
      throw error;
    },
    nowMs: () => clock.nowMs,
  });
  const log = async (...packets: readonly PacketIn[]) => {
    for (const packet of packets) connections.receive(packet);
    await connections.idle();
    return written;
  };
  return { connections, log, outcomes, clock };
}

describe("connection log", () => {
  it("names ends, groups, the log rule and the rule that denied", async () => {
    const { log, outcomes, connections } = started();
    const [line] = await log(packetIn("denied", { reg14: asked, reg15: by("t1:server:audit") }));
    expect(line).toEqual({
      ...{ verdict: "denied", deniedAt: "destination", asked: ["source", "destination"] },
      ...{ rule: "t1:server:audit", direction: "in", decidedBy: ["t1:server:closed"] },
      ...{ tenant: "t1", network: "t1:blue", protocol: "udp", repeats: 0, suppressed: 0 },
      source: { address: "10.1.1.1", port: 9, endpoint: "c", group: "t1:g7", node: "n1" },
      destination: { address: "10.1.1.2", port: 9, endpoint: "s", group: "t1:g8", node: "n1" },
    });
    expect(outcomes).toEqual(["logged"]);
    expect(connections.recent()).toEqual([{ ...line, at: expect.stringMatching(/^\d{4}-.*Z$/) }]);
  });

  it("writes a line for each log rule, and each connection and verdict once", async () => {
    const { log, outcomes } = started();
    const both = { reg14: by("t1:client:audit"), reg15: by("t1:server:audit") };
    const lines = await log(
      packetIn("denied", both),
      packetIn("denied", both),
      packetIn("denied", both, { src: "10.1.1.3", dst: "10.1.1.2" }),
    );
    expect(lines.map(({ rule, direction, source }) => `${rule} ${direction} ${source.address}`)).toEqual([
      "t1:client:audit out 10.1.1.1",
      "t1:server:audit in 10.1.1.1",
      "t1:client:audit out 10.1.1.3",
      "t1:server:audit in 10.1.1.3",
    ]);
    expect(outcomes).toEqual(["logged", "logged", "folded", "folded", "logged", "logged"]);
  });

  it("says only what this node knows: its own ends' rules, and none that say otherwise by now", async () => {
    const { log } = started();
    const [outward, changed, elsewhere] = await log(
      packetIn("allowed", { reg14: by("t1:client:audit") }, { src: "10.1.1.1", dst: "10.1.1.3" }),
      packetIn("allowed", { reg15: by("t1:server:audit") }, { src: "10.1.1.3", dst: "10.1.1.2" }),
      packetIn("allowed", { reg0: 99, reg14: by("t1:old:rule") }),
    );
    expect(outward).toMatchObject({ asked: ["source"], decidedBy: [], destination: { endpoint: "f", node: "n2" } });
    expect(outward).not.toHaveProperty("deniedAt");
    expect(changed).toMatchObject({ verdict: "allowed", asked: ["destination"] });
    expect(changed).not.toHaveProperty("decidedBy");
    expect(elsewhere?.rule).toMatch(/^gone-[0-9a-f]+$/);
    expect(elsewhere?.source).toEqual({ address: "10.1.1.1", port: 9 });
  });

  it("names the pod that a copy was for", async () => {
    const { log } = started();
    const copy = { reg4: Flag.fromTunnel | Flag.delivering, reg5: 12, reg15: by("t1:server:audit") };
    const [line] = await log(packetIn("denied", copy, { src: "10.1.1.3", dst: "224.0.0.251" }));
    expect(line).toMatchObject({
      destination: { address: "224.0.0.251", endpoint: "s", group: "t1:g8" },
      decidedBy: ["t1:server:closed"],
    });
  });

  it("drops what comes while too much waits, and does nothing about packets of others", async () => {
    const { log, outcomes } = started();
    const packets = Array.from({ length: 600 }, (_, index) =>
      packetIn(
        "denied",
        { reg15: by("t1:server:audit") },
        { src: `10.1.${Math.floor(index / 250)}.${index % 250}`, dst: "10.1.1.2" },
      ),
    );
    await log(...packets, { ...packetIn("denied", {}), userdata: Uint8Array.of(1, 2, 3, 4) });
    const count = (wanted: SampleOutcome) => outcomes.filter((outcome) => outcome === wanted).length;
    expect([count("logged"), count("dropped"), outcomes.length]).toEqual([513, 87, 600]); // one is worked on, 512 wait
  });

  it("keeps the last 256 lines, the newest first", async () => {
    const { log, connections } = started();
    for (let index = 0; index < 300; index += 1) {
      const ends = { src: `10.2.${Math.floor(index / 250)}.${index % 250}`, dst: "10.1.1.2" };
      await log(packetIn("denied", { reg15: by("t1:server:audit") }, ends));
    }
    expect(connections.recent()).toHaveLength(256);
    expect(connections.recent()[0]?.source.address).toBe("10.2.1.49");
  });

  it("counts what it cannot read", async () => {
    const { log, outcomes } = started();
    const packet = packetIn("denied", { reg15: by("t1:server:audit") });
    await log({ ...packet, data: packet.data.subarray(0, 20) });
    expect(outcomes).toEqual(["unreadable"]);
  });

  it("tells of what it left out in the end", async () => {
    const { log, connections, clock } = started(WORLD, { ...LIMITS, ruleLinesPerSecond: 1 });
    const many = Array.from({ length: 10 }, (_, index) =>
      packetIn("denied", { reg15: by("t1:server:audit") }, { src: `10.1.2.${index}`, dst: "10.1.1.2" }),
    );
    expect(await log(...many)).toHaveLength(4);
    connections.sweep();
    expect(await log()).toHaveLength(4); // more may come
    clock.nowMs += 60_000;
    connections.sweep();
    expect((await log()).slice(4)).toEqual([{ rule: "t1:server:audit", suppressed: 6 }]);
  });
});
