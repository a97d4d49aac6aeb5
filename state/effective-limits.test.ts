import { describe, expect, it } from "vitest";
import { effectiveLimits } from "./effective-limits.ts";
import { Netprofile } from "./kinds/netprofile.ts";

const profile = (members: object) => Netprofile.parse({ profileName: "p", tenantName: "t", ...members });
const at = (rateBitPerSecond: number) => ({ rateBitPerSecond });

describe("precedence", () => {
  const stated = {
    rest: { podIngress: at(1_000) },
    runtime: { podIngress: at(2_000), podEgress: at(3_000) },
    annotation: { podIngress: at(4_000), podEgress: at(5_000) },
  };
  const group = profile({ bandwidth: "6m" });

  it.each([
    [stated, "rest", "runtime"],
    [{ runtime: stated.runtime, annotation: stated.annotation }, "runtime", "runtime"],
    [{ annotation: stated.annotation }, "annotation", "annotation"],
    [{ annotation: { podEgress: at(5_000) } }, "netprofile", "annotation"],
    [{ rest: {} }, "netprofile", "netprofile"],
    [undefined, "netprofile", "netprofile"],
  ])("%j: ingress by %s, egress by %s", (limits, ingress, egress) => {
    const { podIngress, podEgress } = effectiveLimits(limits, group);
    expect([podIngress?.source, podEgress?.source]).toEqual([ingress, egress]);
  });

  it("leaves an endpoint alone of which nobody speaks", () => {
    const none = { podIngress: undefined, podEgress: undefined, dscp: 0, egressMode: undefined, isStrict: false };
    expect(effectiveLimits(undefined, undefined)).toEqual(none);
    expect(effectiveLimits(undefined, profile({ burst: 100 }))).toEqual(none);
  });
});

describe("a netprofile", () => {
  it("limits both directions with bandwidth and burst", () => {
    const limit = { rateBitPerSecond: 6_000_000, burstBits: 640_000, source: "netprofile" };
    const limits = effectiveLimits(undefined, profile({ bandwidth: "6 Mbps", burst: 80, DSCP: 6 }));
    expect(limits).toMatchObject({ podIngress: limit, podEgress: limit, dscp: 6 });
  });

  it("sets directions apart with the members of this release", () => {
    const members = {
      bandwidth: "6m",
      burst: 80,
      ingressBandwidth: "1g",
      egressBurst: 90,
      egressMode: "shape",
      strict: true,
    };
    expect(effectiveLimits(undefined, profile(members))).toEqual({
      podIngress: { rateBitPerSecond: 1e9, burstBits: 640_000, source: "netprofile" },
      podEgress: { rateBitPerSecond: 6e6, burstBits: 720_000, source: "netprofile" },
      dscp: 0,
      egressMode: "shape",
      isStrict: true,
    });
    const oneSided = effectiveLimits(undefined, profile({ egressBandwidth: "10k" }));
    expect(oneSided.podIngress).toBeUndefined();
    expect(oneSided.podEgress?.rateBitPerSecond).toBe(10_000);
  });

  it.each([
    { DSCP: 64 },
    { DSCP: -1 },
    { burst: 1 },
    { burst: 10_487 },
    { burst: -5 },
    { ingressBurst: 1 },
    { egressBurst: 500_001 },
    { bandwidth: "10 Pbps" },
    { ingressBandwidth: "0mbps" },
    { egressBandwidth: "10000000g" },
    { egressMode: "queue" },
    { strict: "yes" },
  ])("cannot say %j", (members) => {
    expect(Netprofile.safeParse({ profileName: "p", tenantName: "t", ...members }).success).toBe(false);
  });
});
