import {
  type Attribute,
  encodeBody,
  nested,
  readAttributes,
  readNested,
  readText,
  readU32Be,
  text,
  u32be,
} from "../attributes.ts";
import { fixedHeader, type Message, NLM_F_APPEND, NLM_F_CREATE, type Query } from "../message.ts";
import { type Expression, expressionAttributes, readExpressions } from "./expression.ts";

/*
 * Tables, chains and rules of nftables over nfnetlink (linux/netfilter/nfnetlink.h, nf_tables.h). Everything between the two marks of a
 * transaction becomes effective at once or not at all. Numbers are in network order.
 */

/** Address families that a table can be of; `inet` is IPv4 and IPv6 together, `bridge` what the kernel's bridges forward. */
export type TableFamily = "inet" | "arp" | "bridge";

export interface TableAddress {
  readonly family: TableFamily;
  readonly name: string;
}

/** A chain that the kernel calls at a hook, with its rules. */
export interface BaseChain {
  readonly name: string;
  /** NF_INET_…, NF_ARP_… or NF_BR_…; 0 is prerouting, and input of the ARP family. */
  readonly hook: number;
  readonly priority: number;
  /** What becomes of packets that no rule has decided: NF_DROP or NF_ACCEPT. */
  readonly policy: number;
  readonly rules: readonly (readonly Expression[])[];
}

/** A table with nothing but base chains of type "filter". */
export interface Table {
  readonly address: TableAddress;
  /** NFT_TABLE_F_…; 1 is dormant: nothing in it is effective. */
  readonly flags: number;
  readonly chains: readonly BaseChain[];
}

export interface ChainRow extends Omit<BaseChain, "rules"> {
  readonly table: string;
}

export interface RuleRow {
  readonly table: string;
  readonly chain: string;
  readonly expressions: readonly Expression[];
}

// linux/netfilter.h
export const NF_ACCEPT = 1;
const FAMILIES: Readonly<Record<TableFamily, number>> = { inet: 1, arp: 3, bridge: 7 };

const NFNL_SUBSYS_NFTABLES = 10;
const NFNL_MSG_BATCH_BEGIN = 0x10;
const NFNL_MSG_BATCH_END = 0x11;
const NFGENMSG_BYTES = 4;

// enum nf_tables_msg_types
const NFT_MSG_NEWTABLE = 0;
const NFT_MSG_GETTABLE = 1;
const NFT_MSG_DELTABLE = 2;
const NFT_MSG_NEWCHAIN = 3;
const NFT_MSG_GETCHAIN = 4;
const NFT_MSG_NEWRULE = 6;
const NFT_MSG_GETRULE = 7;

const NFTA_TABLE_NAME = 1;
const NFTA_TABLE_FLAGS = 2;
const NFTA_CHAIN_TABLE = 1;
const NFTA_CHAIN_NAME = 3;
const NFTA_CHAIN_HOOK = 4;
const NFTA_CHAIN_POLICY = 5;
const NFTA_CHAIN_TYPE = 7;
const NFTA_HOOK_HOOKNUM = 1;
const NFTA_HOOK_PRIORITY = 2;
const NFTA_RULE_TABLE = 1;
const NFTA_RULE_CHAIN = 2;
const NFTA_RULE_EXPRESSIONS = 4;

/** Messages in a transaction of their own. */
export function transaction(messages: readonly Message[]): readonly Message[] {
  return [batchMark(NFNL_MSG_BATCH_BEGIN), ...messages, batchMark(NFNL_MSG_BATCH_END)];
}

/** In place of whatever the table of that name holds, this; without a moment in between. */
export function replaceTable(table: Table): readonly Message[] {
  const { address } = table;
  return [
    createTable(address, 0), // so that there is one to delete
    deleteTable(address),
    createTable(address, table.flags),
    ...table.chains.map((chain) => createChain(address, chain)),
    ...table.chains.flatMap((chain) => chain.rules.map((rule) => appendRule(address, chain.name, rule))),
  ];
}

/** Removes a table with everything in it; ENOENT when there is none. */
export function deleteTable(address: TableAddress): Message {
  return nftables(NFT_MSG_DELTABLE, 0, address, [text(NFTA_TABLE_NAME, address.name)], "delete");
}

/** The flags of the tables of that name and family: one row, or none. */
export function dumpTables(address: TableAddress): Query<{ readonly flags: number }> {
  return query(NFT_MSG_GETTABLE, NFT_MSG_NEWTABLE, address, [], (body) => {
    const attributes = readAttributes(body, NFGENMSG_BYTES);
    if (readText(attributes, NFTA_TABLE_NAME) !== address.name) return undefined;
    return { flags: readU32Be(attributes, NFTA_TABLE_FLAGS) ?? 0 };
  });
}

/** The base chains of a table. Chains that hang on no hook are left out: only a rule could lead there. */
export function dumpChains(address: TableAddress): Query<ChainRow> {
  return query(NFT_MSG_GETCHAIN, NFT_MSG_NEWCHAIN, address, [], (body) => {
    const chain = readChain(body);
    return chain?.table === address.name ? chain : undefined;
  });
}

/** The rules of a table in their order, chain by chain. */
export function dumpRules(address: TableAddress): Query<RuleRow> {
  const filter = [text(NFTA_RULE_TABLE, address.name)];
  return query(NFT_MSG_GETRULE, NFT_MSG_NEWRULE, address, filter, (body) => {
    const rule = readRule(body);
    return rule.table === address.name ? rule : undefined;
  });
}

function readChain(body: Buffer): ChainRow | undefined {
  fixedHeader(body, NFGENMSG_BYTES, "a chain");
  const attributes = readAttributes(body, NFGENMSG_BYTES);
  const hook = readNested(attributes, NFTA_CHAIN_HOOK);
  const hookNumber = readU32Be(hook, NFTA_HOOK_HOOKNUM);
  if (hookNumber === undefined) return undefined;
  return {
    table: readText(attributes, NFTA_CHAIN_TABLE) ?? "",
    name: readText(attributes, NFTA_CHAIN_NAME) ?? "",
    hook: hookNumber,
    priority: (readU32Be(hook, NFTA_HOOK_PRIORITY) ?? 0) | 0, // signed
    policy: readU32Be(attributes, NFTA_CHAIN_POLICY) ?? NF_ACCEPT,
  };
}

function readRule(body: Buffer): RuleRow {
  fixedHeader(body, NFGENMSG_BYTES, "a rule");
  const attributes = readAttributes(body, NFGENMSG_BYTES);
  return {
    table: readText(attributes, NFTA_RULE_TABLE) ?? "",
    chain: readText(attributes, NFTA_RULE_CHAIN) ?? "",
    expressions: readExpressions(attributes.get(NFTA_RULE_EXPRESSIONS) ?? Buffer.alloc(0)),
  };
}

function createTable(address: TableAddress, flags: number): Message {
  const attributes = [text(NFTA_TABLE_NAME, address.name), u32be(NFTA_TABLE_FLAGS, flags)];
  return nftables(NFT_MSG_NEWTABLE, NLM_F_CREATE, address, attributes, "create");
}

function createChain(address: TableAddress, chain: BaseChain): Message {
  const attributes = [
    text(NFTA_CHAIN_TABLE, address.name),
    text(NFTA_CHAIN_NAME, chain.name),
    nested(NFTA_CHAIN_HOOK, [u32be(NFTA_HOOK_HOOKNUM, chain.hook), u32be(NFTA_HOOK_PRIORITY, chain.priority >>> 0)]),
    u32be(NFTA_CHAIN_POLICY, chain.policy),
    text(NFTA_CHAIN_TYPE, "filter"),
  ];
  return nftables(NFT_MSG_NEWCHAIN, NLM_F_CREATE, address, attributes, `create chain "${chain.name}" of`);
}

function appendRule(address: TableAddress, chain: string, rule: readonly Expression[]): Message {
  const attributes = [
    text(NFTA_RULE_TABLE, address.name),
    text(NFTA_RULE_CHAIN, chain),
    nested(NFTA_RULE_EXPRESSIONS, expressionAttributes(rule)),
  ];
  return nftables(
    NFT_MSG_NEWRULE,
    NLM_F_CREATE | NLM_F_APPEND,
    address,
    attributes,
    `add a rule to chain "${chain}" of`,
  );
}

function nftables(
  type: number,
  flags: number,
  address: TableAddress,
  attributes: readonly Attribute[],
  deed: string,
): Message {
  return {
    deed: `${deed} table ${address.family} "${address.name}"`,
    type: (NFNL_SUBSYS_NFTABLES << 8) | type,
    flags,
    body: encodeBody(nfgenmsg(FAMILIES[address.family], 0), attributes),
  };
}

function query<Row>(
  type: number,
  answer: number,
  address: TableAddress,
  filter: readonly Attribute[],
  decode: (body: Buffer) => Row | undefined,
): Query<Row> {
  return {
    message: nftables(type, 0, address, filter, "read"),
    answerType: (NFNL_SUBSYS_NFTABLES << 8) | answer,
    decode,
  };
}

/** Kernels before 6.10 acknowledge neither mark, whatever it asks for. */
function batchMark(type: number): Message {
  return {
    deed: "change nftables",
    type,
    flags: 0,
    body: nfgenmsg(0, NFNL_SUBSYS_NFTABLES),
    isUnacknowledged: true,
  };
}

/** struct nfgenmsg: u8 family, u8 version, u16 resource in network order. */
function nfgenmsg(family: number, resource: number): Buffer {
  const header = Buffer.alloc(NFGENMSG_BYTES);
  header.writeUInt8(family, 0);
  header.writeUInt16BE(resource, 2);
  return header;
}
