import { asNetError } from "../../state/errors.ts";
import { isErrno } from "../netlink/errno.ts";
import { addMatchAll } from "../netlink/filter.ts";
import { createLink, createVeth, deleteLink, dumpLinks } from "../netlink/link.ts";
import type { Message } from "../netlink/message.ts";
import type { NetnsHandle } from "../netlink/netns.ts";
import { addIngress, replaceTbf } from "../netlink/qdisc.ts";
import { type NetlinkSocket, openNetlink } from "../netlink/socket.ts";
import type { SwitchConnection } from "../ovs/openflow/connection.ts";

/** What this node's kernel and switch can do, found out by doing it on a scratch link. */
export interface Capabilities {
  /** Can the kernel police what a port receives (act_police with matchall or basic)? */
  readonly ingressPolicing: boolean;
  readonly tbf: boolean;
  /** Redirect to an ifb with u32 and mirred. */
  readonly ifbRedirect: boolean;
  readonly meters: boolean;
  readonly conntrack: boolean;
}

const SCRATCH = "cprobe0";
const SCRATCH_PEER = "cprobe1";
const SCRATCH_IFB = "cprobe2";
const PROBE_RATE_BYTES_PER_SECOND = 125_000;
const PROBE_BURST_BYTES = 65_536;
/** What the kernel answers when it lacks a qdisc, classifier or action, or a device kind. */
const ABSENT = ["ENOENT", "EOPNOTSUPP", "EINVAL", "ENODEV"];

export interface ProbeOptions {
  readonly connection: SwitchConnection;
  /** Where the scratch links come and go; this process's own by default. */
  readonly netns?: NetnsHandle;
  /** Marks the flow that is tried, so that nobody takes it for a stranger's. */
  readonly cookie: bigint;
}

/**
 * Probes kernel and switch. A probe that fails for another reason than absence is an error. The scratch links come and go in `netns`,
 * which should not be the switch's: with every link that changes there Open vSwitch looks up anew which ways tunnels take, and a packet
 * for a tunnel can be lost meanwhile (seen in 3.1 with the userspace datapath).
 */
export async function probeCapabilities(options: ProbeOptions): Promise<Capabilities> {
  const { netns } = options;
  using socket = openNetlink(netns === undefined ? {} : { netns });
  await removeScratch(socket);
  try {
    await socket.execute([createVeth({ name: SCRATCH, up: true }, { name: SCRATCH_PEER })]);
    return { ...(await probeKernel(socket)), ...(await probeSwitch(options)) };
  } finally {
    await removeScratch(socket);
  }
}

async function probeKernel(socket: NetlinkSocket) {
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

/** Conntrack is probed by a flow in a table that nothing leads to; a datapath without zones refuses it. */
async function probeSwitch({ connection, cookie }: ProbeOptions) {
  const features = await connection.meterFeatures();
  const probe = {
    table: 253,
    priority: 1,
    cookie,
    match: { ethType: 0x0800, inPort: "local" },
    actions: [{ kind: "ct", commit: true, zone: 1 }],
  } as const;
  const conntrack = await connection.bundle([{ kind: "flow-add", flow: probe }]).then(
    () => true,
    () => false,
  );
  if (conntrack) await connection.bundle([{ kind: "flow-delete-strict", flow: probe }]);
  return { meters: features.maxMeters > 0, conntrack };
}
