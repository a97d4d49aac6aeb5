import fc from "fast-check";
import { ipv4TextOf, ipv6TextOf, macText } from "../../../../state/address-codec.ts";
import { prefixMask } from "../mask.ts";
import type { Match } from "../match.ts";
import type { Masked } from "../values.ts";

/** `bytes` random bytes. */
function bytesOf(bytes: number): fc.Arbitrary<Buffer> {
  return fc.uint8Array({ minLength: bytes, maxLength: bytes }).map((array) => Buffer.from(array));
}

function and(value: Buffer, mask: Buffer): Buffer {
  return Buffer.from(value.map((byte, index) => byte & (mask[index] ?? 0)));
}

export const mac: fc.Arbitrary<string> = bytesOf(6).map(macText);
export const ipv4: fc.Arbitrary<string> = bytesOf(4).map(ipv4TextOf);
export const ipv6: fc.Arbitrary<string> = bytesOf(16).map(ipv6TextOf);

function isPartial(mask: Buffer): boolean {
  return mask.some((byte) => byte !== 0) && mask.some((byte) => byte !== 0xff);
}

/** Addresses with masks, in the canonical form in which they are decoded. */
const maskedMac = fc.tuple(bytesOf(6), bytesOf(6).filter(isPartial)).map(([value, mask]) => {
  return `${macText(and(value, mask))}/${macText(mask)}`;
});

function withPrefix(bytes: number, format: (value: Buffer) => string): fc.Arbitrary<string> {
  return fc.tuple(bytesOf(bytes), fc.integer({ min: 1, max: bytes * 8 - 1 })).map(([value, length]) => {
    return `${format(and(value, prefixMask(length, bytes)))}/${length}`;
  });
}

export const anyMac = fc.oneof(mac, maskedMac);
export const anyIpv4 = fc.oneof(ipv4, withPrefix(4, ipv4TextOf));
export const anyIpv6 = fc.oneof(ipv6, withPrefix(16, ipv6TextOf));

export function uint(bits: number): fc.Arbitrary<number> {
  return fc.integer({ min: 0, max: 2 ** bits - 1 });
}

/** A number, or some bits of one. */
export function maskedUint(bits: number): fc.Arbitrary<number | Masked<number>> {
  const full = 2 ** bits - 1;
  const masked = fc
    .tuple(uint(bits), fc.integer({ min: 1, max: full - 1 }))
    .map(([value, mask]) => ({ value: Number(BigInt(value) & BigInt(mask)), mask }));
  return fc.oneof(uint(bits), masked);
}

export function maskedBig(bits: number): fc.Arbitrary<bigint | Masked<bigint>> {
  const full = 2n ** BigInt(bits) - 1n;
  const masked = fc
    .tuple(fc.bigInt({ min: 0n, max: full }), fc.bigInt({ min: 1n, max: full - 1n }))
    .map(([value, mask]) => ({ value: value & mask, mask }));
  return fc.oneof(fc.bigInt({ min: 0n, max: full }), masked);
}

/** Flags in the order in which they are decoded. */
const ctState = fc
  .array(fc.constantFrom("", "+", "-"), { minLength: 8, maxLength: 8 })
  .map((signs) =>
    ["new", "est", "rel", "rpl", "inv", "trk", "snat", "dnat"].map((name, bit) =>
      signs[bit] ? signs[bit] + name : "",
    ),
  )
  .map((parts) => parts.join(""))
  .filter((text) => text !== "");

const vlan: fc.Arbitrary<Match> = fc.oneof(
  fc.constant({}),
  fc.record({ vlanVid: fc.constant("none" as const) }),
  fc.record(
    { vlanVid: fc.oneof(uint(12), fc.constant("any" as const)), vlanPcp: uint(3) },
    { requiredKeys: ["vlanVid"] },
  ),
);

function registers(): Record<`reg${number}`, fc.Arbitrary<number | Masked<number>>> {
  return Object.fromEntries(Array.from({ length: 16 }, (_, index) => [`reg${index}`, maskedUint(32)]));
}

/** Fields that presuppose nothing. */
export const metadataMatch: fc.Arbitrary<Match> = fc.record(
  {
    inPort: fc.oneof(fc.integer({ min: 1, max: 0xfeff }), fc.constant("local" as const)),
    metadata: maskedBig(64),
    tunId: maskedBig(64),
    tunSrc: anyIpv4,
    tunDst: anyIpv4,
    tunIpv6Src: anyIpv6,
    tunIpv6Dst: anyIpv6,
    tunFlags: uint(1),
    tunGbpId: maskedUint(16),
    tunGbpFlags: maskedUint(8),
    pktMark: maskedUint(32),
    ctState,
    ctZone: uint(16),
    ctMark: maskedUint(32),
    ctLabel: maskedBig(128),
    conjId: uint(32),
    ethSrc: anyMac,
    ethDst: anyMac,
    ...registers(),
  },
  { requiredKeys: [] },
) as fc.Arbitrary<Match>;

const ipCommon = {
  ipDscp: uint(6),
  ipEcn: uint(2),
  ipTtl: uint(8),
  // Later fragments have no transport header to match.
  ipFrag: fc.constantFrom("no" as const, "yes" as const, "first" as const, "not_later" as const),
};
const anyFrag = { ipFrag: fc.constantFrom("no" as const, "yes" as const, "first" as const, "later" as const) };
const v4 = { ethType: fc.constant(0x0800), ipv4Src: anyIpv4, ipv4Dst: anyIpv4, ...ipCommon };
const v6 = { ethType: fc.constant(0x86dd), ipv6Src: anyIpv6, ipv6Dst: anyIpv6, ipv6Label: maskedUint(20), ...ipCommon };
const ports = maskedUint(16);
const transports = [
  { ipProto: fc.constant(6), tcpSrc: ports, tcpDst: ports, tcpFlags: maskedUint(12) },
  { ipProto: fc.constant(17), udpSrc: ports, udpDst: ports },
  { ipProto: fc.constant(132), sctpSrc: ports, sctpDst: ports },
  { ipProto: fc.integer({ min: 200, max: 255 }) },
];
const nd = { target: anyIpv6, mac: anyMac };

function some(model: Record<string, fc.Arbitrary<unknown>>): fc.Arbitrary<Match> {
  const always = ["ethType", "ipProto", "icmpv6Type"].filter((name) => name in model);
  return fc.record(model, { requiredKeys: always }) as fc.Arbitrary<Match>;
}

/** Matches on one kind of traffic each, complete with what its fields presuppose. */
export const ipMatch: fc.Arbitrary<Match> = fc.oneof(
  some({ ...v4, ...anyFrag }),
  some({ ...v6, ...anyFrag }),
  ...transports.map((transport) => some({ ...v4, ...transport })),
  ...transports.map((transport) => some({ ...v6, ...transport })),
  some({ ...v4, ipProto: fc.constant(1), icmpType: uint(8), icmpCode: uint(8) }),
  some({ ...v6, ipProto: fc.constant(58), icmpv6Type: uint(7), icmpv6Code: uint(8) }),
  some({ ...v6, ipProto: fc.constant(58), icmpv6Type: fc.constant(135), ndTarget: nd.target, ndSll: nd.mac }),
  some({ ...v6, ipProto: fc.constant(58), icmpv6Type: fc.constant(136), ndTarget: nd.target, ndTll: nd.mac }),
  some({
    ...v6,
    ipProto: fc.constant(58),
    icmpv6Type: fc.constantFrom(135, 136),
    ndReserved: uint(32),
    ndOptionsType: uint(8),
  }),
);

const arpMatch = some({
  ethType: fc.constant(0x0806),
  arpOp: fc.integer({ min: 1, max: 255 }),
  arpSpa: anyIpv4,
  arpTpa: anyIpv4,
  arpSha: anyMac,
  arpTha: anyMac,
});

const otherMatch = fc.oneof(fc.constant({}), some({ ethType: fc.integer({ min: 0x9000, max: 0xffff }) }));

export function matchOf(traffic: fc.Arbitrary<Match>): fc.Arbitrary<Match> {
  return fc.tuple(metadataMatch, vlan, traffic).map(([a, b, c]) => ({ ...a, ...b, ...c }));
}

/** Any match, as it would be decoded. */
export const anyMatch: fc.Arbitrary<Match> = matchOf(fc.oneof(ipMatch, arpMatch, otherMatch));
/** IP, but not of an invalid connection: such cannot be committed. */
export const anyIpMatch: fc.Arbitrary<Match> = matchOf(ipMatch).filter(({ ctState }) => !ctState?.includes("+inv"));
