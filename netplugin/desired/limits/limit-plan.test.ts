import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BARE_PORT, isBare, samePortState } from "../../../drivers/ovs/pod-ports/port-state.ts";
import { effectiveLimits } from "../../../state/effective-limits.ts";
import { Netprofile } from "../../../state/kinds/netprofile.ts";
import type { LimitMeans } from "../../machine/limit-means.ts";
import { meterOf, type PlannedLimit, planOf, policingOf, tbfOf } from "./limit-plan.ts";
import { portStateOf } from "./port-state-of.ts";

const userspace: LimitMeans = {
  datapathType: "netdev",
  ingressPolicing: false,
  tbf: true,
  ifbRedirect: true,
  meters: true,
  podEnd: "macvlan",
  frameBytes: 1_518,
};
const kernel: LimitMeans = { ...userspace, datapathType: "system", ingressPolicing: true };

const plan = (members: object, means: LimitMeans = userspace) =>
  planOf(effectiveLimits(undefined, Netprofile.parse({ profileName: "p", tenantName: "t", ...members })), means);

const limit = (rateBitPerSecond: number, burstBits: number): PlannedLimit<string> => ({
  ...{ rateBitPerSecond, burstBits, source: "rest", mechanism: "tbf", notes: [] },
});

describe("units of the mechanisms", () => {
  it.each([
    [10_000_000, 640_000, { rateKbitPerSecond: 10_000, burstKbit: 640 }],
    [1_500, 1, { rateKbitPerSecond: 2, burstKbit: 1 }],
    [1e15, 4e9, { rateKbitPerSecond: 0xffffffff, burstKbit: 4_000_000 }],
  ])("%d bit/s, %d bit for the switch", (rate, burst, policing) =>
    expect(policingOf(limit(rate, burst))).toEqual(policing),
  );

  it("never becomes 0, which would mean unlimited", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1e15 }), fc.integer({ min: 1, max: 4e9 }), (rate, burst) => {
        const { rateKbitPerSecond, burstKbit } = policingOf(limit(rate, burst));
        const tbf = tbfOf(limit(rate, burst));
        for (const value of [rateKbitPerSecond, burstKbit, tbf.rateBytesPerSecond, tbf.burstBytes, tbf.limitBytes]) {
          expect(value).toBeGreaterThan(0);
        }
        expect(tbf.rateBytesPerSecond * 8).toBeGreaterThanOrEqual(rate);
        expect(tbf.limitBytes).toBeLessThanOrEqual(0xffffffff);
      }),
    );
  });

  it("a meter has the port's number and a drop band with burst", () => {
    const band = { kind: "drop", rate: 10_000, burst: 640 };
    const meter = { id: 17, rateUnit: "kbit/s", hasBurst: true, keepsStats: true, bands: [band] };
    expect(meterOf(limit(10e6, 640_000), 17)).toEqual(meter);
  });
});

describe("a plan", () => {
  it("shapes towards the pod and meters from it on the userspace datapath", () => {
    const { podIngress, podEgress, dscp } = plan({ bandwidth: "6m", burst: 80, DSCP: 6 });
    expect(podIngress).toMatchObject({ mechanism: "tbf", rateBitPerSecond: 6e6, burstBits: 640_000 });
    expect(podEgress).toMatchObject({ mechanism: "meter", rateBitPerSecond: 6e6, burstBits: 640_000 });
    expect(dscp).toBe(6);
    const near = { rateBytesPerSecond: 750_000, burstBytes: 80_000, limitBytes: 98_750 };
    expect(portStateOf(plan({ bandwidth: "6m", burst: 80 }))).toEqual({ ...BARE_PORT, near });
  });

  it("polices on the kernel's datapath, with a burst that holds an offloaded frame", () => {
    const planned = plan({ egressBandwidth: "6m", egressBurst: 2 }, kernel);
    expect(planned.podEgress).toMatchObject({
      mechanism: "police",
      burstBits: 524_288,
      notes: [expect.stringMatching(/one frame/)],
    });
    expect(portStateOf(planned)).toEqual({ ...BARE_PORT, policing: { rateKbitPerSecond: 6_000, burstKbit: 525 } });
  });

  it("shapes the pod's end, or an ifb where that is in the pod", () => {
    const shaper = { rateBytesPerSecond: 125_000, burstBytes: 32_768, limitBytes: 35_893 };
    const members = { egressBandwidth: "1m", egressMode: "shape" };
    expect(portStateOf(plan(members))).toEqual({ ...BARE_PORT, far: shaper });
    expect(portStateOf(plan(members, { ...kernel, podEnd: "veth" }))).toEqual({ ...BARE_PORT, ifb: shaper });
  });

  it("tells what cannot be had, and leaves the port bare", () => {
    const planned = plan({ bandwidth: "6m", strict: true }, { ...userspace, tbf: false, meters: false });
    expect(planned.shortfalls).toHaveLength(2);
    expect(planned.isStrict).toBe(true);
    expect(isBare(portStateOf(planned))).toBe(true);
  });

  it("is compared by what the kernel can tell apart", () => {
    const [first, second] = [portStateOf(plan({ bandwidth: "6m" })), portStateOf(plan({ bandwidth: "7m" }))];
    expect(samePortState(first, first)).toBe(true);
    expect(samePortState(first, second)).toBe(false);
    expect(samePortState(first, BARE_PORT)).toBe(false);
  });
});
