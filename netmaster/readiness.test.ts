import { describe, expect, it } from "vitest";
import { judge, judgeOpening, type ReadinessFacts } from "./readiness.ts";

const WELL: ReadinessFacts = {
  ...{ isSynced: true, deafness: undefined, failure: undefined, isLeading: false, isStoreFull: false, leader: "other" },
  ...{ hasServed: true, conditions: [] },
};
const FULL = { name: "store-full", message: "make room" };
const DEAF = { deafness: "connect ECONNREFUSED" };

describe("a netmaster is", () => {
  it.each<[string, Partial<ReadinessFacts>, RegExp]>([
    ["ready", {}, /^$/],
    ["ready", { isLeading: true, leader: "self" }, /^$/],
    ["starting", { hasServed: false, isSynced: false, leader: "none" }, /^reading the objects/],
    ["starting", { hasServed: false, leader: "none" }, /^no netmaster leads/],
    ["not-ready", { leader: "none" }, /^no netmaster leads/],
    ["not-ready", { leader: "self" }, /^this netmaster was elected/],
    ["degraded", { leader: "none", isStoreFull: true, conditions: [FULL] }, /^store-full: make room$/],
    ["not-ready", { ...DEAF, conditions: [FULL] }, /^etcd does not answer, so what is read may be old.*ECONNREFUSED$/],
    ["not-ready", { failure: "timeout", leader: "none" }, /^etcd does not answer.*timeout$/],
    ["ready", { failure: "timeout" }, /^$/],
    ["not-ready", { ...DEAF, hasServed: false, isSynced: false }, /nothing can be read yet/],
  ])("%s: %j", (state, facts, reason) => {
    const judged = judge({ ...WELL, ...facts });
    expect(judged.state).toBe(state);
    expect(judged.reasons.join("|")).toMatch(reason);
  });

  it("starting until etcd is known not to answer", () => {
    expect(judgeOpening(undefined).state).toBe("starting");
    expect(judgeOpening("refused")).toEqual({
      state: "not-ready",
      reasons: [expect.stringMatching(/etcd.*: refused$/)],
    });
  });
});
