import { macText } from "../../state/address-codec.ts";
import { readAttributes } from "./attributes.ts";
import { fixedHeader, type Query } from "./message.ts";

/** linux/rtnetlink.h, linux/neighbour.h */
const RTM_NEWNEIGH = 28;
const RTM_GETNEIGH = 30;
const NDMSG_BYTES = 12;
const NDA_LLADDR = 2;
const AF_BRIDGE = 7; // linux/socket.h

/** A hardware address that a link receives besides its own: those of the macvlans on it that are up, and multicast groups. */
export interface ReceivedAddress {
  readonly ifindex: number;
  readonly mac: string;
}

/** What all links of the namespace receive besides their own address (`bridge fdb show`). */
export function dumpReceivedAddresses(): Query<ReceivedAddress> {
  const body = Buffer.alloc(NDMSG_BYTES);
  body[0] = AF_BRIDGE;
  const message = { deed: "list the addresses that links receive", type: RTM_GETNEIGH, flags: 0, body };
  return { message, answerType: RTM_NEWNEIGH, decode: readReceivedAddress };
}

function readReceivedAddress(body: Buffer): ReceivedAddress | undefined {
  const header = fixedHeader(body, NDMSG_BYTES, "a received address");
  const mac = readAttributes(body, NDMSG_BYTES).get(NDA_LLADDR);
  if (header[0] !== AF_BRIDGE || mac === undefined) return undefined;
  return { ifindex: header.readInt32LE(4), mac: macText(mac) };
}
