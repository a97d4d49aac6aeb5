import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { HIT_REPORT_MAX, HitReport } from "../../../state/node-api.ts";
import { createHitDeltas, type HitDeltas } from "./hit-deltas.ts";

/** `[identity, rule, packets, idle ms]`; every packet has 100 bytes. */
type FlowWords = readonly [string, number, number, number?];

const NAMES = new Map([
  [1n, "t:p:one"],
  [2n, "t:p:two"],
]);

function read(deltas: HitDeltas, flows: readonly FlowWords[], nowMs = 10_000): void {
  const counts = flows.map(([identity, cookie, packets, idleMs = 0]) => ({
    ...{ identity, table: 50, cookie: BigInt(cookie), idleMs },
    ...{ packetCount: BigInt(packets), byteCount: BigInt(packets) * 100n },
  }));
  deltas.readRules(counts, (cookie) => NAMES.get(cookie), nowMs);
}

function readPorts(
  deltas: HitDeltas,
  ports: readonly (readonly [number, number, number])[],
  on: Record<number, string>,
) {
  const counts = ports.map(([ofport, sent, received]) => ({
    ...{ ofport, sentPackets: BigInt(sent), sentBytes: BigInt(sent) * 10n },
    ...{ receivedPackets: BigInt(received), receivedBytes: BigInt(received) * 10n },
  }));
  deltas.readPorts(counts, (ofport) => on[ofport], 5_000);
}

/** Takes everything that is to be told. */
function taken(deltas: HitDeltas): HitReport | undefined {
  const report = deltas.report();
  if (report !== undefined) deltas.acknowledge(report.sequence);
  return report;
}

describe("hit deltas", () => {
  it("tells what was added since the last reading, not what was there before it began", () => {
    const deltas = createHitDeltas("s");
    read(deltas, [["a", 1, 50]]);
    expect(deltas.report()).toBeUndefined();
    read(deltas, [
      ["a", 1, 53, 400],
      ["b", 1, 2, 2_000],
      ["c", 2, 1],
      ["d", 9, 5],
    ]);
    expect(taken(deltas)).toEqual({
      ...{ session: "s", sequence: 1, endpoints: {} },
      rules: { "t:p:one": [5, 500, 9_600], "t:p:two": [1, 100, 10_000] },
    });
    expect(deltas.report()).toBeUndefined();
    expect([...deltas.totals()]).toEqual([
      ["t:p:one", { packets: 5, bytes: 500 }],
      ["t:p:two", { packets: 1, bytes: 100 }],
    ]);
  });

  it("counts a flow that begins anew from nothing", () => {
    const deltas = createHitDeltas("s");
    read(deltas, []);
    read(deltas, [["a", 1, 10]]);
    read(deltas, [["a", 1, 4]]);
    read(deltas, []);
    read(deltas, [["a", 1, 3]]);
    expect(taken(deltas)?.rules).toEqual({ "t:p:one": [17, 1_700, 10_000] });
  });

  it("repeats a report word by word until it is acknowledged", () => {
    const deltas = createHitDeltas("s");
    read(deltas, []);
    read(deltas, [["a", 1, 10]]);
    const first = deltas.report();
    read(deltas, [["a", 1, 30]]);
    expect(deltas.report()).toBe(first);
    deltas.acknowledge(99);
    expect(deltas.report()).toBe(first);
    deltas.acknowledge(1);
    expect(deltas.report()).toMatchObject({ sequence: 2, rules: { "t:p:one": [20, 2_000, 10_000] } });
  });

  it("counts a port's packets for the endpoint that is on it now", () => {
    const deltas = createHitDeltas("s");
    readPorts(deltas, [[7, 100, 100]], { 7: "gone" });
    readPorts(
      deltas,
      [
        [7, 103, 101],
        [8, 2, 0],
        [9, 1, 1],
      ],
      { 7: "a", 8: "b" },
    );
    readPorts(
      deltas,
      [
        [7, 103, 101],
        [8, 0, 1],
      ],
      { 7: "a", 8: "b" },
    );
    expect(taken(deltas)?.endpoints).toEqual({ a: [3, 30, 1, 10, 5_000], b: [2, 20, 1, 10, 5_000] });
  });

  it("forgets rules that are gone", () => {
    const deltas = createHitDeltas("s");
    read(deltas, []);
    read(deltas, [
      ["a", 1, 10],
      ["b", 2, 1],
    ]);
    deltas.keepRules((key) => key === "t:p:two");
    expect(Object.keys(taken(deltas)?.rules ?? {})).toEqual(["t:p:two"]);
    expect([...deltas.totals().keys()]).toEqual(["t:p:two"]);
  });

  it.each([
    ["many", 2_500, 10],
    ["long names", 500, 500],
  ])("tells of %s in several reports, each of which netmaster takes", (_what, count, length) => {
    const deltas = createHitDeltas("s");
    const ports = Array.from({ length: count }, (_, index) => index);
    const on = Object.fromEntries(ports.map((port) => [port, `${port}-`.padEnd(length, "x")]));
    readPorts(deltas, [], on);
    readPorts(
      deltas,
      ports.map((port) => [port, 1, 0] as const),
      on,
    );
    const told = new Set<string>();
    for (let report = taken(deltas); report !== undefined; report = taken(deltas)) {
      expect(HitReport.parse(JSON.parse(JSON.stringify(report)))).toEqual(report);
      const keys = Object.keys(report.endpoints);
      expect(keys.length).toBeLessThanOrEqual(HIT_REPORT_MAX);
      expect(keys.join("").length).toBeLessThanOrEqual(30_000);
      for (const key of keys) told.add(key);
    }
    expect(told.size).toBe(count);
  });

  it("loses and doubles nothing, whatever is read, lost and acknowledged when", () => {
    const step = fc.oneof(
      fc.record({ is: fc.constant("count" as const), packets: fc.nat(50) }),
      fc.record({ is: fc.constantFrom("told" as const, "lost" as const) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        const deltas = createHitDeltas("s");
        const counted = new Map<number, number>();
        let now = 0;
        read(deltas, []);
        for (const each of [...steps, { is: "told" } as const, { is: "told" } as const]) {
          if (each.is === "count") {
            now += each.packets;
            read(deltas, [["a", 1, now]]);
            continue;
          }
          const report = deltas.report();
          if (report === undefined) continue;
          counted.set(report.sequence, report.rules["t:p:one"]?.[0] ?? 0);
          if (each.is === "told") deltas.acknowledge(report.sequence);
        }
        expect([...counted.values()].reduce((sum, packets) => sum + packets, 0)).toBe(now);
      }),
    );
  });
});
