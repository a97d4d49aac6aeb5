import pino from "pino";
import { describe, expect, it } from "vitest";
import { startStackKeeper } from "./stack-keeper.ts";

/** A guard that finds open what it is given, once; and the lines that were written. */
function world() {
  const lines: Record<string, unknown>[] = [];
  const found = { tables: [] as string[], links: [] as string[], fault: undefined as string | undefined };
  const repairs: (readonly [string, number])[] = [];
  const controller = new AbortController();
  const keeper = startStackKeeper({
    guard: {
      repairTables: async () => found.tables.splice(0),
      repairLinks: async () => found.links.splice(0),
      fault: () => found.fault,
    },
    onRepair: (what, count) => repairs.push([what, count]),
    log: pino({}, { write: (line: string) => lines.push(JSON.parse(line)) }),
    signal: controller.signal,
  });
  const compared = () => keeper.closed(AbortSignal.timeout(5_000));
  return {
    ...{ lines, found, repairs, compared },
    [Symbol.asyncDispose]: async () => {
      controller.abort();
      await keeper.ended;
    },
  };
}

describe("the stack keeper", () => {
  it("says nothing while nothing is open", async () => {
    await using it = world();
    await it.compared();
    expect(it.lines).toEqual([]);
    expect(it.repairs).toEqual([]);
  });

  it("counts what was open, and tells the first of each kind in one line", async () => {
    await using it = world();
    await it.compared();
    it.found.tables.push("nftables table inet");
    it.found.links.push("cvh1: IPv6 is on", "cvh2: ARP is on");
    await it.compared();
    expect(it.repairs).toEqual([
      ["table", 1],
      ["link", 2],
    ]);
    expect(it.lines.map(({ first, more }) => [first, more])).toEqual([
      ["nftables table inet", 0],
      ["cvh1: IPv6 is on", 1],
    ]);
  });

  it("tells a fault when it begins and when it ends, not in between", async () => {
    await using it = world();
    it.found.fault = "this kernel has no nftables of family inet";
    await it.compared();
    await it.compared();
    it.found.fault = undefined;
    await it.compared();
    expect(it.lines.map(({ reason }) => reason)).toEqual(["this kernel has no nftables of family inet", undefined]);
  });
});
