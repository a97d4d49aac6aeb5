import { describe, expect, it } from "vitest";
import { readerOf } from "./bytes.ts";
import { getSwitchError, rejected } from "./error-codec.ts";
import { getGroup, getGroupStats, groupsEqual } from "./group-codec.ts";
import { getMeter, getMeterFeatures, getMeterStats, metersEqual } from "./meter-codec.ts";
import { getPacketIn } from "./packet-codec.ts";
import { getPortDescription, getPortStats } from "./port-codec.ts";
import { getTableCount } from "./table-count.ts";
import { hex } from "./testing/hex.ts";

/** Recorded from Open vSwitch 3.1. */
describe("replies of a switch", () => {
  const group = hex(`0060 01 00 00000001 0028 000000000000
    0028 0010 00000000 0000 0010 00000001 0000 000000000000 0000 0008 0003 0000 0001 0008 00000002
    ffff 0028 0000154d 00000001 00000000 68617368000000000000000000000000 0000000000000000`);

  it("describe a group", () => {
    expect(getGroup(readerOf(group))).toEqual({
      id: 1,
      type: "select",
      selection: { method: "hash" },
      buckets: [{ id: 0, weight: 3, watchPort: 2, actions: [{ kind: "output", port: 1 }] }],
    });
  });

  it("count a group", () => {
    const text = `0038 0000 00000001 00000001 00000000 0000000000000005 0000000000000102 00000002 2a704200
      0000000000000005 0000000000000102`;
    expect(getGroupStats(readerOf(hex(text)))).toEqual({
      id: 1,
      refCount: 1,
      packetCount: 5n,
      byteCount: 258n,
      durationMs: 2712,
      buckets: [{ packetCount: 5n, byteCount: 258n }],
    });
  });

  it("describe and count a meter", () => {
    expect(getMeter(readerOf(hex("0018 000d 00000001 0001 0010 00000064 00000065 00000000")))).toEqual({
      id: 1,
      rateUnit: "kbit/s",
      hasBurst: true,
      keepsStats: true,
      bands: [{ kind: "drop", rate: 100, burst: 101 }],
    });
    const counters = `00000001 0038 000000000000 00000001 0000000000000007 0000000000000008 00000001 3595a6c0
      0000000000000003 0000000000000004`;
    expect(getMeterStats(readerOf(hex(counters)))).toEqual({
      id: 1,
      flowCount: 1,
      packetInCount: 7n,
      byteInCount: 8n,
      durationMs: 1899,
      bands: [{ packetCount: 3n, byteCount: 4n }],
    });
    expect(getMeterFeatures(readerOf(hex("00040000 00000002 0000000f 08 00 0000")))).toEqual({
      maxMeters: 262144,
      maxBands: 8,
      canDrop: true,
      hasKbps: true,
      hasPktps: true,
      hasBurst: true,
      hasStats: true,
    });
  });

  it("count the flows of a table", () => {
    const reader = readerOf(hex("3d 000000 00000002 0000000000000007 0000000000000005 fe"));
    expect(getTableCount(reader)).toEqual({ table: 61, flowCount: 2 });
    expect(reader.offset).toBe(24);
  });

  it("describe and count a port", () => {
    const port = `00000001 0048 0000 12761462 9e58 0000 70310000000000000000000000000000 00000001 00000001
      0000 0020 00000000 00000840 00000000 00000000 00000000 00989680 00000000`;
    expect(getPortDescription(readerOf(hex(port)))).toEqual({
      port: 1,
      name: "p1",
      mac: "12:76:14:62:9e:58",
      isDown: true,
      isLinkDown: true,
      closed: [],
      speedKbps: 10_000_000,
    });
    const counters = `0050 0000 fffffffe 00000001 000f4240 ${"0000000000000003".repeat(7)} ffffffffffffffff`;
    expect(getPortStats(readerOf(hex(counters)))).toMatchObject({
      port: "local",
      durationMs: 1001,
      rxPackets: 3n,
      rxErrors: 3n,
      txErrors: undefined,
    });
  });

  it("bring a packet", () => {
    const text = `0000 0007 aabbcc 00 0001 0008 00000040 0003 0005 03 000000 0004 0010 00000000 0000000000000055
      0005 0005 01 000000 0006 000c 80000004 00000001 00000000 0007 0006 0102 0000 0008 0004 00000000`;
    expect(getPacketIn(readerOf(hex(text)))).toEqual({
      data: Uint8Array.of(0xaa, 0xbb, 0xcc),
      totalLenBytes: 64,
      table: 3,
      cookie: 0x55n,
      reason: 1,
      metadata: { inPort: 1 },
      userdata: Uint8Array.of(1, 2),
      continuation: Uint8Array.from(hex(text)),
    });
  });

  it("name an error", () => {
    expect(getSwitchError(readerOf(hex("0004 0009 060e")))).toEqual({ name: "OFPBMC_BAD_PREREQ", text: "" });
    expect(getSwitchError(readerOf(hex("ffff 000f 00002320 060e")))).toEqual({
      name: "NXBAC_BAD_CONJUNCTION",
      text: "",
    });
    expect(getSwitchError(readerOf(hex("0000 0000 6e6f206d61746368")))).toEqual({
      name: "OFPHFC_INCOMPATIBLE",
      text: "no match",
    });
    expect(getSwitchError(readerOf(hex("0099 0007"))).name).toBe("error of type 153, code 7");
    expect(getSwitchError(readerOf(hex("ffff 0007 00004f4e"))).name).toBe(
      "error of type 65535, code 7, experimenter 0x4f4e",
    );
    const error = rejected("add a port", { name: "OFPBMC_BAD_PREREQ", text: "" });
    expect(error).toMatchObject({ code: "REJECTED", reason: "OFPBMC_BAD_PREREQ" });
    expect(error.message).toBe("Cannot add a port: the switch answered OFPBMC_BAD_PREREQ");
  });

  it.each([
    ["a group of unknown type", () => getGroup(readerOf(hex(`0010 09 00 00000001 0000 000000000000`)))],
    ["a bucket of no length", () => getGroup(readerOf(hex(`0018 00 00 00000001 0008 000000000000 0000000000000000`)))],
    ["buckets beyond the group", () => getGroup(readerOf(hex(`0010 00 00 00000001 0020 000000000000`)))],
    ["group counters too short", () => getGroupStats(readerOf(hex("0008 0000 00000001")))],
    ["a meter band of 4 bytes", () => getMeter(readerOf(hex("000c 000d 00000001 0001 0004")))],
    ["a port of 8 bytes", () => getPortDescription(readerOf(hex("00000001 0008 0000")))],
    ["a property of no length", () => getPacketIn(readerOf(hex("0000 0000 00000000")))],
  ])("are refused: %s", (_, decode) => {
    expect(decode).toThrow(expect.objectContaining({ code: "PROTOCOL" }));
  });
});

describe("equality", () => {
  const bucket = { id: 1, actions: [{ kind: "output", port: 1 }] } as const;
  it("of groups ignores what is default", () => {
    const a = { id: 1, type: "select", buckets: [bucket] } as const;
    expect(groupsEqual(a, { ...a, buckets: [{ ...bucket, weight: 1, watchPort: "none" }] })).toBe(true);
    expect(groupsEqual(a, { ...a, buckets: [{ ...bucket, weight: 2 }] })).toBe(false);
    expect(groupsEqual(a, { ...a, type: "all" })).toBe(false);
  });

  it("of meters looks at unit, flags and bands", () => {
    const meter = { id: 1, rateUnit: "kbit/s", hasBurst: true, keepsStats: true, bands: [] } as const;
    const band = { kind: "drop", rate: 1, burst: 2 } as const;
    expect(metersEqual({ ...meter, bands: [band] }, { ...meter, bands: [{ ...band }] })).toBe(true);
    expect(metersEqual({ ...meter, bands: [band] }, { ...meter, bands: [{ ...band, burst: 3 }] })).toBe(false);
    expect(metersEqual(meter, { ...meter, bands: [band] })).toBe(false);
    expect(metersEqual(meter, { ...meter, rateUnit: "packet/s" })).toBe(false);
  });
});
