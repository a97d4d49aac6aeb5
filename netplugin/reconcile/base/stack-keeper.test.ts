import pino from "pino";
import { describe, expect, it } from "vitest";
import type { GuardFaults } from "../../../drivers/stack-guard/guard.ts";
import { openToKernel, startStackKeeper } from "./stack-keeper.ts";

const NONE: GuardFaults = { tables: undefined, links: undefined };
const NO_TABLES = "this kernel has no nftables of family inet";
const NO_SETTINGS = "Cannot write /proc/sys/net: read only";

/** A guard that finds open what it is given, once; and the lines that were written. */
function world() {
  const lines: Record<string, unknown>[] = [];
  const found = { tables: [] as string[], links: [] as string[], faults: NONE as GuardFaults };
  const repairs: (readonly [string, number])[] = [];
  const controller = new AbortController();
  const keeper = startStackKeeper({
    guard: {
      repairTables: async () => found.tables.splice(0),
      repairLinks: async () => found.links.splice(0),
      faults: () => found.faults,
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

  it.each<[string, Partial<GuardFaults>, string]>([
    ["nftables are not there", { tables: NO_TABLES }, "Only settings of links keep"],
    ["settings cannot be written", { links: NO_SETTINGS }, "Only nftables keep"],
    ["neither", { tables: NO_TABLES, links: NO_SETTINGS }, "Neither nftables nor settings of all links keep"],
  ])("%s: told when it begins and when it ends, not in between", async (_, faults, sentence) => {
    await using it = world();
    it.found.faults = { ...NONE, ...faults };
    await it.compared();
    await it.compared();
    it.found.faults = NONE;
    await it.compared();
    expect(it.lines.map(({ msg }) => msg)).toEqual([
      `${sentence} packets for the switch from this node's kernel`,
      "Packets for the switch do not reach this node's kernel",
    ]);
    expect(it.lines[0]?.["reason"]).toBe(Object.values(faults).join("; "));
  });
});

describe("the node's condition", () => {
  it.each<[Partial<GuardFaults>, RegExp | undefined]>([
    [{}, undefined],
    [{ links: NO_SETTINGS }, undefined], // tables let nothing through
    [{ tables: NO_TABLES }, /^Only settings of links .*: this kernel has no nftables .*modprobe nf_tables/],
    [{ tables: NO_TABLES, links: NO_SETTINGS }, /^Neither .*no nftables .*read only.*modprobe nf_tables/],
  ])("with %j: %s", (faults, message) => {
    const told = openToKernel({ ...NONE, ...faults });
    if (message === undefined) expect(told).toBeUndefined();
    else expect(told).toMatch(message);
  });
});
