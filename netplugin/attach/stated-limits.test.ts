import { describe, expect, it } from "vitest";
import { EGRESS_ANNOTATION, INGRESS_ANNOTATION } from "../cni/own-names.ts";
import { statedLimits } from "./stated-limits.ts";

const none = { podIngress: undefined, podEgress: undefined };
const bare = { ifName: "eth0", bandwidth: none, annotations: new Map(), podAnnotations: new Map() };
const limit = (rateBitPerSecond: number, burstBits?: number) => ({ rateBitPerSecond, burstBits });

describe("what an ADD says of bandwidth", () => {
  it("may be nothing", () => expect(statedLimits(bare)).toEqual({}));

  it("comes from the runtime and from annotations, side by side", () => {
    const bandwidth = { podIngress: limit(10e6, 4_294_967_295), podEgress: limit(5e6) };
    const podAnnotations = new Map([[INGRESS_ANNOTATION, "10M"]]);
    const annotations = new Map([
      [INGRESS_ANNOTATION, "20M"],
      [EGRESS_ANNOTATION, "1Mi"],
    ]);
    expect(statedLimits({ ...bare, bandwidth, annotations, podAnnotations })).toEqual({
      runtime: { podIngress: limit(10e6, 4_294_967_295), podEgress: { rateBitPerSecond: 5e6 } },
      annotation: { podIngress: { rateBitPerSecond: 10e6 }, podEgress: { rateBitPerSecond: 1_048_576 } },
    });
  });

  it("is not for other interfaces when annotations say it", () => {
    const podAnnotations = new Map([[INGRESS_ANNOTATION, "10M"]]);
    expect(statedLimits({ ...bare, ifName: "net1", podAnnotations })).toEqual({});
  });

  it.each(["10m", "0", "-1M", "NaN", "10Mbps", "", "2P"])("is refused by name: %j in an annotation", (text) => {
    const podAnnotations = new Map([[EGRESS_ANNOTATION, text]]);
    const refusal = expect.objectContaining({ code: "INVALID", field: EGRESS_ANNOTATION });
    expect(() => statedLimits({ ...bare, podAnnotations })).toThrow(refusal);
  });

  it.each([1, 999, 1e16])("is refused by name: %d bit/s of the runtime", (rate) => {
    const refusal = expect.objectContaining({ field: "runtimeConfig.bandwidth.egressRate" });
    expect(() => statedLimits({ ...bare, bandwidth: { ...none, podEgress: limit(rate) } })).toThrow(refusal);
  });
});
