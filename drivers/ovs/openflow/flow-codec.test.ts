import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createWriter, readerOf, remaining, written } from "./bytes.ts";
import type { Flow } from "./flow.ts";
import { getFlowStats, putFlowFilter, putFlowMod } from "./flow-codec.ts";
import { getFlowCount } from "./flow-count.ts";
import { flowKey, flowsEqual } from "./flow-identity.ts";
import type { FlowMod } from "./flow-mod.ts";
import { anyFlow } from "./testing/flow-arbitrary.ts";
import { flowEntry } from "./testing/flow-entry.ts";
import { hex } from "./testing/hex.ts";

const zeros = "00".repeat(22);
const drop: Flow = { table: 3, priority: 7, cookie: 0x12n, match: {}, actions: [] };

function bytesOf(mod: FlowMod): string {
  const writer = createWriter();
  putFlowMod(writer, mod);
  return written(writer).toString("hex");
}

function decode(bytes: Buffer): Flow {
  return getFlowStats(readerOf(bytes)).flow;
}

describe("flow-mod", () => {
  const fixed = "0000000000000000";
  const tail = "0007ffffffffffffffffffffffff0000000000010004 00000000";

  it.each<[string, FlowMod, string]>([
    ["add", { kind: "flow-add", flow: drop }, `0000000000000012${fixed}030000000000${tail}`],
    ["modify-strict", { kind: "flow-modify-strict", flow: drop }, `0000000000000012${fixed}030200000000${tail}`],
    ["delete-strict", { kind: "flow-delete-strict", flow: drop }, `${fixed}${fixed}030400000000${tail}`],
    [
      "delete-strict by cookie",
      { kind: "flow-delete-strict", flow: drop, cookie: 5n, cookieMask: 0xffn },
      `000000000000000500000000000000ff030400000000${tail}`,
    ],
    [
      "delete by cookie, all bits, all tables",
      { kind: "flow-delete", filter: { cookie: 5n } },
      `0000000000000005ffffffffffffffffff03000000000000ffffffffffffffffffffffff000000000001000400000000`,
    ],
    [
      "delete by port and group",
      { kind: "flow-delete", filter: { table: 1, outPort: 2, outGroup: 3 } },
      `${fixed}${fixed}01030000000000 00ffffffff0000000200000003000000000001000400000000`,
    ],
    [
      "timeouts, flags, importance, meter, goto",
      {
        kind: "flow-add",
        flow: { ...drop, idleTimeoutS: 1, hardTimeoutS: 2, flags: 1, importance: 9, meter: 4, goto: 8 },
      },
      `0000000000000012${fixed}0300000100020007ffffffffffffffffffffffff000100090001000400000000 0004001000000000001d000800000004 0001000808000000`,
    ],
  ])("%s", (_, mod, expected) => {
    expect(bytesOf(mod)).toBe(hex(expected).toString("hex"));
  });

  it.each<[string, FlowMod]>([
    ["a table above 255", { kind: "flow-add", flow: { ...drop, table: 256 } }],
    ["a negative priority", { kind: "flow-add", flow: { ...drop, priority: -1 } }],
    ["half a priority", { kind: "flow-add", flow: { ...drop, priority: 0.5 } }],
    ["a cookie mask without cookie", { kind: "flow-delete", filter: { cookieMask: 1n } }],
  ])("refuses %s", (_, mod) => {
    expect(() => bytesOf(mod)).toThrow(expect.objectContaining({ code: "INVALID" }));
  });
});

describe("filter of a dump", () => {
  it("asks for everything when empty", () => {
    const writer = createWriter();
    putFlowFilter(writer, {});
    const expected = "ff000000ffffffffffffffff0000000000000000000000000000000000000000 0001000400000000";
    expect(written(writer).toString("hex")).toBe(hex(expected).toString("hex"));
  });
});

describe("flow entry of a dump", () => {
  it("decodes what the switch sent", () => {
    // Open vSwitch 3.1: table=3,priority=7,cookie=0x12,idle_timeout=3,importance=5,reg1=5,in_port=2,actions=output:1
    const stats = getFlowStats(
      readerOf(
        hex(
          "0088 0000 0300 0007 0003 0000 0000 0005 0000000000000012 00010020 8000000400000002 80010110000000000000000500000000ffffffff 00000034 80020008000000000cd0a3c0 800202080000000200000000 800208080000000000000003 80020a080000000000000102 00000000 0004001800000000 00000010000000010000000000000000",
        ),
      ),
    );
    expect(stats).toEqual({
      flow: {
        table: 3,
        priority: 7,
        cookie: 0x12n,
        idleTimeoutS: 3,
        importance: 5,
        match: { inPort: 2, reg1: 5 },
        actions: [{ kind: "output", port: 1 }],
      },
      packetCount: 3n,
      byteCount: 258n,
      durationMs: 215,
      idleMs: 2000,
    });
  });

  it("keeps what it has no name for, byte by byte", () => {
    const flow: Flow = { ...drop, match: { unknown: "8000580400000008" }, unknownInstructions: "0005000800000000" };
    expect(decode(flowEntry(flow))).toEqual(flow);
  });

  it.each([
    ["ends early", "0040"],
    ["has a length of nothing", "000000000300000700030000"],
    ["has a match longer than itself", `0020 ${zeros} 0001ffff00000000`],
    ["has a match of another type", `0028 ${zeros} 0000000400000000 0000000400000000`],
    ["has counters shorter than their header", `0028 ${zeros} 0001000400000000 0000000200000000`],
    ["has an instruction of 4 bytes", `0030 ${zeros} 0001000400000000 0000000400000000 0004000400000000`],
  ])("refuses one that %s", (_, text) => {
    expect(() => decode(hex(text))).toThrow(expect.objectContaining({ code: "PROTOCOL" }));
  });

  it("decodes what was encoded, for any flow", () => {
    fc.assert(
      fc.property(anyFlow, (flow) => {
        const reader = readerOf(flowEntry(flow));
        const decoded = getFlowStats(reader);
        expect(remaining(reader)).toBe(0);
        expect(decoded.flow).toEqual(flow);
        expect(decoded.packetCount).toBe(7n);
        expect(flowKey(decoded.flow)).toBe(flowKey(flow));
        expect(flowsEqual(decoded.flow, flow)).toBe(true);
      }),
      { numRuns: 1000 },
    );
  });
});

describe("flow entry read for its counters", () => {
  const met = hex(
    "0088 0000 0300 0007 0003 0000 0000 0005 0000000000000012 00010020 8000000400000002 80010110000000000000000500000000ffffffff 00000034 80020008000000000cd0a3c0 800202080000000200000000 800208080000000000000003 80020a080000000000000102 00000000 0004001800000000 00000010000000010000000000000000",
  );

  it("tells the same as the whole entry", () => {
    const reader = readerOf(met);
    expect(getFlowCount(reader)).toMatchObject({
      ...{ table: 3, cookie: 0x12n, packetCount: 3n, byteCount: 258n, idleMs: 2000 },
    });
    expect(remaining(reader)).toBe(0);
  });

  it("is nothing when no packet has met it", () => {
    const unmet = Buffer.from(met);
    unmet.fill(0, unmet.indexOf(hex("80020808")) + 4, unmet.indexOf(hex("80020a08")));
    const reader = readerOf(unmet);
    expect(getFlowCount(reader)).toBeUndefined();
    expect(remaining(reader)).toBe(0);
  });

  it("has the identity of its flow, for any flow", () => {
    fc.assert(
      fc.property(anyFlow, anyFlow, (left, right) => {
        const [first, second] = [left, right].map((flow) => getFlowCount(readerOf(flowEntry(flow))));
        expect(first?.cookie).toBe(left.cookie ?? 0n);
        expect(first?.packetCount).toBe(7n);
        expect(first?.identity === second?.identity).toBe(flowKey(left) === flowKey(right));
      }),
    );
  });
});

describe("identity", () => {
  const match = { ethType: 0x0800, ipProto: 6, tcpDst: 80, ipv4Src: "10.1.0.0/16" } as const;
  const flow: Flow = { ...drop, match, actions: [{ kind: "output", port: 1 }] };

  it.each<[string, Flow]>([
    ["in another order", { ...flow, match: { tcpDst: 80, ipv4Src: "10.1.0.0/16", ipProto: 6, ethType: 0x0800 } }],
    ["without prerequisites that follow", { ...flow, match: { tcpDst: 80, ipv4Src: "10.1.0.0/16" } }],
    ["with bits outside the mask", { ...flow, match: { ...match, ipv4Src: "10.1.2.3/255.255.0.0" } }],
    ["with a mask of all ones", { ...flow, match: { ...match, tcpDst: { value: 80, mask: 0xffff } } }],
    ["with a mask of zeros elsewhere", { ...flow, match: { ...match, reg0: { value: 3, mask: 0 } } }],
  ])("is the same %s", (_, other) => {
    expect(flowKey(other)).toBe(flowKey(flow));
    expect(flowsEqual(other, flow)).toBe(true);
  });

  it.each<[string, Flow]>([
    ["table", { ...flow, table: 4 }],
    ["priority", { ...flow, priority: 8 }],
    ["field", { ...flow, match: { ...match, tcpDst: 81 } }],
    ["mask", { ...flow, match: { ...match, ipv4Src: "10.1.0.0/17" } }],
  ])("is another with another %s", (_, other) => {
    expect(flowKey(other)).not.toBe(flowKey(flow));
  });

  it.each<[string, Flow]>([
    ["cookie", { ...flow, cookie: 0x13n }],
    ["idle timeout", { ...flow, idleTimeoutS: 4 }],
    ["hard timeout", { ...flow, hardTimeoutS: 4 }],
    ["importance", { ...flow, importance: 4 }],
    ["flags", { ...flow, flags: 1 }],
    ["goto", { ...flow, goto: 4 }],
    ["meter", { ...flow, meter: 4 }],
    ["action", { ...flow, actions: [{ kind: "output", port: 2 }] }],
  ])("does something else with another %s", (_, other) => {
    expect(flowKey(other)).toBe(flowKey(flow));
    expect(flowsEqual(other, flow)).toBe(false);
  });
});
