import { describe, expect, it } from "vitest";
import { type ErrorCode, NetError, storeFull } from "../../state/errors.ts";
import { type CniFault, cniErrorOf, cniFault } from "./errors.ts";

const CONTEXT = { cniVersion: "1.0.0", command: "ADD" };

describe("cniErrorOf", () => {
  it.each<[CniFault, number]>([
    ["incompatible-version", 1],
    ["unsupported-field", 2],
    ["container-unknown", 3],
    ["invalid-environment", 4],
    ["io", 5],
    ["undecodable", 6],
    ["invalid-config", 7],
    ["try-again", 11],
    ["not-available", 50],
    ["not-available-limited", 51],
  ])("gives %s the code %i", (fault, code) => {
    expect(cniErrorOf(cniFault(fault, "because"), CONTEXT)).toEqual({ cniVersion: "1.0.0", code, msg: "because" });
  });

  it.each<[ErrorCode, number, number]>([
    ["INVALID", 7, 7],
    ["NOT_FOUND", 100, 100],
    ["CONFLICT", 101, 101],
    ["EXHAUSTED", 102, 50],
    ["FORBIDDEN", 103, 103],
    ["REJECTED", 104, 104],
    ["UNSUPPORTED", 105, 105],
    ["UNAVAILABLE", 11, 50],
    ["TIMEOUT", 11, 50],
    ["CLOSED", 11, 50],
    ["INTERNAL", 999, 999],
  ])("gives %s the code %i, and %i when STATUS asks", (code, forAdd, forStatus) => {
    const error = new NetError(code, "no");
    expect(cniErrorOf(error, CONTEXT).code).toBe(forAdd);
    expect(cniErrorOf(error, { ...CONTEXT, command: "STATUS" }).code).toBe(forStatus);
    expect(cniErrorOf(error, CONTEXT).details).toMatch(/\w{4}/); // a next step
  });

  it.each([
    ["EOPNOTSUPP", /kernel lacks/],
    ["EPERM", /CAP_NET_ADMIN/],
    ["EADDRNOTAVAIL", /disable_ipv6/],
    ["EINVAL", /netplugin's log/],
  ])("advises what fits the kernel's %s", (reason, advice) => {
    const { code, details } = cniErrorOf(new NetError("REJECTED", "Cannot add address", { reason }), CONTEXT);
    expect(code).toBe(104);
    expect(details).toMatch(advice);
    expect(details).not.toMatch(/Open vSwitch/);
  });

  it("says of a full store that it is full, and what helps", () => {
    const { code, msg, details } = cniErrorOf(storeFull("attach"), CONTEXT);
    expect([code, msg]).toEqual([11, expect.stringContaining("the store is full")]);
    expect(details).toMatch(/make room in etcd/);
    expect(details).not.toMatch(/subnet/);
    expect(cniErrorOf(storeFull("attach"), { ...CONTEXT, command: "STATUS" }).code).toBe(50);
  });

  it("tells causes and blockers in details", () => {
    const cause = new Error("outer", { cause: new Error("inner") });
    const error = new NetError("IN_USE", "Cannot", { cause, blockers: ["a", "b"] });
    expect(cniErrorOf(error, CONTEXT).details).toContain("outer; inner; in the way: a, b");
  });

  it.each([undefined, null, "text", { a: 1 }, new Error("")])("survives %o", (thrown) => {
    const error = cniErrorOf(thrown, CONTEXT);
    expect(error.code).toBe(999);
    expect(error.msg).not.toBe("");
  });

  it("bounds the message and ends a circle of causes", () => {
    const error = new Error("x".repeat(100_000));
    error.cause = error;
    expect(JSON.stringify(cniErrorOf(error, CONTEXT)).length).toBeLessThan(10_000);
  });
});
