import type { AddressFamily } from "../../../state/address.ts";
import { ipv4TextOf, ipv6TextOf } from "../../../state/address-codec.ts";
import { IpProtocol } from "../../../state/policy/protocol.ts";

/** Who a packet says it is from and to. */
export interface PacketHeaders {
  readonly family: AddressFamily;
  /** Addresses in canonical text. */
  readonly source: string;
  readonly destination: string;
  /** IP protocol number, of IPv6 that behind the extension headers. */
  readonly protocol: number;
  /** TCP and UDP. */
  readonly sourcePort?: number;
  readonly port?: number;
  /** ICMP and ICMPv6. */
  readonly icmpType?: number;
}

const ETHERNET_BYTES = 14;
const ETHER_TYPE = { ipv4: 0x0800, ipv6: 0x86dd } as const;
const IPV4_MIN_BYTES = 20;
const IPV6_BYTES = 40;
/** IPv6 extension headers (IANA "IPv6 Extension Header Types"). */
const Extension = { hopByHop: 0, routing: 43, fragment: 44, authentication: 51, destination: 60 } as const;
/** A packet with more of them is read no further. */
const EXTENSIONS_MAX = 8;

/** Reads an untagged Ethernet frame; undefined when it is no IP packet or ends too early for its addresses. */
export function readHeaders(frame: Uint8Array): PacketHeaders | undefined {
  const bytes = Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength);
  if (bytes.length < ETHERNET_BYTES) return undefined;
  const etherType = bytes.readUInt16BE(12);
  const packet = bytes.subarray(ETHERNET_BYTES);
  if (etherType === ETHER_TYPE.ipv4) return readIpv4(packet);
  return etherType === ETHER_TYPE.ipv6 ? readIpv6(packet) : undefined;
}

/** RFC 791 §3.1. */
function readIpv4(packet: Buffer): PacketHeaders | undefined {
  const headerBytes = ((packet[0] ?? 0) & 0x0f) * 4;
  if (headerBytes < IPV4_MIN_BYTES || packet.length < headerBytes) return undefined;
  const protocol = packet.readUInt8(9);
  const isFirst = (packet.readUInt16BE(6) & 0x1fff) === 0;
  return {
    ...{ family: 4, protocol, source: addressAt(packet, 12, 4), destination: addressAt(packet, 16, 4) },
    ...(isFirst ? readTransport(protocol, packet.subarray(headerBytes)) : {}),
  };
}

/** RFC 8200 §3 and §4. */
function readIpv6(packet: Buffer): PacketHeaders | undefined {
  if (packet.length < IPV6_BYTES) return undefined;
  const { protocol, payload } = behindExtensions(packet.readUInt8(6), packet.subarray(IPV6_BYTES));
  return {
    ...{ family: 6, protocol, source: addressAt(packet, 8, 6), destination: addressAt(packet, 24, 6) },
    ...readTransport(protocol, payload),
  };
}

interface Payload {
  readonly protocol: number;
  readonly payload: Buffer;
}

function behindExtensions(first: number, rest: Buffer): Payload {
  let [protocol, payload] = [first, rest];
  for (let count = 0; count < EXTENSIONS_MAX; count += 1) {
    const headerBytes = extensionBytes(protocol, payload);
    if (headerBytes === undefined || payload.length < headerBytes) break;
    const isLaterFragment = protocol === Extension.fragment && (payload.readUInt16BE(2) & 0xfff8) !== 0;
    protocol = payload.readUInt8(0);
    payload = isLaterFragment ? Buffer.alloc(0) : payload.subarray(headerBytes);
    if (isLaterFragment) break;
  }
  return { protocol, payload };
}

/** Undefined: it is no extension header. */
function extensionBytes(protocol: number, payload: Buffer): number | undefined {
  const length = payload[1] ?? 0;
  switch (protocol) {
    case Extension.hopByHop:
    case Extension.routing:
    case Extension.destination:
      return (length + 1) * 8;
    case Extension.fragment:
      return 8;
    case Extension.authentication:
      return (length + 2) * 4;
    default:
      return undefined;
  }
}

/** What is cut off is left out. */
function readTransport(protocol: number, bytes: Buffer): Pick<PacketHeaders, "sourcePort" | "port" | "icmpType"> {
  switch (protocol) {
    case IpProtocol.tcp:
    case IpProtocol.udp:
      return bytes.length < 4 ? {} : { sourcePort: bytes.readUInt16BE(0), port: bytes.readUInt16BE(2) };
    case IpProtocol.icmp:
    case IpProtocol.icmpv6:
      return bytes.length < 1 ? {} : { icmpType: bytes.readUInt8(0) };
    default:
      return {};
  }
}

function addressAt(packet: Buffer, at: number, family: AddressFamily): string {
  const bytes = packet.subarray(at);
  return family === 4 ? ipv4TextOf(bytes) : ipv6TextOf(bytes);
}
