import { type Between, fragmentHeader, icmp, ipv4, ipv6, payload, tcp, udp } from "../../fakes/ip-packets.ts";
import { markText } from "./hub.ts";

/** Numbers of RFC 791, RFC 8200 and of the registry of protocol numbers. */
export const Protocol = {
  hopByHop: 0,
  icmp: 1,
  igmp: 2,
  ipInIp: 4,
  tcp: 6,
  udp: 17,
  ipv6InIp: 41,
  routing: 43,
  fragment: 44,
  gre: 47,
  esp: 50,
  icmpv6: 58,
  noNextHeader: 59,
  destinationOptions: 60,
  sctp: 132,
  mobility: 135,
  udpLite: 136,
  hip: 139,
  shim6: 140,
  experiment: 253,
} as const;

export const Nd = {
  routerSolicitation: 133,
  routerAdvertisement: 134,
  solicitation: 135,
  advertisement: 136,
  redirect: 137,
} as const;

export const TcpFlags = { none: 0, fin: 0x01, syn: 0x02, rst: 0x04, ack: 0x10, xmas: 0x29 } as const;

export type Family = 4 | 6;
export const FAMILIES: readonly Family[] = [4, 6];

export const hex = (value: number, bytes: number) => value.toString(16).padStart(bytes * 2, "0");
const macHex = (mac: string) => mac.replaceAll(":", "");

/** The mark of a case, as bytes of a payload that is no shorter than `bytes`. */
export function marked(mark: number, bytes = 16): string {
  return payload(markText(mark).padEnd(bytes, "."));
}

/** A frame with whatever type (or length) and tags; filled up to the least length. */
export function ethernet({ src, dst }: Between, etherType: number, content: string, tags: readonly Tag[] = []): string {
  const tagged = tags.map(({ vlan, type = 0x8100 }) => hex(type, 2) + hex(vlan, 2)).join("");
  return `${macHex(dst)}${macHex(src)}${tagged}${hex(etherType, 2)}${content}`.padEnd(120, "0");
}

/** An 802.1Q (or, with type 0x88a8, 802.1ad) tag. */
export interface Tag {
  readonly vlan: number;
  readonly type?: number;
}

/** The frame with tags put in, or with its 802.1Q tag. */
export function tagged(frame: string, ...tags: readonly Tag[]): string {
  const tagText = tags.map(({ vlan, type = 0x8100 }) => hex(type, 2) + hex(vlan, 2)).join("");
  return frame.slice(0, 24) + tagText + frame.slice(24);
}

interface Arp {
  readonly op: number;
  readonly sha: string;
  readonly spa: string;
  readonly tpa: string;
}

/** ARP carries no text: the mark stands behind the message, where frames are filled up. */
export function arp(link: Between, what: Arp, mark: number, dataBytes = 16): string {
  const message = `000108000604${hex(what.op, 2)}${macHex(what.sha)}${ip4(what.spa)}000000000000${ip4(what.tpa)}`;
  return ethernet(link, 0x0806, message + marked(mark, dataBytes));
}

function ip4(address: string): string {
  return address
    .split(".")
    .map((octet) => hex(Number(octet), 1))
    .join("");
}

/** An IP packet of the family of its addresses. */
export function ip(between: Between, protocol: number, data: string, ttl = 64): string {
  return between.src.includes(":")
    ? ipv6({ ...between, nextHeader: protocol, hopLimit: ttl }, data)
    : ipv4({ ...between, protocol, ttl }, data);
}

export interface Transport {
  readonly protocol?: "tcp" | "udp";
  readonly port: number;
  readonly srcPort?: number;
  readonly flags?: number;
}

/** The transport's part of a packet. */
export function segment(between: Between, transport: Transport, data: string): string {
  const ports = { srcPort: transport.srcPort ?? 40_001, dstPort: transport.port };
  if (transport.protocol === "tcp") return tcp(between, ports, transport.flags ?? TcpFlags.syn, data);
  return udp(between, ports, data);
}

export function packet(between: Between, transport: Transport, data: string): string {
  return ip(between, transport.protocol === "tcp" ? Protocol.tcp : Protocol.udp, segment(between, transport, data));
}

/** One fragment of a packet of either family. */
export interface Piece {
  readonly protocol: number;
  readonly offsetBytes: number;
  readonly isLast: boolean;
  readonly identification: number;
}

export function fragment(between: Between, piece: Piece, data: string): string {
  const { protocol, offsetBytes, isLast, identification } = piece;
  if (!between.src.includes(":")) {
    return ipv4({ ...between, protocol, offsetBytes, identification, isFragment: !isLast }, data);
  }
  const header = fragmentHeader(protocol, { offsetBytes, isLast, identification });
  return ipv6({ ...between, nextHeader: Protocol.fragment }, header + data);
}

/** An IPv4 packet with options, which must fill whole words; checksums are right. */
export function withOptions(between: Between, options: string, protocol: number, data: string): string {
  const plain = ipv4({ ...between, protocol }, options + data);
  const words = 5 + options.length / 8;
  const head = `4${words.toString(16)}${plain.slice(2, 20)}0000${plain.slice(24, 40)}${options}`;
  return `${head.slice(0, 20)}${checksum(head)}${head.slice(24)}${data}`;
}

function checksum(head: string): string {
  let sum = 0;
  for (let at = 0; at < head.length; at += 4) sum += Number.parseInt(head.slice(at, at + 4), 16);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return hex(~sum & 0xffff, 2);
}

interface LinkLayerOption {
  readonly type: number;
  readonly mac: string;
}

export interface Discovery {
  readonly type: number;
  readonly code?: number;
  readonly hopLimit?: number;
  readonly target: string;
  /** Option 1 (source) or 2 (target link-layer address). */
  readonly option?: LinkLayerOption;
  /** One more of them behind. */
  readonly secondOption?: LinkLayerOption;
  /** Of the option that holds the mark, without its 2 bytes of type and length; together they must fill words of 8 bytes. */
  readonly dataBytes?: number;
}

/** A message of neighbour discovery; the mark stands in an option that nobody knows (RFC 3692: 253). */
export function discoveryBody(between: Between, message: Discovery, mark: number): string {
  const { type, code = 0, target, option, secondOption, dataBytes = 22 } = message;
  const options = [option, secondOption].flatMap((each) => each ?? []);
  const linkLayer = options.map((each) => `${hex(each.type, 1)}01${macHex(each.mac)}`).join("");
  const rest = `00000000${ipv6({ src: target, dst: target, nextHeader: 0 }, "").slice(16, 48)}${linkLayer}`;
  return icmp(between, type, code, `${rest}fd${hex((dataBytes + 2) / 8, 1)}${marked(mark, dataBytes)}`);
}

export function discovery(between: Between, message: Discovery, mark: number): string {
  return ip(between, Protocol.icmpv6, discoveryBody(between, message, mark), message.hopLimit ?? 255);
}

/** An ICMP error that quotes a packet; `word` is what stands before the quotation. */
export function icmpError(between: Between, [type, code]: readonly [number, number], quoted: string, word = 0): string {
  const protocol = between.src.includes(":") ? Protocol.icmpv6 : Protocol.icmp;
  return ip(between, protocol, icmp(between, type, code, hex(word, 4) + quoted));
}

export function echoRequest(between: Between, data: string): string {
  return icmp(between, between.src.includes(":") ? 128 : 8, 0, `00070001${data}`);
}

/** VXLAN around a frame (RFC 7348 §5), as an UDP payload. */
export function vxlan(vni: number, frame: string): string {
  return `08000000${hex(vni, 3)}00${frame}`;
}
