import { NetError } from "../../state/errors.ts";
import {
  type AttributeMap,
  encodeBody,
  flag,
  listAttributes,
  nested,
  readAttributes,
  readNested,
  readText,
  readU16,
  readU32,
  text,
  u32,
} from "./attributes.ts";
import { fixedHeader, type Message, type Query } from "./message.ts";
import { type NetlinkOptions, type NetlinkSocket, openNetlink, type RequestOptions } from "./socket.ts";

/*
 * ethtool over generic netlink (linux/ethtool_netlink.h, Documentation/networking/ethtool-netlink.rst). The older
 * ioctl would wait for the kernel's network lock on the event loop; this waits on a thread of the pool.
 */

/** Names of linux/netdev_features; `ethtool -k` shows them. */
export const TX_CHECKSUM_FEATURES = [
  "tx-checksum-ipv4",
  "tx-checksum-ip-generic",
  "tx-checksum-ipv6",
  "tx-checksum-sctp",
] as const;

export interface FeatureRow {
  readonly ifindex: number;
  readonly name: string;
  /** Features that are on now. */
  readonly active: ReadonlySet<string>;
  /** Features that can be changed. */
  readonly changeable: ReadonlySet<string>;
}

/** Talks to the ethtool family of one namespace; one request at a time. */
export interface Ethtool extends Disposable {
  /** Switches features of a link on or off. Those the link does not have stay as they are. */
  setFeatures(ifindex: number, features: readonly string[], on: boolean, options?: RequestOptions): Promise<void>;
  readFeatures(ifindex: number, options?: RequestOptions): Promise<FeatureRow>;
  /**
   * As `ethtool -K … tx off`: packets leave with finished checksums, which a userspace switch needs; without it ping
   * works and TCP does not. Reads back, and is UNSUPPORTED when the link keeps a checksum feature on.
   */
  disableTxChecksum(ifindex: number, options?: RequestOptions): Promise<void>;
}

// linux/genetlink.h
const GENL_ID_CTRL = 16;
const CTRL_CMD_GETFAMILY = 3;
const CTRL_ATTR_FAMILY_ID = 1;
const CTRL_ATTR_FAMILY_NAME = 2;
const GENLMSG_BYTES = 4; // struct genlmsghdr: u8 command, u8 version, u16 reserved
// linux/ethtool_netlink_generated.h
const ETHTOOL_MSG_FEATURES_GET = 11;
const ETHTOOL_MSG_FEATURES_SET = 12;
const ETHTOOL_A_FEATURES_HEADER = 1;
const ETHTOOL_A_FEATURES_HW = 2;
const ETHTOOL_A_FEATURES_WANTED = 3;
const ETHTOOL_A_FEATURES_ACTIVE = 4;
const ETHTOOL_A_HEADER_DEV_INDEX = 1;
const ETHTOOL_A_HEADER_DEV_NAME = 2;
const ETHTOOL_A_HEADER_FLAGS = 3;
const ETHTOOL_FLAG_OMIT_REPLY = 2;
const ETHTOOL_A_BITSET_NOMASK = 1;
const ETHTOOL_A_BITSET_BITS = 3;
const ETHTOOL_A_BITSET_BITS_BIT = 1;
const ETHTOOL_A_BITSET_BIT_NAME = 2;
const ETHTOOL_A_BITSET_BIT_VALUE = 3;

/** Opens a generic netlink socket. The family's number is asked for with the first request. */
export function openEthtool(options: Omit<NetlinkOptions, "family"> = {}): Ethtool {
  const socket = openNetlink({ ...options, family: "generic" });
  let familyId: number | undefined;

  async function family(request: RequestOptions | undefined): Promise<number> {
    familyId ??= await resolveFamily(socket, request);
    return familyId;
  }

  const self: Ethtool = {
    async setFeatures(ifindex, features, on, request) {
      await socket.execute([featuresSet(await family(request), { ifindex, features, on })], request);
    },
    async readFeatures(ifindex, request) {
      return socket.get(featuresGet(await family(request), ifindex), request);
    },
    async disableTxChecksum(ifindex, request) {
      await self.setFeatures(ifindex, TX_CHECKSUM_FEATURES, false, request);
      const { name, active } = await self.readFeatures(ifindex, request);
      const left = TX_CHECKSUM_FEATURES.filter((feature) => active.has(feature));
      if (left.length === 0) return;
      throw new NetError("UNSUPPORTED", `Cannot switch off ${left.join(", ")} of link "${name}": it is fixed`);
    },
    [Symbol.dispose]: () => socket[Symbol.dispose](),
  };
  return self;
}

/** Request to switch features; pure. */
export function featuresSet(
  familyId: number,
  { ifindex, features, on }: { readonly ifindex: number; readonly features: readonly string[]; readonly on: boolean },
): Message {
  const bits = features.map((name) =>
    nested(ETHTOOL_A_BITSET_BITS_BIT, [
      text(ETHTOOL_A_BITSET_BIT_NAME, name),
      ...(on ? [flag(ETHTOOL_A_BITSET_BIT_VALUE)] : []), // a bit of the list without a value is to be cleared
    ]),
  );
  return {
    deed: `switch ${features.join(", ")} of link #${ifindex} ${on ? "on" : "off"}`,
    type: familyId,
    flags: 0,
    body: encodeBody(genericHeader(ETHTOOL_MSG_FEATURES_SET), [
      nested(ETHTOOL_A_FEATURES_HEADER, [
        u32(ETHTOOL_A_HEADER_DEV_INDEX, ifindex),
        u32(ETHTOOL_A_HEADER_FLAGS, ETHTOOL_FLAG_OMIT_REPLY),
      ]),
      nested(ETHTOOL_A_FEATURES_WANTED, [nested(ETHTOOL_A_BITSET_BITS, bits)]),
    ]),
  };
}

/** Request to read features; pure. */
export function featuresGet(familyId: number, ifindex: number): Query<FeatureRow> {
  const body = encodeBody(genericHeader(ETHTOOL_MSG_FEATURES_GET), [
    nested(ETHTOOL_A_FEATURES_HEADER, [u32(ETHTOOL_A_HEADER_DEV_INDEX, ifindex)]),
  ]);
  const message = { deed: `read features of link #${ifindex}`, type: familyId, flags: 0, body };
  return { message, answerType: familyId, decode: readFeatures };
}

/** Decodes ETHTOOL_MSG_FEATURES_GET_REPLY. */
export function readFeatures(body: Buffer): FeatureRow {
  fixedHeader(body, GENLMSG_BYTES, "a reply of ethtool");
  const attributes = readAttributes(body, GENLMSG_BYTES);
  const header = readNested(attributes, ETHTOOL_A_FEATURES_HEADER);
  return {
    ifindex: readU32(header, ETHTOOL_A_HEADER_DEV_INDEX) ?? 0,
    name: readText(header, ETHTOOL_A_HEADER_DEV_NAME) ?? "",
    active: namesOfBits(attributes, ETHTOOL_A_FEATURES_ACTIVE),
    changeable: namesOfBits(attributes, ETHTOOL_A_FEATURES_HW),
  };
}

/** A set without a mask lists the bits that are set; with one, the bits that have a value. */
function namesOfBits(attributes: AttributeMap, type: number): ReadonlySet<string> {
  const set = readNested(attributes, type);
  const isWholeList = set.has(ETHTOOL_A_BITSET_NOMASK);
  const names = new Set<string>();
  for (const [, bit] of listAttributes(set.get(ETHTOOL_A_BITSET_BITS) ?? Buffer.alloc(0))) {
    const entry = readAttributes(bit);
    const name = readText(entry, ETHTOOL_A_BITSET_BIT_NAME);
    if (name !== undefined && (isWholeList || entry.has(ETHTOOL_A_BITSET_BIT_VALUE))) names.add(name);
  }
  return names;
}

async function resolveFamily(socket: NetlinkSocket, request: RequestOptions | undefined): Promise<number> {
  const body = encodeBody(genericHeader(CTRL_CMD_GETFAMILY), [text(CTRL_ATTR_FAMILY_NAME, "ethtool")]);
  const message = { deed: "find the kernel's ethtool family", type: GENL_ID_CTRL, flags: 0, body };
  const decode = (answer: Buffer) => readU16(readAttributes(answer, GENLMSG_BYTES), CTRL_ATTR_FAMILY_ID);
  return socket.get({ message, answerType: GENL_ID_CTRL, decode }, request);
}

function genericHeader(command: number): Buffer {
  return Buffer.of(command, 1, 0, 0);
}
