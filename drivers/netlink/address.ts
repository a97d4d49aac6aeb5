import { bytes, encodeBody, payloadOf, readAttributes, readText, readU32, u32 } from "./attributes.ts";
import { bytesToIp, type Family, familyName, familyNumber, ipToBytes, parsePrefix } from "./ip-address.ts";
import { fixedHeader, type Message, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, type Query } from "./message.ts";

/** linux/rtnetlink.h, linux/if_addr.h */
export const RTM_NEWADDR = 20;
export const RTM_DELADDR = 21;
const RTM_GETADDR = 22;
const IFADDRMSG_BYTES = 8;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_LABEL = 3;
const IFA_BROADCAST = 4;
const IFA_FLAGS = 8;
const IFA_F_NODAD = 0x02;
const IFA_F_DADFAILED = 0x08;
const IFA_F_TENTATIVE = 0x40;
const IFA_F_PERMANENT = 0x80;
const IFA_F_NOPREFIXROUTE = 0x200;

export interface AddressSpec {
  readonly ifindex: number;
  /** `10.0.0.2/24`, `2001:db8::2/64`. */
  readonly prefix: string;
  readonly broadcast?: string;
  /** IPv6: no duplicate address detection, so the address works at once. */
  readonly skipDuplicateDetection?: boolean;
  /** No route to the prefix is made along with the address. */
  readonly skipPrefixRoute?: boolean;
  /** EEXIST when the address is there already, instead of taking it over. */
  readonly exclusive?: boolean;
}

export interface AddressRow {
  readonly ifindex: number;
  readonly family: Family;
  readonly address: string;
  readonly prefixLengthBits: number;
  /** RT_SCOPE_…: 0 global, 253 link, 254 host. */
  readonly scope: number;
  readonly broadcast: string | undefined;
  readonly label: string | undefined;
  readonly permanent: boolean;
  readonly tentative: boolean;
  readonly duplicate: boolean;
  readonly skipsDuplicateDetection: boolean;
}

/** Gives a link an address. */
export function addAddress(spec: AddressSpec): Message {
  const flags =
    (spec.skipDuplicateDetection === true ? IFA_F_NODAD : 0) |
    (spec.skipPrefixRoute === true ? IFA_F_NOPREFIXROUTE : 0);
  const extra = [
    ...(spec.broadcast === undefined ? [] : [bytes(IFA_BROADCAST, ipToBytes(spec.broadcast))]),
    ...(flags === 0 ? [] : [u32(IFA_FLAGS, flags)]),
  ];
  return {
    deed: `add address ${spec.prefix} to link #${spec.ifindex}`,
    type: RTM_NEWADDR,
    flags: NLM_F_CREATE | (spec.exclusive === true ? NLM_F_EXCL : NLM_F_REPLACE),
    body: addressBody(spec, extra),
  };
}

/** Takes an address from a link; EADDRNOTAVAIL when it has no such address. */
export function deleteAddress(spec: Pick<AddressSpec, "ifindex" | "prefix">): Message {
  const deed = `delete address ${spec.prefix} from link #${spec.ifindex}`;
  return { deed, type: RTM_DELADDR, flags: 0, body: addressBody(spec, []) };
}

/** The addresses of the namespace, of a family, or of one link. */
export function dumpAddresses(filter: { readonly ifindex?: number; readonly family?: Family } = {}): Query<AddressRow> {
  const body = header(filter.family, 0, filter.ifindex ?? 0);
  const message = { deed: "list addresses", type: RTM_GETADDR, flags: 0, body };
  return { message, answerType: RTM_NEWADDR, decode: readAddress };
}

/** Decodes the body of RTM_NEWADDR or RTM_DELADDR; `undefined` for families other than IP. */
export function readAddress(body: Buffer): AddressRow | undefined {
  const fixed = fixedHeader(body, IFADDRMSG_BYTES, "an address");
  const family = familyName(fixed.readUInt8(0));
  const attributes = readAttributes(body, IFADDRMSG_BYTES);
  // On a point-to-point link IFA_ADDRESS is the other side's; IPv6 sends IFA_LOCAL only there.
  const local = attributes.get(IFA_LOCAL) ?? attributes.get(IFA_ADDRESS);
  if (family === undefined || local === undefined) return undefined;
  const flags = readU32(attributes, IFA_FLAGS) ?? fixed.readUInt8(2);
  const broadcast = payloadOf(attributes, IFA_BROADCAST, 4);
  return {
    ifindex: fixed.readUInt32LE(4),
    family,
    address: bytesToIp(local),
    prefixLengthBits: fixed.readUInt8(1),
    scope: fixed.readUInt8(3),
    broadcast: broadcast === undefined ? undefined : bytesToIp(broadcast),
    label: readText(attributes, IFA_LABEL),
    permanent: (flags & IFA_F_PERMANENT) !== 0,
    tentative: (flags & IFA_F_TENTATIVE) !== 0,
    duplicate: (flags & IFA_F_DADFAILED) !== 0,
    skipsDuplicateDetection: (flags & IFA_F_NODAD) !== 0,
  };
}

function addressBody(spec: Pick<AddressSpec, "ifindex" | "prefix">, extra: Parameters<typeof encodeBody>[1]): Buffer {
  const { family, address, lengthBits } = parsePrefix(spec.prefix);
  const local = ipToBytes(address);
  const attributes = [bytes(IFA_LOCAL, local), bytes(IFA_ADDRESS, local), ...extra];
  return encodeBody(header(family, lengthBits, spec.ifindex), attributes);
}

/** struct ifaddrmsg: u8 family, u8 prefix length, u8 flags, u8 scope, u32 index. */
function header(family: Family | undefined, lengthBits: number, ifindex: number): Buffer {
  const fixed = Buffer.alloc(IFADDRMSG_BYTES);
  fixed.writeUInt8(familyNumber(family), 0);
  fixed.writeUInt8(lengthBits, 1);
  fixed.writeUInt32LE(ifindex, 4);
  return fixed;
}
