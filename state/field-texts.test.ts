import { describe, expect, it } from "vitest";
import { formatRange } from "./address.ts";
import { Network, type NetworkRecord } from "./kinds/network.ts";
import { groupPoolRange, networkRanges } from "./network-ranges.ts";
import { formatNumberRanges, parseNumberRanges } from "./number-ranges.ts";
import { parseRuleAddress, singleRuleAddress } from "./rule-address.ts";

describe("rule addresses (contract §6.5)", () => {
  it.each([
    ["10.1.1.1", "10.1.1.1"],
    ["10.1.1.1/32", "10.1.1.1"],
    ["10.1.1.77/24", "10.1.1.0-10.1.1.255"],
    ["10.1.1.10-20", "10.1.1.10-10.1.1.20"],
    ["10.1.1.10-20/24", "10.1.1.10-10.1.1.20"],
    ["10.1.1.10-10", "10.1.1.10"],
    ["2001:db8::1", "2001:db8::1"],
    ["2001:db8::/127", "2001:db8::-2001:db8::1"],
  ])("%s means %s", (text, range) => {
    const parsed = parseRuleAddress(text);
    expect(typeof parsed === "string" ? parsed : formatRange(parsed.family, parsed)).toBe(range);
  });

  it.each([
    "",
    "10.1.1",
    "10.1.1.1/33",
    "10.1.1.1/0",
    "10.1.1.1-",
    "10.1.1.9-8",
    "10.1.1.1-256",
    "2001:db8::/0",
    "2001::db8::",
    "a",
  ])("refuses %j", (text) => expect(parseRuleAddress(text)).toBeTypeOf("string"));

  it("knows which text is one address", () => {
    expect(singleRuleAddress("10.1.1.1")).toEqual({ family: 4, address: 0x0a010101n });
    expect(singleRuleAddress("::1")).toEqual({ family: 6, address: 1n });
    expect(singleRuleAddress("10.1.1.1-9")).toBeUndefined();
  });
});

describe("number ranges (contract §6.7)", () => {
  const limits = { first: 1, last: 100 };
  it.each([
    ["1-100", [{ first: 1, last: 100 }]],
    [
      "5-5, 7-9",
      [
        { first: 5, last: 5 },
        { first: 7, last: 9 },
      ],
    ],
  ])("reads %s", (text, ranges) => expect(parseNumberRanges(text, limits)).toEqual(ranges));

  it.each(["", "1", "-", "9-1", "0-5", "1-101", "1-2,,3-4", "a-b", "1-2 "])("refuses %j", (text) =>
    expect(parseNumberRanges(text, limits)).toBeTypeOf("string"),
  );

  it("writes the contract's form", () => {
    expect(
      formatNumberRanges([
        { first: 1, last: 9 },
        { first: 300, last: 300 },
      ]),
    ).toBe("1-9, 300");
  });
});

describe("what a network hands out", () => {
  const config = (members: object): NetworkRecord["config"] =>
    Network.parse({ tenantName: "t", networkName: "n", encap: "vlan", ...members });
  it.each([
    ["10.1.1.0/24", "10.1.1.1-10.1.1.254"],
    ["10.1.1.77/24", "10.1.1.1-10.1.1.254"],
    ["10.1.1.10-10.1.1.20/24", "10.1.1.10-10.1.1.20"],
    ["10.1.1.0-10.1.1.255/24", "10.1.1.1-10.1.1.254"],
    ["10.1.1.4/31", "10.1.1.4-10.1.1.5"],
  ])("%s: %s", (subnet, bounds) => expect(formatRange(4, networkRanges(config({ subnet })).ipv4.bounds)).toBe(bounds));

  it("clips a group's pool to addresses that hosts may have", () => {
    const group = {
      groupName: "g",
      tenantName: "t",
      networkName: "n",
      policies: [],
      netProfile: "",
      extContractsGrps: [],
      cfgdTag: "",
    };
    const pool = (ipPool: string) => groupPoolRange({ ...group, ipPool }, config({ subnet: "10.1.1.0/24" }));
    expect(pool("")).toBeUndefined();
    expect(pool("10.1.1.0-10.1.1.9")).toEqual({ first: 0x0a010101n, last: 0x0a010109n });
    expect(pool("10.1.1.9")).toEqual({ first: 0x0a010109n, last: 0x0a010109n });
  });
});
