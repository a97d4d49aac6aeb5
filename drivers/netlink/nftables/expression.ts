import {
  type Attribute,
  type AttributeMap,
  bytes,
  listAttributes,
  nested,
  readAttributes,
  readNested,
  readText,
  readU32Be,
  text,
  u32be,
} from "../attributes.ts";

/*
 * Expressions of a rule, linux/netfilter/nf_tables.h: they load into registers, compare, and end in a verdict. Only those that our
 * rules consist of are known; another one is read as `other`, so that a comparison sees that it is there.
 */

/** What a rule loads and compares, step by step; the first comparison that fails ends the rule. */
export type Expression =
  /** Loads what the kernel knows of the packet. */
  | { readonly kind: "meta"; readonly key: number }
  /** Loads bytes of the transport header. */
  | { readonly kind: "transport"; readonly offsetBytes: number; readonly lengthBytes: number }
  /** Goes on when the loaded value begins with these bytes. */
  | { readonly kind: "equals"; readonly hex: string }
  | { readonly kind: "counter" }
  | { readonly kind: "verdict"; readonly verdict: number }
  | { readonly kind: "other"; readonly name: string };

// enum nft_meta_keys
export const META_IIFNAME = 6;
export const META_OIFNAME = 7;
export const META_L4PROTO = 16;
/** linux/netfilter.h */
export const NF_DROP = 0;

// enum nft_list_attributes, nft_expr_attributes
const NFTA_LIST_ELEM = 1;
const NFTA_EXPR_NAME = 1;
const NFTA_EXPR_DATA = 2;
// enum nft_meta_attributes
const NFTA_META_DREG = 1;
const NFTA_META_KEY = 2;
// enum nft_payload_attributes, nft_payload_bases
const NFTA_PAYLOAD_DREG = 1;
const NFTA_PAYLOAD_BASE = 2;
const NFTA_PAYLOAD_OFFSET = 3;
const NFTA_PAYLOAD_LEN = 4;
const NFT_PAYLOAD_TRANSPORT_HEADER = 2;
// enum nft_cmp_attributes, nft_cmp_ops
const NFTA_CMP_SREG = 1;
const NFTA_CMP_OP = 2;
const NFTA_CMP_DATA = 3;
const NFT_CMP_EQ = 0;
// enum nft_immediate_attributes, nft_data_attributes, nft_verdict_attributes
const NFTA_IMMEDIATE_DREG = 1;
const NFTA_IMMEDIATE_DATA = 2;
const NFTA_DATA_VALUE = 1;
const NFTA_DATA_VERDICT = 2;
const NFTA_VERDICT_CODE = 1;
// enum nft_registers
const NFT_REG_VERDICT = 0;
const NFT_REG_1 = 1;

/** The expressions as the list that a rule carries. */
export function expressionAttributes(expressions: readonly Expression[]): readonly Attribute[] {
  return expressions.map((expression) => {
    const [name, data] = encoded(expression);
    return nested(NFTA_LIST_ELEM, [text(NFTA_EXPR_NAME, name), nested(NFTA_EXPR_DATA, data)]);
  });
}

/** Reads a rule's list. */
export function readExpressions(list: Buffer): readonly Expression[] {
  return listAttributes(list).map(([, element]) => {
    const attributes = readAttributes(element);
    return decoded(readText(attributes, NFTA_EXPR_NAME) ?? "", readNested(attributes, NFTA_EXPR_DATA));
  });
}

function encoded(expression: Expression): readonly [name: string, data: readonly Attribute[]] {
  switch (expression.kind) {
    case "meta":
      return ["meta", [u32be(NFTA_META_DREG, NFT_REG_1), u32be(NFTA_META_KEY, expression.key)]];
    case "transport":
      return [
        "payload",
        [
          u32be(NFTA_PAYLOAD_DREG, NFT_REG_1),
          u32be(NFTA_PAYLOAD_BASE, NFT_PAYLOAD_TRANSPORT_HEADER),
          u32be(NFTA_PAYLOAD_OFFSET, expression.offsetBytes),
          u32be(NFTA_PAYLOAD_LEN, expression.lengthBytes),
        ],
      ];
    case "equals": {
      const value = bytes(NFTA_DATA_VALUE, Buffer.from(expression.hex, "hex"));
      return ["cmp", [u32be(NFTA_CMP_SREG, NFT_REG_1), u32be(NFTA_CMP_OP, NFT_CMP_EQ), nested(NFTA_CMP_DATA, [value])]];
    }
    case "counter":
      return ["counter", []];
    case "verdict": {
      const verdict = nested(NFTA_DATA_VERDICT, [u32be(NFTA_VERDICT_CODE, expression.verdict)]);
      return ["immediate", [u32be(NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT), nested(NFTA_IMMEDIATE_DATA, [verdict])]];
    }
    case "other":
      return [expression.name, []];
  }
}

function decoded(name: string, data: AttributeMap): Expression {
  switch (name) {
    case "meta":
      return isLoad(data, NFTA_META_DREG) ? { kind: "meta", key: readU32Be(data, NFTA_META_KEY) ?? -1 } : other(name);
    case "payload":
      return readPayload(data);
    case "cmp":
      return readComparison(data);
    case "counter":
      return { kind: "counter" };
    case "immediate":
      return readVerdict(data);
    default:
      return other(name);
  }
}

function isLoad(data: AttributeMap, register: number): boolean {
  return readU32Be(data, register) === NFT_REG_1;
}

function readPayload(data: AttributeMap): Expression {
  const offsetBytes = readU32Be(data, NFTA_PAYLOAD_OFFSET);
  const lengthBytes = readU32Be(data, NFTA_PAYLOAD_LEN);
  const isTransport = readU32Be(data, NFTA_PAYLOAD_BASE) === NFT_PAYLOAD_TRANSPORT_HEADER;
  if (!isTransport || !isLoad(data, NFTA_PAYLOAD_DREG) || offsetBytes === undefined || lengthBytes === undefined) {
    return other("payload");
  }
  return { kind: "transport", offsetBytes, lengthBytes };
}

function readComparison(data: AttributeMap): Expression {
  const value = readNested(data, NFTA_CMP_DATA).get(NFTA_DATA_VALUE);
  const isEqual = readU32Be(data, NFTA_CMP_OP) === NFT_CMP_EQ;
  if (!isEqual || !isLoad(data, NFTA_CMP_SREG) || value === undefined) return other("cmp");
  return { kind: "equals", hex: value.toString("hex") };
}

function readVerdict(data: AttributeMap): Expression {
  const verdict = readNested(readNested(data, NFTA_IMMEDIATE_DATA), NFTA_DATA_VERDICT);
  const code = readU32Be(verdict, NFTA_VERDICT_CODE);
  if (readU32Be(data, NFTA_IMMEDIATE_DREG) !== NFT_REG_VERDICT || code === undefined) return other("immediate");
  return { kind: "verdict", verdict: code };
}

function other(name: string): Expression {
  return { kind: "other", name };
}
