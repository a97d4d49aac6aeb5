import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { listAttributes, readAttributes, readNested } from "./attributes.ts";
import { readClass, replaceHtbClass } from "./class.ts";
import { addMatchAll, readFilter } from "./filter.ts";
import { addIngress, readQdisc, replaceHtb, replaceTbf } from "./qdisc.ts";
import { REQUESTS } from "./recorded.ts";
import { sameTbf, tbfLimitBytes } from "./tbf.ts";
import { bytesToTicks, tcHandle, tickBytes, ticksToBytes } from "./traffic-control.ts";

const recorded = (name: keyof typeof REQUESTS) => Buffer.from(REQUESTS[name], "hex");
const invalid = expect.objectContaining({ code: "INVALID" });
const rates = fc.oneof(fc.integer({ min: 1, max: 1_000_000 }), fc.integer({ min: 1_000_000, max: 50_000_000_000 }));

describe("tbf", () => {
  it("is read from what tc sends", () => {
    expect(readQdisc(recorded("tbf"))).toMatchObject({
      ifindex: 3,
      handle: tcHandle(1, 0),
      kind: "tbf",
      tbf: { rateBytesPerSecond: 2_500_000, limitBytes: 574_644, burstBytes: expect.closeTo(262_144, -1) },
    });
    expect(readQdisc(recorded("tbfWide")).tbf).toMatchObject({
      rateBytesPerSecond: 6_250_000_000,
      limitBytes: 200_000_000,
    });
  });

  it("asks for what tc asks for", () => {
    const tbf = { rateBytesPerSecond: 2_500_000, burstBytes: 262_144, limitBytes: 574_644 };
    const theirs = readQdisc(recorded("tbf")).tbf;
    expect(theirs !== undefined && sameTbf(tbf, { ...theirs, burstBytes: theirs.burstBytes })).toBe(true);
    const options = (body: Uint8Array) => readNested(readAttributes(body, 20), 2);
    const ours = options(replaceTbf({ ifindex: 3 }, tbf).body);
    expect(ours.get(6)).toEqual(options(recorded("tbf")).get(6)); // TCA_TBF_BURST
    expect(ours.has(4)).toBe(false);
    const wide = options(replaceTbf({ ifindex: 3 }, { ...tbf, rateBytesPerSecond: 6_250_000_000 }).body);
    expect(wide.get(4)).toEqual(options(recorded("tbfWide")).get(4)); // TCA_TBF_RATE64
  });

  it("comes back as it was, as far as a tick of 64 ns can tell", () => {
    const bursts = fc.integer({ min: 1, max: 100_000 });
    fc.assert(
      fc.property(rates, bursts, (rateBytesPerSecond, burstBytes) => {
        const tbf = { rateBytesPerSecond, burstBytes, limitBytes: tbfLimitBytes(rateBytesPerSecond, burstBytes) };
        const row = readQdisc(Buffer.from(replaceTbf({ ifindex: 3 }, tbf).body));
        fc.pre(bytesToTicks(burstBytes, rateBytesPerSecond) < 0xffffffff); // a burst of more than 274 s
        expect(row.tbf !== undefined && sameTbf(tbf, row.tbf)).toBe(true);
      }),
    );
  });

  it("differs when a parameter differs", () => {
    const tbf = { rateBytesPerSecond: 2_500_000, burstBytes: 262_144, limitBytes: 574_644 };
    expect(sameTbf(tbf, { ...tbf, rateBytesPerSecond: 2_500_001 })).toBe(false);
    expect(sameTbf(tbf, { ...tbf, limitBytes: 574_645 })).toBe(false);
    expect(sameTbf(tbf, { ...tbf, burstBytes: 262_200 })).toBe(false);
    expect(sameTbf(tbf, { ...tbf, burstBytes: 262_143 })).toBe(true);
  });

  it.each([0, -1, 1.5, Number.NaN, 2 ** 60])("a rate of %d is refused", (rateBytesPerSecond) => {
    const tbf = { rateBytesPerSecond, burstBytes: 1_000, limitBytes: 2_000 };
    expect(() => replaceTbf({ ifindex: 3 }, tbf)).toThrow(invalid);
  });

  it.each([0, -1, 1.5, 2 ** 32])("a burst or limit of %d is refused", (size) => {
    const tbf = { rateBytesPerSecond: 1_000, burstBytes: 1_000, limitBytes: 2_000 };
    expect(() => replaceTbf({ ifindex: 3 }, { ...tbf, burstBytes: size })).toThrow(invalid);
    expect(() => replaceTbf({ ifindex: 3 }, { ...tbf, limitBytes: size })).toThrow(invalid);
  });

  it("has room for 25 ms beside the burst", () => {
    expect(tbfLimitBytes(12_500_000, 262_144)).toBe(574_644); // 100 Mbit/s
    expect(tbfLimitBytes(1e12, 1)).toBe(0xffffffff);
  });
});

describe("ticks", () => {
  it("lose less than one tick's bytes", () => {
    fc.assert(
      fc.property(rates, fc.integer({ min: 0, max: 1_000_000 }), (rate, size) => {
        const ticks = bytesToTicks(size, rate);
        fc.pre(ticks < 0xffffffff);
        expect(Math.abs(ticksToBytes(ticks, rate) - size)).toBeLessThanOrEqual(tickBytes(rate));
      }),
    );
  });
});

describe("handles", () => {
  it("are two halves", () => {
    expect(tcHandle(0xffff, 0xfff1)).toBe(0xfffffff1);
    expect(() => tcHandle(0x10000, 0)).toThrow(invalid);
    expect(() => tcHandle(1, -1)).toThrow(invalid);
  });
});

describe("ingress and filters", () => {
  it("an ingress qdisc is what tc sends, but for empty options", () => {
    const ours = addIngress(3).body;
    expect(Buffer.from(ours.subarray(0, 20))).toEqual(recorded("ingress").subarray(0, 20));
    expect(readQdisc(Buffer.from(ours)).kind).toBe("ingress");
  });

  it("a redirect by u32 is what tc sends", () => {
    const ours = addMatchAll("u32", { ifindex: 3 }, [{ kind: "redirect", toIfindex: 4 }]).body;
    const row = readFilter(Buffer.from(ours));
    expect(row).toEqual(readFilter(recorded("u32")));
    expect(row?.actions).toEqual([{ kind: "redirect", toIfindex: 4 }]);
    const sel = (body: Uint8Array) => readNested(readAttributes(body, 20), 2).get(5);
    expect(sel(ours)).toEqual(sel(recorded("u32")));
    const parameters = (body: Uint8Array) => {
      const [[, action = Buffer.alloc(0)] = []] = listAttributes(
        readNested(readAttributes(body, 20), 2).get(7) ?? Buffer.alloc(0),
      );
      return readNested(readAttributes(action), 2).get(2);
    };
    expect(parameters(ours)).toEqual(parameters(recorded("u32")));
  });

  it.each(["matchall", "basic"] as const)("policing with %s is read from what tc sends", (kind) => {
    const row = readFilter(recorded(kind));
    expect(row).toMatchObject({
      kind,
      protocol: 3,
      actions: [{ kind: "police", rateBytesPerSecond: 2_500_000, burstBytes: 2_560_000 }],
    });
  });

  it.each(["matchall", "basic", "u32"] as const)("policing with %s comes back as it was", (kind) => {
    fc.assert(
      fc.property(rates, (rateBytesPerSecond) => {
        const police = { kind: "police", rateBytesPerSecond, burstBytes: rateBytesPerSecond } as const;
        fc.pre(rateBytesPerSecond < 2 ** 32);
        const body = addMatchAll(kind, { ifindex: 3, priority: 9, parent: 5 }, [police]).body;
        expect(readFilter(Buffer.from(body))).toMatchObject({
          kind,
          priority: 9,
          parent: 5,
          actions: [{ ...police, burstBytes: expect.closeTo(rateBytesPerSecond, -3) }],
        });
      }),
      { numRuns: 30 },
    );
  });

  it("policing lets frames of any length pass to the bucket and drops beyond it", () => {
    const police = { kind: "police", rateBytesPerSecond: 1_000, burstBytes: 1_000 } as const;
    const body = addMatchAll("matchall", { ifindex: 3 }, [police]).body;
    const [[, action = Buffer.alloc(0)] = []] = listAttributes(
      readNested(readAttributes(body, 20), 2).get(2) ?? Buffer.alloc(0),
    );
    const parameters = readNested(readAttributes(action), 2).get(1);
    expect(parameters?.readUInt32LE(4)).toBe(2); // TC_ACT_SHOT
    expect(parameters?.readUInt32LE(16)).toBeGreaterThan(8 * 65_535); // with 0 the rate table's reach would count
  });
});

describe("htb", () => {
  it("is what tc sends", () => {
    const options = (body: Uint8Array) => readNested(readAttributes(body, 20), 2);
    expect(options(replaceHtb({ ifindex: 2 }, 0x10).body).get(2)).toEqual(options(recorded("htb")).get(2));
    const place = { ifindex: 2, parent: tcHandle(1, 0), handle: tcHandle(1, 0x10) };
    const htb = { rateBytesPerSecond: 1_250_000, ceilBytesPerSecond: 2_500_000, burstBytes: 15_000, priority: 3 };
    const ours = replaceHtbClass(place, htb).body;
    expect(readClass(Buffer.from(ours))).toEqual(readClass(recorded("htbClass")));
  });
});
