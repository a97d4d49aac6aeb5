import { macToBytes } from "../../../drivers/netlink/hardware-address.ts";
import { familyOf, ipToBytes } from "../../../drivers/netlink/ip-address.ts";
import { NetError } from "../../../state/errors.ts";

/** IEEE 802.3 §3.2.8: the shortest frame, without its check sequence. */
const FRAME_MIN_BYTES = 60;
const BROADCAST_MAC = "ff:ff:ff:ff:ff:ff";
const NO_MAC = "00:00:00:00:00:00";
const ETHER_TYPE = { arp: 0x0806, ipv6: 0x86dd } as const;

/** RFC 826; hardware type Ethernet, protocol IPv4, addresses of 6 and 4 bytes, operation "request". */
const ARP_REQUEST = Buffer.from("0001080006040001", "hex");

/** ff02::1 and its Ethernet address (RFC 4291 §2.7.1, RFC 2464 §7). */
const ALL_NODES = "ff02::1";
const ALL_NODES_MAC = "33:33:00:00:00:01";
const IPV6_VERSION_6 = 0x60000000;
const NEXT_HEADER_ICMPV6 = 58;
/** RFC 4861 §7.1.2. */
const ND_HOP_LIMIT = 255;
/** RFC 4861 §4.4: type 136, code 0; of the flags only "override". */
const ADVERTISEMENT_TYPE = 136;
const FLAG_OVERRIDE = 0x20000000;
/** RFC 4861 §4.6.1: target link-layer address, in units of 8 bytes. */
const TARGET_OPTION = Buffer.from([2, 1]);
const CHECKSUM_OFFSET_BYTES = 2;

/** A gratuitous ARP request (RFC 5227 §3): "who has my address? tell me". Every listener updates what it knows of it. */
export function gratuitousArp(mac: string, ipv4: string): Buffer {
  const address = addressBytes("ipv4", ipv4);
  const arp = Buffer.concat([ARP_REQUEST, macToBytes(mac), address, macToBytes(NO_MAC), address]);
  return frame({ to: BROADCAST_MAC, from: mac, etherType: ETHER_TYPE.arp, payload: arp });
}

/** An unsolicited neighbour advertisement (RFC 4861 §7.2.6) to all nodes, with override flag and link-layer address. */
export function unsolicitedAdvertisement(mac: string, ipv6: string): Buffer {
  const [source, destination] = [addressBytes("ipv6", ipv6), addressBytes("ipv6", ALL_NODES)];
  const message = advertisement(source, mac);
  message.writeUInt16BE(checksum(pseudoHeader(source, destination, message.length), message), CHECKSUM_OFFSET_BYTES);
  const payload = Buffer.concat([ipv6Header(message.length), source, destination, message]);
  return frame({ to: ALL_NODES_MAC, from: mac, etherType: ETHER_TYPE.ipv6, payload });
}

interface Frame {
  readonly to: string;
  readonly from: string;
  readonly etherType: number;
  readonly payload: Buffer;
}

function frame({ to, from, etherType, payload }: Frame): Buffer {
  const type = Buffer.alloc(2);
  type.writeUInt16BE(etherType);
  const bare = Buffer.concat([macToBytes(to), macToBytes(from), type, payload]);
  return bare.length >= FRAME_MIN_BYTES ? bare : Buffer.concat([bare], FRAME_MIN_BYTES);
}

function addressBytes(family: "ipv4" | "ipv6", address: string): Buffer {
  if (familyOf(address) !== family) throw new NetError("INVALID", `Cannot announce ${address}: it is no ${family}`);
  return ipToBytes(address);
}

/** Type, code, checksum (zero as yet), flags, target, option. */
function advertisement(target: Buffer, mac: string): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt8(ADVERTISEMENT_TYPE, 0);
  head.writeUInt32BE(FLAG_OVERRIDE, 4);
  return Buffer.concat([head, target, TARGET_OPTION, macToBytes(mac)]);
}

/** RFC 8200 §3, without the addresses. */
function ipv6Header(payloadBytes: number): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt32BE(IPV6_VERSION_6, 0);
  header.writeUInt16BE(payloadBytes, 4);
  header.writeUInt8(NEXT_HEADER_ICMPV6, 6);
  header.writeUInt8(ND_HOP_LIMIT, 7);
  return header;
}

/** RFC 8200 §8.1. */
function pseudoHeader(source: Buffer, destination: Buffer, payloadBytes: number): Buffer {
  const tail = Buffer.alloc(8);
  tail.writeUInt32BE(payloadBytes, 0);
  tail.writeUInt8(NEXT_HEADER_ICMPV6, 7);
  return Buffer.concat([source, destination, tail]);
}

/** The Internet checksum (RFC 1071) over parts of even length. */
function checksum(...parts: readonly Buffer[]): number {
  let sum = 0;
  for (const part of parts) for (let at = 0; at < part.length; at += 2) sum += part.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
