import { macText } from "../../state/address-codec.ts";
import { bytes, encodeBody, optional, readAttributes, u32 } from "./attributes.ts";
import { macToBytes } from "./hardware-address.ts";
import { bytesToIp, type Family, familyName, familyNumber, familyOf, ipToBytes } from "./ip-address.ts";
import { fixedHeader, type Message, NLM_F_CREATE, NLM_F_REPLACE, type Query } from "./message.ts";

/** linux/rtnetlink.h, linux/neighbour.h */
const RTM_NEWNEIGH = 28;
const RTM_DELNEIGH = 29;
const RTM_GETNEIGH = 30;
const NDMSG_BYTES = 12;
const NDA_DST = 1;
const NDA_LLADDR = 2;
const NDA_IFINDEX = 8;

const STATES = {
  none: 0,
  incomplete: 0x01,
  reachable: 0x02,
  stale: 0x04,
  delay: 0x08,
  probe: 0x10,
  failed: 0x20,
  noarp: 0x40,
  permanent: 0x80,
} as const;

export type NeighbourState = keyof typeof STATES;

const STATE_NAMES: ReadonlyMap<number, NeighbourState> = new Map(
  (Object.keys(STATES) as NeighbourState[]).map((name) => [STATES[name], name]),
);

export interface NeighbourSpec {
  readonly ifindex: number;
  readonly address: string;
  readonly mac: string;
  /** Permanent by default: the kernel never asks for it and never forgets it. */
  readonly state?: NeighbourState;
}

export interface NeighbourRow {
  readonly ifindex: number;
  readonly family: Family;
  readonly address: string;
  /** Absent while it is not resolved. */
  readonly mac: string | undefined;
  readonly state: NeighbourState;
}

/** Adds or replaces an entry of the ARP or ND table. */
export function addNeighbour(spec: NeighbourSpec): Message {
  const { ifindex, address, mac, state = "permanent" } = spec;
  const attributes = [bytes(NDA_DST, ipToBytes(address)), bytes(NDA_LLADDR, macToBytes(mac))];
  return {
    deed: `add neighbour ${address} on link #${ifindex}`,
    type: RTM_NEWNEIGH,
    flags: NLM_F_CREATE | NLM_F_REPLACE,
    body: encodeBody(header(familyOf(address), ifindex, STATES[state]), attributes),
  };
}

/** Deletes an entry; ENOENT when there is none. */
export function deleteNeighbour({ ifindex, address }: Pick<NeighbourSpec, "ifindex" | "address">): Message {
  const body = encodeBody(header(familyOf(address), ifindex, 0), [bytes(NDA_DST, ipToBytes(address))]);
  return { deed: `delete neighbour ${address} on link #${ifindex}`, type: RTM_DELNEIGH, flags: 0, body };
}

/** The ARP and ND entries of the namespace, of a family, or of one link. */
export function dumpNeighbours({ ifindex, family }: { ifindex?: number; family?: Family } = {}): Query<NeighbourRow> {
  // The strict check wants the filter as an attribute and an empty header.
  const body = encodeBody(header(family, 0, 0), [...optional(ifindex, (index) => u32(NDA_IFINDEX, index))]);
  const message = { deed: "list neighbours", type: RTM_GETNEIGH, flags: 0, body };
  return { message, answerType: RTM_NEWNEIGH, decode: readNeighbour };
}

/** Decodes the body of RTM_NEWNEIGH; `undefined` for families other than IP (bridge tables). */
export function readNeighbour(body: Buffer): NeighbourRow | undefined {
  const fixed = fixedHeader(body, NDMSG_BYTES, "a neighbour");
  const family = familyName(fixed.readUInt8(0));
  const attributes = readAttributes(body, NDMSG_BYTES);
  const address = attributes.get(NDA_DST);
  if (family === undefined || address === undefined) return undefined;
  const mac = attributes.get(NDA_LLADDR);
  return {
    ifindex: fixed.readInt32LE(4),
    family,
    address: bytesToIp(address),
    mac: mac === undefined ? undefined : macText(mac),
    state: STATE_NAMES.get(fixed.readUInt16LE(8)) ?? "none",
  };
}

/** struct ndmsg: u8 family, three bytes of padding, s32 ifindex, u16 state, u8 flags, u8 type. */
function header(family: Family | undefined, ifindex: number, state: number): Buffer {
  const fixed = Buffer.alloc(NDMSG_BYTES);
  fixed.writeUInt8(familyNumber(family), 0);
  fixed.writeInt32LE(ifindex, 4);
  fixed.writeUInt16LE(state, 8);
  return fixed;
}
