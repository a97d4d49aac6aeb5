import { describe, expect, it } from "vitest";
import type { LimitMeans } from "../../machine/limit-means.ts";
import { type EgressMechanism, egressMechanism, ingressMechanism } from "./mechanism.ts";

const all: LimitMeans = {
  datapathType: "system",
  ingressPolicing: true,
  tbf: true,
  ifbRedirect: true,
  meters: true,
  podEnd: "macvlan",
  frameBytes: 1_518,
};
const kernel = (more: Partial<LimitMeans> = {}) => ({ ...all, ...more });
const userspace = (more: Partial<LimitMeans> = {}) => ({ ...all, datapathType: "netdev" as const, ...more });
const noTbf = { tbf: false };
const veth = { podEnd: "veth" } as const;

type Row = [string, LimitMeans, EgressMechanism | undefined, EgressMechanism | undefined, EgressMechanism | undefined];

/** What limits a pod's sending, for: no wish, `police`, `shape`. */
describe("the fall-back matrix", () => {
  it.each<Row>([
    ["kernel datapath, everything", kernel(), "police", "police", "panel-tbf"],
    ["kernel datapath, no policing", kernel({ ingressPolicing: false }), "panel-tbf", "panel-tbf", "panel-tbf"],
    ["kernel datapath, no macvlan", kernel(veth), "police", "police", "ifb-tbf"],
    [
      "kernel datapath, no macvlan, no policing",
      kernel({ ...veth, ingressPolicing: false }),
      "ifb-tbf",
      "ifb-tbf",
      "ifb-tbf",
    ],
    ["kernel datapath, no macvlan, no ifb", kernel({ ...veth, ifbRedirect: false }), "police", "police", "police"],
    ["kernel datapath, no tbf", kernel(noTbf), "police", "police", "police"],
    ["kernel datapath, nothing", kernel({ ...noTbf, ingressPolicing: false }), undefined, undefined, undefined],
    ["userspace datapath, everything", userspace(), "meter", "meter", "panel-tbf"],
    ["userspace datapath, no meters", userspace({ meters: false }), "panel-tbf", "panel-tbf", "panel-tbf"],
    ["userspace datapath, no macvlan", userspace(veth), "meter", "meter", "meter"],
    ["userspace datapath, no tbf", userspace(noTbf), "meter", "meter", "meter"],
    ["userspace datapath, no meters, no tbf", userspace({ ...noTbf, meters: false }), undefined, undefined, undefined],
    [
      "userspace datapath, no meters, no macvlan",
      userspace({ ...veth, meters: false }),
      undefined,
      undefined,
      undefined,
    ],
  ])("%s: %#", (_title, means, byDefault, police, shape) => {
    const chosen = [undefined, "police", "shape"] as const;
    expect(chosen.map((wish) => egressMechanism(wish, means).mechanism)).toEqual([byDefault, police, shape]);
  });

  it.each<["police" | "shape", LimitMeans, boolean]>([
    ["police", kernel(), false],
    ["police", kernel({ ingressPolicing: false }), true],
    ["shape", kernel(), false],
    ["shape", kernel(veth), false],
    ["shape", kernel({ ...veth, ifbRedirect: false }), true],
    ["police", userspace(), false],
    ["police", userspace({ meters: false }), true],
    ["shape", userspace(), false],
    ["shape", userspace(veth), true],
    ["shape", userspace({ ...noTbf, meters: false }), true],
  ])("says whether %s is not to be had: %#", (wish, means, isShort) => {
    expect(egressMechanism(wish, means).shortfall !== undefined).toBe(isShort);
  });

  it("blames nobody for the node's own choice, unless nothing is left", () => {
    expect(egressMechanism(undefined, kernel({ ingressPolicing: false })).shortfall).toBeUndefined();
    expect(egressMechanism(undefined, userspace({ ...noTbf, meters: false })).shortfall).toMatch(/not limited/);
  });

  it("needs tbf towards the pod", () => {
    expect(ingressMechanism(kernel())).toEqual({ mechanism: "tbf", shortfall: undefined });
    expect(ingressMechanism(kernel(noTbf))).toMatchObject({
      mechanism: undefined,
      shortfall: expect.stringMatching(/tbf/),
    });
  });
});
