import { NetError } from "../../state/errors.ts";
import { type Attribute, bytes, encodeBody, flag, nested, optional, text, u16be, u32 } from "./attributes.ts";
import { macToBytes } from "./hardware-address.ts";
import {
  IFF_UP,
  IFINFO_BYTES,
  IFLA_ADDRESS,
  IFLA_EXT_MASK,
  IFLA_GROUP,
  IFLA_IFALIAS,
  IFLA_IFNAME,
  IFLA_INFO_DATA,
  IFLA_INFO_KIND,
  IFLA_LINKINFO,
  IFLA_MASTER,
  IFLA_MTU,
  IFLA_NET_NS_FD,
  IFLA_NUM_RX_QUEUES,
  IFLA_NUM_TX_QUEUES,
  IFLA_TXQLEN,
  type LinkRow,
  RTM_DELLINK,
  RTM_GETLINK,
  RTM_NEWLINK,
  RTM_SETLINK,
  readLink,
} from "./link-row.ts";
import { type Message, NLM_F_CREATE, NLM_F_ECHO, NLM_F_EXCL, type Query } from "./message.ts";

/** A link by its index (sure) or by its name at this moment. */
export type LinkTarget = { readonly ifindex: number } | { readonly name: string };

/** What can be said of a link when it is made. */
export interface NewLink {
  readonly name: string;
  readonly mac?: string;
  readonly mtuBytes?: number;
  readonly up?: boolean;
  readonly group?: number;
  /** ifindex of a bridge, bond or VRF. */
  readonly masterIfindex?: number;
  readonly txQueueLengthPackets?: number;
  readonly txQueues?: number;
  readonly rxQueues?: number;
  /** Descriptor of the network namespace to be born in. No echo comes from another namespace than the socket's. */
  readonly netnsFd?: number;
}

/** The far end of a veth pair. It cannot be born up: the kernel says ENOTCONN. Raise it later from inside. */
export type VethPeer = Omit<NewLink, "up" | "masterIfindex">;

/** Changes of a link; what is absent stays. */
export interface LinkChanges {
  /** New name; only for a target by ifindex, and on kernels before 6.x only while the link is down. */
  readonly name?: string;
  readonly mac?: string;
  readonly mtuBytes?: number;
  readonly up?: boolean;
  readonly group?: number;
  /** 0 takes the link out of its bridge, bond or VRF. */
  readonly masterIfindex?: number;
  /** Free text of at most 255 bytes; the empty string removes it. */
  readonly alias?: string;
  readonly txQueueLengthPackets?: number;
  /** Moves the link there; its addresses, routes and qdiscs do not go along. */
  readonly netnsFd?: number;
}

// linux/veth.h, linux/if_link.h
const VETH_INFO_PEER = 1;
const IFLA_VLAN_ID = 1;
const IFLA_VLAN_PROTOCOL = 5;
const IFLA_MACVLAN_MODE = 1;
const IFLA_LINK = 5;
const RTEXT_FILTER_SKIP_STATS = 8; // linux/rtnetlink.h: leaves out IPv6's counters
const IFNAME_MAX_BYTES = 15;
const ALIAS_MAX_BYTES = 255;

/**
 * Makes a veth pair. The echo is the near end (`echoedLink`): its ifindex, and in `peerIfindex` the far end's.
 * EEXIST when a name is taken in its namespace.
 */
export function createVeth(near: NewLink, peer: VethPeer): Message {
  const peerInfo = encodeBody(ifinfo(0), newLinkAttributes(peer));
  return createLink("veth", near, {
    deed: `create veth pair "${near.name}", "${peer.name}"`,
    data: [bytes(VETH_INFO_PEER, peerInfo)],
  });
}

export interface KindOptions {
  readonly deed?: string;
  /** The kind's own attributes (IFLA_INFO_DATA). */
  readonly data?: readonly Attribute[];
  /** ifindex of the link below (vlan, macvlan). */
  readonly lowerIfindex?: number;
}

/** Makes a link of any kind that needs no more than its name and attributes: ifb, bridge, dummy … */
export function createLink(kind: string, link: NewLink, options: KindOptions = {}): Message {
  const { data = [], lowerIfindex, deed = `create ${kind} link "${link.name}"` } = options;
  const info = [text(IFLA_INFO_KIND, kind), ...(data.length === 0 ? [] : [nested(IFLA_INFO_DATA, data)])];
  const attributes = [
    ...newLinkAttributes(link),
    ...optional(lowerIfindex, (ifindex) => u32(IFLA_LINK, ifindex)),
    nested(IFLA_LINKINFO, info),
  ];
  const body = encodeBody(ifinfo(0, link.up), attributes);
  return { deed, type: RTM_NEWLINK, flags: NLM_F_CREATE | NLM_F_EXCL | NLM_F_ECHO, body };
}

/** Makes a VLAN sub-interface (IEEE 802.1Q unless told otherwise). */
export function createVlan(
  link: NewLink,
  vlan: { readonly lowerIfindex: number; readonly tag: number; readonly protocol?: number },
): Message {
  const { lowerIfindex, tag, protocol = 0x8100 } = vlan;
  const tagBytes = Buffer.alloc(2);
  tagBytes.writeUInt16LE(tag);
  return createLink("vlan", link, {
    lowerIfindex,
    data: [bytes(IFLA_VLAN_ID, tagBytes), u16be(IFLA_VLAN_PROTOCOL, protocol)],
  });
}

const MACVLAN_MODES = { private: 1, vepa: 2, bridge: 4, passthru: 8 } as const; // linux/if_link.h

/** Makes a macvlan link. */
export function createMacvlan(
  link: NewLink,
  macvlan: { readonly lowerIfindex: number; readonly mode: keyof typeof MACVLAN_MODES },
): Message {
  const { lowerIfindex, mode } = macvlan;
  return createLink("macvlan", link, { lowerIfindex, data: [u32(IFLA_MACVLAN_MODE, MACVLAN_MODES[mode])] });
}

/** Changes a link; ENODEV when there is none. */
export function setLink(target: LinkTarget, changes: LinkChanges): Message {
  const attributes = [...targetAttributes(target), ...changeAttributes(target, changes)];
  const body = encodeBody(ifinfo(targetIfindex(target), changes.up), attributes);
  return { deed: `change link ${nameOf(target)}`, type: RTM_SETLINK, flags: 0, body };
}

/** Deletes one link (of a pair both ends). Takes 15 to 20 ms of the kernel: see link-deleter.ts for many. */
export function deleteLink(target: LinkTarget): Message {
  const body = encodeBody(ifinfo(targetIfindex(target)), targetAttributes(target));
  return { deed: `delete link ${nameOf(target)}`, type: RTM_DELLINK, flags: 0, body };
}

/** Deletes all links of a group at once; ENODEV when there are none. */
export function deleteLinkGroup(group: number): Message {
  if (group === 0) throw new NetError("INVALID", "Group 0 is every link's group by default");
  const body = encodeBody(ifinfo(0), [u32(IFLA_GROUP, group)]);
  return { deed: `delete the links of group ${group}`, type: RTM_DELLINK, flags: 0, body };
}

/** One link with its counters. */
export function getLink(target: LinkTarget): Query<LinkRow> {
  const body = encodeBody(ifinfo(targetIfindex(target)), targetAttributes(target));
  const message = { deed: `read link ${nameOf(target)}`, type: RTM_GETLINK, flags: 0, body };
  return { message, answerType: RTM_NEWLINK, decode: readLink };
}

export interface LinkFilter {
  readonly masterIfindex?: number;
  readonly kind?: string;
}

/** All links of the namespace, or those of one master or kind, with their counters. */
export function dumpLinks({ masterIfindex, kind }: LinkFilter = {}): Query<LinkRow> {
  const attributes = [
    u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS),
    ...optional(masterIfindex, (ifindex) => u32(IFLA_MASTER, ifindex)),
    ...optional(kind, (name) => nested(IFLA_LINKINFO, [text(IFLA_INFO_KIND, name)])),
  ];
  const message = { deed: "list links", type: RTM_GETLINK, flags: 0, body: encodeBody(ifinfo(0), attributes) };
  return { message, answerType: RTM_NEWLINK, decode: readLink };
}

/** struct ifinfomsg: u8 family, pad, u16 type, s32 index, u32 flags, u32 change mask. */
function ifinfo(ifindex: number, up?: boolean): Buffer {
  const header = Buffer.alloc(IFINFO_BYTES);
  header.writeInt32LE(ifindex, 4);
  header.writeUInt32LE(up === true ? IFF_UP : 0, 8);
  header.writeUInt32LE(up === undefined ? 0 : IFF_UP, 12);
  return header;
}

function newLinkAttributes(link: NewLink): readonly Attribute[] {
  return [
    nameAttribute(IFLA_IFNAME, link.name),
    ...commonAttributes(link),
    ...optional(link.txQueues, (count) => u32(IFLA_NUM_TX_QUEUES, count)),
    ...optional(link.rxQueues, (count) => u32(IFLA_NUM_RX_QUEUES, count)),
  ];
}

function changeAttributes(target: LinkTarget, changes: LinkChanges): readonly Attribute[] {
  if (changes.name !== undefined && "name" in target) {
    throw new NetError("INVALID", `A link is renamed by its ifindex: "${target.name}" to "${changes.name}"`);
  }
  return [
    ...optional(changes.name, (name) => nameAttribute(IFLA_IFNAME, name)),
    ...commonAttributes(changes),
    ...optional(changes.alias, aliasAttribute),
  ];
}

function commonAttributes(link: Omit<LinkChanges, "name" | "alias">): readonly Attribute[] {
  return [
    ...optional(link.mac, (mac) => bytes(IFLA_ADDRESS, macToBytes(mac))),
    ...optional(link.mtuBytes, (mtuBytes) => u32(IFLA_MTU, mtuBytes)),
    ...optional(link.group, (group) => u32(IFLA_GROUP, group)),
    ...optional(link.masterIfindex, (ifindex) => u32(IFLA_MASTER, ifindex)),
    ...optional(link.txQueueLengthPackets, (packets) => u32(IFLA_TXQLEN, packets)),
    ...optional(link.netnsFd, (fd) => u32(IFLA_NET_NS_FD, fd)),
  ];
}

function targetIfindex(target: LinkTarget): number {
  if ("name" in target) return 0;
  if (Number.isInteger(target.ifindex) && target.ifindex > 0) return target.ifindex;
  throw new NetError("INVALID", `${target.ifindex} is not an interface index`);
}

function targetAttributes(target: LinkTarget): readonly Attribute[] {
  return "name" in target ? [nameAttribute(IFLA_IFNAME, target.name)] : [];
}

function nameOf(target: LinkTarget): string {
  return "name" in target ? `"${target.name}"` : `#${target.ifindex}`;
}

/** The kernel's dev_valid_name(): 1 to 15 bytes, no slash, colon or white space, neither "." nor "..". */
function nameAttribute(type: number, name: string): Attribute {
  const fits = /^[^\s/:\0]+$/.test(name) && Buffer.byteLength(name) <= IFNAME_MAX_BYTES;
  if (!fits || name === "." || name === "..") throw new NetError("INVALID", `"${name}" cannot be the name of a link`);
  return text(type, name);
}

function aliasAttribute(alias: string): Attribute {
  if (Buffer.byteLength(alias) > ALIAS_MAX_BYTES) throw new NetError("INVALID", "A link's alias has at most 255 bytes");
  return alias === "" ? flag(IFLA_IFALIAS) : bytes(IFLA_IFALIAS, Buffer.from(alias));
}
