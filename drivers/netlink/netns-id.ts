import { encodeBody, readAttributes, readI32, u32 } from "./attributes.ts";
import { fixedHeader, type Query } from "./message.ts";

/** linux/rtnetlink.h, linux/net_namespace.h */
const RTM_NEWNSID = 88;
const RTM_GETNSID = 90;
const RTGENMSG_BYTES = 4; // struct rtgenmsg { u8 family; } and padding
const NETNSA_NSID = 1;
const NETNSA_FD = 3;

/**
 * The number that the socket's namespace has for another one, as in `LinkRow.peerNetnsId`; -1 when it has none.
 * So it can be told whether a link's far end lives in a given namespace.
 */
export function getNetnsId(netns: { readonly fd: number }): Query<number> {
  const body = encodeBody(Buffer.alloc(RTGENMSG_BYTES), [u32(NETNSA_FD, netns.fd)]);
  const message = { deed: "read the id of a network namespace", type: RTM_GETNSID, flags: 0, body };
  return { message, answerType: RTM_NEWNSID, decode: readNetnsId };
}

function readNetnsId(body: Buffer): number {
  fixedHeader(body, 1, "a network namespace id");
  return readI32(readAttributes(body, RTGENMSG_BYTES), NETNSA_NSID) ?? -1;
}
