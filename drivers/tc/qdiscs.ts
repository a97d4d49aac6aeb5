import { isErrno } from "../netlink/errno.ts";
import { dumpLinks, getLink } from "../netlink/link.ts";
import type { SocketPool } from "../netlink/pool.ts";
import { deleteQdisc, dumpQdiscs, type QdiscRow, replaceTbf } from "../netlink/qdisc.ts";
import { sameTbf, type TbfParameters } from "../netlink/tbf.ts";
import { TC_H_CLSACT, TC_H_ROOT, tcHandle } from "../netlink/traffic-control.ts";

/** Handle of the shapers that we set; one with another handle is somebody else's. */
const OURS = tcHandle(1, 0);

/** Brings the shaper at a link's root to what is wanted: in place, so that what is queued stays queued. */
export async function putTbf(netlink: SocketPool, ifindex: number, wanted: TbfParameters): Promise<void> {
  await netlink.use(async (socket) => {
    const [outcome] = await socket.settle([replaceTbf({ ifindex }, wanted)]);
    if (outcome?.error === undefined) return;
    if (!isErrno(outcome.error, "EINVAL")) throw outcome.error;
    await socket.settle([deleteQdisc({ ifindex })]); // a qdisc of another kind is in the way
    await socket.execute([replaceTbf({ ifindex }, wanted)]);
  });
}

/** Takes our shaper off; an absent one, or one of a link that is gone, counts as removed. */
export async function removeTbf(netlink: SocketPool, ifindex: number): Promise<void> {
  try {
    await netlink.execute([deleteQdisc({ ifindex, handle: OURS })]);
  } catch (error) {
    if (!isErrno(error, "ENOENT", "EINVAL", "ENODEV")) throw error;
  }
}

/** Takes off what somebody else has set at a link's root. */
export async function removeForeign(netlink: SocketPool, ifindex: number): Promise<void> {
  try {
    await netlink.execute([deleteQdisc({ ifindex })]);
  } catch (error) {
    if (!isErrno(error, "ENOENT", "EINVAL", "ENODEV")) throw error;
  }
}

/** The kind of a root qdisc that neither we nor the kernel itself have set. */
export function foreignKind(row: QdiscRow | undefined): string | undefined {
  return row === undefined || row.handle === 0 || isOurTbf(row) ? undefined : row.kind;
}

export function isOurTbf(row: QdiscRow): boolean {
  return row.kind === "tbf" && row.parent === TC_H_ROOT && row.handle === OURS;
}

export function isAsWanted(row: QdiscRow | undefined, wanted: TbfParameters): boolean {
  return row?.tbf !== undefined && isOurTbf(row) && sameTbf(wanted, row.tbf);
}

/** The qdiscs of a namespace, by link number. */
export interface ShapedLinks {
  readonly ifindexes: ReadonlyMap<string, number>;
  readonly roots: ReadonlyMap<number, QdiscRow>;
  /** Their ingress hooks. */
  readonly hooks: ReadonlyMap<number, QdiscRow>;
}

export async function readShapedLinks(netlink: SocketPool, signal: AbortSignal): Promise<ShapedLinks> {
  const [links, qdiscs] = await Promise.all([
    netlink.dump(dumpLinks(), { signal }),
    netlink.dump(dumpQdiscs(), { signal }),
  ]);
  return {
    ifindexes: new Map(links.map(({ name, ifindex }) => [name, ifindex])),
    roots: new Map(qdiscs.filter(({ parent }) => parent === TC_H_ROOT).map((row) => [row.ifindex, row])),
    hooks: new Map(qdiscs.filter(({ parent }) => parent === TC_H_CLSACT).map((row) => [row.ifindex, row])),
  };
}

/** The link's number; undefined when there is none of that name. */
export async function findLink(netlink: SocketPool, name: string): Promise<number | undefined> {
  try {
    return (await netlink.get(getLink({ name }))).ifindex;
  } catch (error) {
    if (isErrno(error, "ENODEV")) return undefined;
    throw error;
  }
}
