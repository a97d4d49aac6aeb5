import { NetError } from "../../state/errors.ts";
import type { CallOptions } from "../../state/waiting/limit.ts";
import type { CtTuple } from "./openflow/ct-flush.ts";
import type { Unixctl } from "./unixctl.ts";
import { unixctlLines } from "./unixctl-lines.ts";

/** One connection that the datapath tracks. */
export interface TrackedConnection {
  readonly zone: number;
  /** IP protocol number. */
  readonly ipProto: number;
  /** The direction of its first packet. */
  readonly orig: CtTuple & { readonly src: string; readonly dst: string };
  readonly mark: number;
}

/** lib/ct-dpif.c, ct_dpif_format_ipproto; others are written as numbers. */
const PROTOCOL_NUMBERS: Readonly<Record<string, number>> = {
  icmp: 1,
  igmp: 2,
  tcp: 6,
  udp: 17,
  dccp: 33,
  icmpv6: 58,
  sctp: 132,
  udplite: 136,
};
const LIST_TIMEOUT_MS = 20_000;

/** All connections, or those of one zone. OpenFlow can forget connections but not list them. */
export async function listConnections(
  control: Unixctl,
  options: CallOptions & { readonly zone?: number } = {},
): Promise<TrackedConnection[]> {
  const { zone, ...limits } = options;
  const args = zone === undefined ? [] : [`zone=${zone}`];
  const text = await control.call("dpctl/dump-conntrack", args, { timeoutMs: LIST_TIMEOUT_MS, ...limits });
  return text
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map(parseConnection);
}

export interface ConnectionQuery {
  /** Of ovs-vswitchd (control-socket.ts). */
  readonly socketPath: string;
  readonly datapathType: "system" | "netdev";
  /** All of them when absent. */
  readonly zone?: number | undefined;
}

/** The datapath's connections, some at a time: there may be hundreds of thousands, and the event loop must not stand still meanwhile. */
export async function* streamConnections(
  { socketPath, datapathType, zone }: ConnectionQuery,
  options: CallOptions = {},
): AsyncGenerator<readonly TrackedConnection[]> {
  const datapath = `${datapathType}@ovs-${datapathType}`;
  const args = zone === undefined ? [datapath] : [datapath, `zone=${zone}`];
  const command = { socketPath, command: "dpctl/dump-conntrack", args };
  const limits = { timeoutMs: LIST_TIMEOUT_MS, ...options };
  for await (const lines of unixctlLines(command, { ...limits, timeoutMs: limits.timeoutMs ?? LIST_TIMEOUT_MS })) {
    yield lines.map(parseConnection);
  }
}

/** `src`, `dst`, then ports, or the members of ICMP, or nothing. */
const LINE =
  /^(\w+),orig=\(src=([^,)]+),dst=([^,)]+)(?:,sport=(\d+),dport=(\d+))?(?:,id=(\d+),type=(\d+),code=(\d+))?[^)]*\),reply=\([^)]*\)/;

/** A line of `ovs-appctl dpctl/dump-conntrack` (lib/ct-dpif.c, ct_dpif_format_entry). There may be very many: one pass each. */
export function parseConnection(line: string): TrackedConnection {
  const match = LINE.exec(line);
  if (match === null) throw unreadable(line);
  const [head, protocol = "", src = "", dst = "", srcPort, dstPort, icmpId, icmpType, icmpCode] = match;
  const ipProto = PROTOCOL_NUMBERS[protocol] ?? Number(protocol);
  if (!Number.isInteger(ipProto)) throw unreadable(line);
  const rest = line.slice(head.length);
  const ports = srcPort === undefined ? {} : { srcPort: Number(srcPort), dstPort: Number(dstPort) };
  const icmp =
    icmpId === undefined ? {} : { icmpId: Number(icmpId), icmpType: Number(icmpType), icmpCode: Number(icmpCode) };
  return {
    ...{ zone: numberIn(rest, ZONE), ipProto, mark: numberIn(rest, MARK) },
    orig: { src, dst, ...ports, ...icmp },
  };
}

const ZONE = /(?:^|,)zone=(\d+)/;
const MARK = /(?:^|,)mark=(0x[0-9a-f]+|\d+)/;

/** Zone 0 and mark 0 are not written. */
function numberIn(text: string, pattern: RegExp): number {
  return Number(pattern.exec(text)?.[1] ?? 0);
}

function unreadable(line: string): NetError {
  return new NetError("PROTOCOL", `Cannot read a connection of the datapath: ${line.slice(0, 200)}`);
}
