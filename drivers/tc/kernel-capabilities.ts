import { asNetError } from "../../state/errors.ts";
import { isErrno } from "../netlink/errno.ts";
import { addMatchAll } from "../netlink/filter.ts";
import { createLink, createVeth, deleteLink, dumpLinks } from "../netlink/link.ts";
import type { Message } from "../netlink/message.ts";
import type { NetnsHandle } from "../netlink/netns.ts";
import { addIngress, replaceTbf } from "../netlink/qdisc.ts";
import { type NetlinkSocket, openNetlink } from "../netlink/socket.ts";

/** What this node's kernel can do, found out by doing it on a scratch link. */
export interface KernelCapabilities {
  /** Can the kernel police what a port receives (act_police with matchall or basic)? */
  readonly ingressPolicing: boolean;
  readonly tbf: boolean;
  /** Redirect to an ifb with u32 and mirred. */
  readonly ifbRedirect: boolean;
}

const SCRATCH = "cprobe0";
const SCRATCH_PEER = "cprobe1";
const SCRATCH_IFB = "cprobe2";
const PROBE_RATE_BYTES_PER_SECOND = 125_000;
const PROBE_BURST_BYTES = 65_536;
/** What the kernel answers when it lacks a qdisc, classifier or action, or a device kind. */
const ABSENT = ["ENOENT", "EOPNOTSUPP", "EINVAL", "ENODEV"];

/**
 * A probe that fails for another reason than absence is an error. The scratch links come and go in `netns` (this process's own by
 * default), which should not be the switch's: with every link that changes there Open vSwitch looks up anew which ways tunnels take, and
 * a packet for a tunnel can be lost meanwhile (seen in 3.1 with the userspace datapath).
 */
export async function probeKernel(netns?: NetnsHandle): Promise<KernelCapabilities> {
  using socket = openNetlink(netns === undefined ? {} : { netns });
  await removeScratch(socket);
  try {
    await socket.execute([createVeth({ name: SCRATCH, up: true }, { name: SCRATCH_PEER })]);
    return await probeScratch(socket);
  } finally {
    await removeScratch(socket);
  }
}

async function probeScratch(socket: NetlinkSocket): Promise<KernelCapabilities> {
  const ifindex = await indexOf(socket, SCRATCH);
  const shaping = { rateBytesPerSecond: PROBE_RATE_BYTES_PER_SECOND, burstBytes: PROBE_BURST_BYTES };
  const place = { ifindex };
  const tbf = await accepts(socket, replaceTbf(place, { ...shaping, limitBytes: PROBE_BURST_BYTES }));
  await accepts(socket, addIngress(ifindex));
  const police = [{ kind: "police", ...shaping }] as const;
  const matchall = await accepts(socket, addMatchAll("matchall", place, police));
  const basic = matchall || (await accepts(socket, addMatchAll("basic", place, police)));
  const ifb = await accepts(socket, createLink("ifb", { name: SCRATCH_IFB }));
  const redirect = async () => {
    const toIfindex = await indexOf(socket, SCRATCH_IFB);
    const besidePolice = { ...place, priority: 2 }; // filters of one priority are of one kind
    return accepts(socket, addMatchAll("u32", besidePolice, [{ kind: "redirect", toIfindex }]));
  };
  return { tbf, ingressPolicing: basic, ifbRedirect: ifb && (await redirect()) };
}

async function accepts(socket: NetlinkSocket, message: Message): Promise<boolean> {
  const [outcome] = await socket.settle([message]);
  if (outcome?.error === undefined) return true;
  if (isErrno(outcome.error, ...ABSENT)) return false;
  throw asNetError(outcome.error, "probe this kernel");
}

async function indexOf(socket: NetlinkSocket, name: string): Promise<number> {
  const links = await socket.dump(dumpLinks());
  return links.find((link) => link.name === name)?.ifindex ?? 0;
}

async function removeScratch(socket: NetlinkSocket): Promise<void> {
  await socket.settle([deleteLink({ name: SCRATCH }), deleteLink({ name: SCRATCH_IFB })]);
}
