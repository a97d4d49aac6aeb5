import { isErrno } from "./errno.ts";
import { dumpReceivedAddresses } from "./fdb.ts";
import { createMacvlan, deleteLink } from "./link.ts";
import type { NetlinkSocket } from "./socket.ts";

const PROBE_NAME = "cprobeu";
/** The lowest bit of the first octet: a group of receivers (IEEE 802). */
const GROUP_BIT = 1;

/** Links of the namespace on which a macvlan is up, in whatever namespace that is. */
export async function linksWithMacvlan(socket: Pick<NetlinkSocket, "dump">): Promise<ReadonlySet<number>> {
  const received = await socket.dump(dumpReceivedAddresses());
  return new Set(received.filter(({ mac }) => !isGroup(mac)).map(({ ifindex }) => ifindex));
}

function isGroup(mac: string): boolean {
  return (Number.parseInt(mac.slice(0, 2), 16) & GROUP_BIT) !== 0;
}

/**
 * Does any macvlan hang on the link, be it down or in another namespace? The kernel makes one of mode passthru only where there is no
 * other (drivers/net/macvlan.c, EINVAL); the probe is deleted at once, which takes 15 ms.
 */
export async function carriesMacvlan(socket: Pick<NetlinkSocket, "settle">, ifindex: number): Promise<boolean> {
  const probe = createMacvlan({ name: PROBE_NAME }, { lowerIfindex: ifindex, mode: "passthru" });
  await socket.settle([deleteLink({ name: PROBE_NAME })]); // of a process that ended in between
  const [made] = await socket.settle([probe, deleteLink({ name: PROBE_NAME })]);
  if (made?.error === undefined) return false;
  if (isErrno(made.error, "EINVAL")) return true;
  throw made.error;
}
