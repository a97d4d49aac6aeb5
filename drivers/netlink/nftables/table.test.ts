import { describe, expect, it } from "vitest";
import { encodeAttributes } from "../attributes.ts";
import { encodeBatch, NLM_F_APPEND, NLM_F_CREATE } from "../message.ts";
import { type Expression, expressionAttributes, META_IIFNAME, META_L4PROTO, readExpressions } from "./expression.ts";
import {
  deleteTable,
  dumpChains,
  dumpRules,
  dumpTables,
  NF_ACCEPT,
  replaceTable,
  type Table,
  transaction,
} from "./table.ts";

/*
 * Bytes after linux/netfilter/nfnetlink.h and nf_tables.h, without the message header: attribute lengths and types are little-endian,
 * numbers of nftables are in network order. What the kernel makes of them, `nft` tells (drivers/stack-guard/tables.system.test.ts).
 */
const address = { family: "inet", name: "t" } as const;
const drop: Expression = { kind: "verdict", verdict: 0 };
const fromPrefix: readonly Expression[] = [
  { kind: "meta", key: META_IIFNAME },
  { kind: "equals", hex: "637668" },
  drop,
];
const table: Table = {
  address,
  flags: 0,
  chains: [{ name: "c", hook: 0, priority: -500, policy: NF_ACCEPT, rules: [fromPrefix] }],
};
const hex = (body: Uint8Array) => Buffer.from(body).toString("hex");

const CHAIN = [
  "01000000" + "0600010074000000" + "0600030063000000", // inet; table t; chain c
  "14000480" + "0800010000000000" + "08000200fffffe0c", // hook 0 with priority -500
  "0800050000000001" + "0b00070066696c7465720000", // policy accept, type filter
].join("");

const RULE = [
  "01000000" + "0600010074000000" + "0600020063000000",
  "84000480",
  "24000180" + "09000100" + "6d65746100000000" + "14000280" + "0800010000000001" + "0800020000000006",
  "2c000180" +
    "08000100" +
    "636d7000" +
    "20000280" +
    "0800010000000001" +
    "0800020000000000" +
    "0c000380" +
    "0700010063766800",
  "30000180" +
    "0e000100" +
    "696d6d6564696174650000" +
    "00" +
    "1c000280" +
    "0800010000000000" +
    "10000280" +
    "0c000280" +
    "0800010000000000",
].join("");

describe("a table", () => {
  const messages = replaceTable(table);

  it("is replaced by one that is made, deleted and made", () => {
    expect(messages.map(({ type }) => type)).toEqual([0xa00, 0xa02, 0xa00, 0xa03, 0xa06]);
    expect(messages.map(({ flags }) => flags)).toEqual([
      NLM_F_CREATE,
      0,
      NLM_F_CREATE,
      NLM_F_CREATE,
      NLM_F_CREATE | NLM_F_APPEND,
    ]);
    expect(hex(deleteTable(address).body)).toBe("01000000" + "0600010074000000");
    expect(hex(messages[0]?.body ?? Buffer.alloc(0))).toBe("01000000" + "0600010074000000" + "0800020000000000");
  });

  it("has chains and rules of these bytes", () => {
    expect(hex(messages[3]?.body ?? Buffer.alloc(0))).toBe(CHAIN);
    expect(hex(messages[4]?.body ?? Buffer.alloc(0))).toBe(RULE);
  });

  it("is of the ARP family where it says so", () => {
    expect(hex(deleteTable({ family: "arp", name: "t" }).body).slice(0, 8)).toBe("03000000");
  });

  it("is changed between two marks that ask for no acknowledgement", () => {
    const bytes = encodeBatch(transaction([deleteTable(address)]), 7);
    expect(hex(bytes.subarray(0, 20))).toBe("14000000" + "1000" + "0100" + "07000000" + "00000000" + "0000000a");
    expect(hex(bytes.subarray(20, 32))).toBe("1c000000" + "020a" + "0500" + "08000000");
    expect(hex(bytes.subarray(48))).toBe("14000000" + "1100" + "0100" + "09000000" + "00000000" + "0000000a");
  });
});

describe("what the kernel tells", () => {
  it("is read as it was written", () => {
    const [chain, rule] = [dumpChains(address), dumpRules(address)];
    const { rules: _, ...wanted } = table.chains[0] ?? { rules: [] };
    expect(chain.answerType).toBe(0xa03);
    expect(chain.decode(Buffer.from(CHAIN, "hex"))).toEqual({ ...wanted, table: "t" });
    expect(rule.answerType).toBe(0xa06);
    expect(rule.decode(Buffer.from(RULE, "hex"))).toEqual({ table: "t", chain: "c", expressions: fromPrefix });
  });

  it("of a table: its flags", () => {
    const dormant = Buffer.from("01000000" + "0600010074000000" + "0800020000000001", "hex");
    expect(dumpTables(address).decode(dormant)).toEqual({ flags: 1 });
    expect(dumpTables({ ...address, name: "other" }).decode(dormant)).toBeUndefined();
  });

  it("of others' tables, and of chains without hook, is left out", () => {
    const other = { ...address, name: "u" };
    expect(dumpChains(other).decode(Buffer.from(CHAIN, "hex"))).toBeUndefined();
    expect(dumpRules(other).decode(Buffer.from(RULE, "hex"))).toBeUndefined();
    expect(dumpChains(address).decode(Buffer.from(CHAIN.slice(0, 40), "hex"))).toBeUndefined();
  });

  it.each(["", "01", "0100000008000100", "010000000600010074000000ffff"])("damaged (%s) is refused", (bytes) => {
    const damaged = Buffer.from(bytes, "hex");
    for (const { decode } of [dumpChains(address), dumpRules(address)]) {
      expect(() => decode(damaged)).toThrow(expect.objectContaining({ code: "PROTOCOL" }));
    }
  });
});

describe("expressions", () => {
  const read = (expressions: readonly Expression[]) =>
    readExpressions(encodeAttributes(expressionAttributes(expressions)));

  it("come back as they went", () => {
    const all: readonly Expression[] = [
      { kind: "meta", key: META_L4PROTO },
      { kind: "transport", offsetBytes: 2, lengthBytes: 2 },
      { kind: "equals", hex: "12b5" },
      { kind: "counter" },
      drop,
      { kind: "other", name: "limit" },
    ];
    expect(read(all)).toEqual(all);
  });

  it.each([
    ["a comparison that is not for equality", "cmp", { 1: 1, 2: 1 }],
    ["a comparison of another register", "cmp", { 1: 2, 2: 0 }],
    ["a load into another register", "meta", { 1: 2, 2: 6 }],
    ["bytes of another header", "payload", { 1: 1, 2: 1, 3: 0, 4: 2 }],
    ["a value in place of a verdict", "immediate", { 1: 1 }],
  ])("%s is none of ours", (_what, name, numbers) => {
    const number = (value: number) => value.toString(16).padStart(8, "0");
    const data = Object.entries(numbers)
      .map(([type, value]) => `08000${type}00${number(value)}`)
      .join("");
    const length = (bytes: number) => `${bytes.toString(16).padStart(2, "0")}00`;
    const text = Buffer.from(`${name}\0`).toString("hex");
    const padded = text.padEnd(Math.ceil(text.length / 8) * 8, "0");
    const inner = `${length(4 + text.length / 2)}0100${padded}${length(4 + data.length / 2)}0280${data}`;
    const list = Buffer.from(`${length(4 + inner.length / 2)}0180${inner}`, "hex");
    expect(readExpressions(list)).toEqual([{ kind: "other", name }]);
  });
});
