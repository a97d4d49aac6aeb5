import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { addSample, ratesOf, type TrafficSample, WINDOW_MS } from "./traffic-window.ts";

const at = (seconds: number, ingressBytes: number, egressBytes = 0): TrafficSample => ({
  ...{ atMs: seconds * 1_000, ingressBytes, egressBytes },
});
const windowOf = (samples: readonly TrafficSample[]) => samples.reduce<readonly TrafficSample[]>(addSample, []);

describe("rates over the last ten seconds", () => {
  it("need two samples", () => {
    expect(ratesOf([])).toBeUndefined();
    expect(ratesOf(windowOf([at(0, 5)]))).toBeUndefined();
  });

  it("are the mean of the window only", () => {
    const busy = windowOf([at(0, 0), at(2, 1_000), at(4, 2_000)]);
    expect(ratesOf(busy)).toEqual({ overMs: 4_000, ingressBitPerSecond: 4_000, egressBitPerSecond: 0 });
    const idle = [6, 8, 10, 12, 14]
      .map((seconds) => at(seconds, 2_000))
      .reduce<readonly TrafficSample[]>(addSample, busy);
    expect(ratesOf(idle)).toMatchObject({ overMs: WINDOW_MS, ingressBitPerSecond: 0 });
  });

  it("begin anew when counters do", () => {
    expect(windowOf([at(0, 5_000), at(2, 100)])).toEqual([at(2, 100)]);
  });

  it("hold a constant rate, however irregular the looks", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 30_000 }), { minLength: 2, maxLength: 40 }), (pausesMs) => {
        let atMs = 0;
        const samples = pausesMs.map((pauseMs) => {
          atMs += pauseMs;
          return { atMs, ingressBytes: atMs * 125, egressBytes: atMs * 250 };
        });
        const rates = ratesOf(windowOf(samples));
        expect(rates).toMatchObject({ ingressBitPerSecond: 1e6, egressBitPerSecond: 2e6 });
        expect(windowOf(samples).length).toBeLessThanOrEqual(samples.length);
      }),
    );
  });
});
