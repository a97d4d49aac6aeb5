import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { EndpointBandwidth, fromPodLimits, toPodLimits } from "./endpoint-config.ts";

describe("an endpoint's own limits", () => {
  it.each([
    [{}, undefined],
    [{ ingressBurst: 80 }, undefined],
    [{ ingressBandwidth: "6 Mbps" }, { podIngress: { rateBitPerSecond: 6e6 } }],
    [{ egressBandwidth: "10k", egressBurst: 80 }, { podEgress: { rateBitPerSecond: 1e4, burstBits: 640_000 } }],
  ])("%j", (config, limits) => expect(toPodLimits(EndpointBandwidth.parse(config))).toEqual(limits));

  it("are shown as they would be written", () => {
    const kilobits = fc.integer({ min: 1, max: 1e9 });
    const burst = fc.option(fc.integer({ min: 2, max: 500_000 }), { nil: undefined });
    fc.assert(
      fc.property(kilobits, burst, (rate, kilobytes) => {
        const limit = { rateBitPerSecond: rate * 1e3, ...(kilobytes && { burstBits: kilobytes * 8_000 }) };
        const shown = EndpointBandwidth.parse(fromPodLimits({ podEgress: limit }));
        expect(toPodLimits(shown)).toEqual({ podEgress: limit });
      }),
    );
    expect(fromPodLimits(undefined)).toEqual(EndpointBandwidth.parse({}));
  });
});
