import { ipv4Number, ipv4TextOf, ipv6Bytes, ipv6TextOf } from "../../../state/address-codec.ts";
import { NetError } from "../../../state/errors.ts";
import type { Action, Bits, CtAction, Nat } from "./action.ts";
import { bitsOf, checked, endAction, NXAST, nxmHeader, packBits, resolveBits, startNicira } from "./action-wire.ts";
import {
  getBytes,
  getU8,
  getU16,
  getU32,
  putBytes,
  putU8,
  putU16,
  putU32,
  putZeros,
  type Reader,
  remaining,
  skip,
  type Writer,
} from "./bytes.ts";

/** ofp-actions.c, enum nx_conntrack_flags. */
const CT_COMMIT = 1;
const CT_FORCE = 2;
const ZONE_BITS = 16;
/** NX_CT_RECIRC_NONE: the packet is not sent on. */
const NO_TABLE = 0xff;
/** ofp-actions.c, struct nx_action_conntrack: the application's well-known port stands for the helper. */
const ALG_PORTS = { ftp: 21, tftp: 69 } as const;

/** ofp-actions.c, enum nx_nat_flags. */
const NAT_FLAGS = { src: 1, dst: 2, persistent: 4, hash: 8, random: 16 } as const;
/** ofp-actions.c, enum nx_nat_range: which values follow, in this order. */
const RANGE = { ipv4Min: 1, ipv4Max: 2, ipv6Min: 4, ipv6Max: 8, portMin: 16, portMax: 32 } as const;

type PutActions = (writer: Writer, actions: readonly Action[]) => void;
type GetActions = (reader: Reader) => Action[];

/** NXAST_CT (35): struct nx_action_conntrack, then the nested actions. */
export function putCt(writer: Writer, action: CtAction, putActions: PutActions): void {
  const start = startNicira(writer, NXAST.ct);
  putU16(writer, (action.commit ? CT_COMMIT : 0) | (action.force ? CT_FORCE : 0));
  putZone(writer, action.zone ?? 0);
  putU8(writer, checked(action.table ?? NO_TABLE, 8, "ct table"));
  putZeros(writer, 3);
  putU16(writer, action.alg === undefined ? 0 : ALG_PORTS[action.alg]);
  if (action.nat !== undefined) putNat(writer, action.nat);
  putActions(writer, action.exec ?? []);
  endAction(writer, start);
}

function putZone(writer: Writer, zone: NonNullable<CtAction["zone"]>): void {
  if (typeof zone === "number") {
    putU32(writer, 0);
    putU16(writer, checked(zone, 16, "ct zone"));
    return;
  }
  const bits = resolveBits(zone);
  if (bits.bitCount !== ZONE_BITS) {
    throw new NetError("INVALID", `Cannot take ct zone from ${bits.bitCount} bits of ${zone.field}: it has 16`);
  }
  putU32(writer, nxmHeader(bits.spec));
  putU16(writer, packBits(bits));
}

function zoneField(header: number, packed: number): Bits | undefined {
  const bitCount = (packed & 0x3f) + 1;
  return bitCount === ZONE_BITS ? bitsOf(header, packed >> 6, bitCount) : undefined;
}

export function getCt(reader: Reader, getActions: GetActions): Action | undefined {
  const flags = getU16(reader);
  const zoneSource = getU32(reader);
  const zoneBits = getU16(reader);
  const zone = zoneSource === 0 ? zoneBits : zoneField(zoneSource, zoneBits);
  const table = getU8(reader);
  skip(reader, 3);
  const algPort = getU16(reader);
  const alg = algPort === ALG_PORTS.ftp ? "ftp" : algPort === ALG_PORTS.tftp ? "tftp" : undefined;
  const nat = peekNat(reader);
  if (zone === undefined || nat === "unknown" || (algPort !== 0 && alg === undefined)) return undefined;
  const exec = getActions(reader);
  return {
    kind: "ct",
    ...(flags & CT_COMMIT && { commit: true }),
    ...(flags & CT_FORCE && { force: true }),
    ...(zone !== 0 && { zone }),
    ...(table !== NO_TABLE && { table }),
    ...(nat !== undefined && { nat }),
    ...(exec.length > 0 && { exec }),
    ...(alg !== undefined && { alg }),
  };
}

/** NXAST_NAT (36): struct nx_action_nat, then the range's values. */
function putNat(writer: Writer, nat: Nat): void {
  const start = startNicira(writer, NXAST.nat);
  putZeros(writer, 2);
  const direction = nat.direction === undefined ? 0 : NAT_FLAGS[nat.direction];
  const persistent = nat.persistent ? NAT_FLAGS.persistent : 0;
  const choice = (nat.hash ? NAT_FLAGS.hash : 0) | (nat.random ? NAT_FLAGS.random : 0);
  putU16(writer, direction | persistent | choice);
  const rangeAt = writer.length;
  putU16(writer, 0);
  const present = putRange(writer, nat);
  writer.buffer[rangeAt + 1] = present;
  endAction(writer, start);
}

function putRange(writer: Writer, nat: Nat): number {
  let present = 0;
  for (const [text, v4, v6] of [
    [nat.addressMin, RANGE.ipv4Min, RANGE.ipv6Min],
    [nat.addressMax, RANGE.ipv4Max, RANGE.ipv6Max],
  ] as const) {
    if (text === undefined) continue;
    const address = ipv4Number(text) ?? ipv6Bytes(text);
    if (address === undefined) throw new NetError("INVALID", `Cannot encode nat: "${text}" is not an IP address`);
    if (typeof address === "number") putU32(writer, address);
    else putBytes(writer, address);
    present |= typeof address === "number" ? v4 : v6;
  }
  if (nat.portMin !== undefined) {
    putU16(writer, checked(nat.portMin, 16, "nat port"));
    present |= RANGE.portMin;
  }
  if (nat.portMax !== undefined) {
    putU16(writer, checked(nat.portMax, 16, "nat port"));
    present |= RANGE.portMax;
  }
  return present;
}

/** The nat action, when one comes next: Open vSwitch allows one, before all others. */
function peekNat(reader: Reader): Nat | "unknown" | undefined {
  if (remaining(reader) < 16) return undefined;
  const { buffer, offset } = reader;
  if (buffer.readUInt16BE(offset) !== 0xffff || buffer.readUInt16BE(offset + 8) !== NXAST.nat) return undefined;
  const end = offset + buffer.readUInt16BE(offset + 2);
  if (end > reader.end || end < offset + 16) return "unknown";
  const body: Reader = { buffer, offset: offset + 12, end };
  skip(reader, end - offset);
  return getNat(body);
}

function getNat(reader: Reader): Nat {
  const flags = getU16(reader);
  const present = getU16(reader);
  const v4 = (bit: number) => (present & bit ? ipv4TextOf(getBytes(reader, 4)) : undefined);
  const v6 = (bit: number) => (present & bit ? ipv6TextOf(getBytes(reader, 16)) : undefined);
  const port = (bit: number) => (present & bit ? getU16(reader) : undefined);
  const min4 = v4(RANGE.ipv4Min);
  const max4 = v4(RANGE.ipv4Max);
  const addressMin = v6(RANGE.ipv6Min) ?? min4;
  const addressMax = v6(RANGE.ipv6Max) ?? max4;
  const portMin = port(RANGE.portMin);
  const portMax = port(RANGE.portMax);
  const direction = flags & NAT_FLAGS.src ? "src" : flags & NAT_FLAGS.dst ? "dst" : undefined;
  return {
    ...(direction !== undefined && { direction }),
    ...(addressMin !== undefined && { addressMin }),
    ...(addressMax !== undefined && { addressMax }),
    ...(portMin !== undefined && { portMin }),
    ...(portMax !== undefined && { portMax }),
    ...(flags & NAT_FLAGS.persistent && { persistent: true }),
    ...(flags & NAT_FLAGS.hash && { hash: true }),
    ...(flags & NAT_FLAGS.random && { random: true }),
  };
}
