import type { PacketOut } from "../../../drivers/ovs/openflow/packet.ts";
import { asNetError, type NetError } from "../../../state/errors.ts";
import { createAlarm, every } from "../../../state/waiting/alarm.ts";
import { deadline } from "../../../state/waiting/deadline.ts";
import { output, setField, setTunnelDestination } from "../../desired/pipeline/actions.ts";
import type { Machine } from "../../machine/machine.ts";
import type { NodeView } from "../../view/node-view.ts";
import { recordsOf } from "../../view/query.ts";

export interface TunnelWarmerOptions {
  readonly view: () => NodeView;
  readonly machine: () => Machine;
  readonly send: (packet: PacketOut, signal: AbortSignal) => Promise<void>;
  readonly signal: AbortSignal;
  readonly report: (error: NetError) => void;
}

/**
 * The userspace switch drops the first packets of a new tunnel while it asks for the neighbour's MAC. So it is made to ask as soon as
 * a peer is known: by a frame in a tunnel of VNI 0, which belongs to no network and which every peer drops.
 */
export interface TunnelWarmer {
  /** To be called when flows have been installed; finds by itself which peers are new. */
  look(): void;
  /** The switch has started anew and knows no neighbour. */
  forget(): void;
}

const NO_NETWORK_VNI = 0n;
/** IEEE 802 local experimental EtherType 1, to a group address of nobody. */
const PROBE = Buffer.from(`030000000000${"020000000000"}88b5${"00".repeat(46)}`, "hex");
const PROBE_INTERVAL_MS = 100;
const PROBES_PER_PEER = 3;
/** OVS forgets a neighbour that it has not heard of for 15 minutes. */
const REFRESH_INTERVAL_MS = 5 * 60_000;
const SEND_TIMEOUT_MS = 2_000;

export function createTunnelWarmer(options: TunnelWarmerOptions): TunnelWarmer {
  let warmed = new Set<string>();
  let queue: string[] = [];
  const alarm = createAlarm(() => void probeRound(), options.signal);
  every(REFRESH_INTERVAL_MS, forgetAndLook, options.signal);

  function forgetAndLook(): void {
    warmed = new Set();
    look();
  }

  function look(): void {
    const peers = peersOf(options.view(), options.machine());
    const fresh = [...peers].filter((vtepIp) => !warmed.has(vtepIp));
    warmed = peers;
    if (fresh.length === 0) return;
    const idle = queue.length === 0;
    for (let round = 0; round < PROBES_PER_PEER; round++) queue.push(...fresh, "");
    if (idle) void probeRound();
  }

  /** Probes up to the next round's mark, then pauses. */
  async function probeRound(): Promise<void> {
    const end = queue.indexOf("");
    const round = queue.slice(0, end);
    queue = queue.slice(end + 1);
    for (const vtepIp of round) await probe(vtepIp);
    if (queue.length > 0) alarm.soon(PROBE_INTERVAL_MS);
  }

  async function probe(vtepIp: string): Promise<void> {
    const { tunnelOfport } = options.machine();
    if (tunnelOfport === undefined || options.signal.aborted) return;
    const actions = [setField("tunId", NO_NETWORK_VNI), setTunnelDestination(vtepIp), output(tunnelOfport)];
    try {
      using limit = deadline(SEND_TIMEOUT_MS, options.signal);
      await options.send({ inPort: "controller", actions, data: PROBE }, limit.signal);
    } catch (error) {
      if (!options.signal.aborted) options.report(asNetError(error, `prepare the tunnel to ${vtepIp}`));
    }
  }

  return {
    look,
    forget: () => {
      warmed = new Set();
    },
  };
}

function peersOf(view: NodeView, { nodeName, vtepIp }: Machine): Set<string> {
  const peers = new Set<string>();
  for (const node of recordsOf(view, "node")) {
    const peer = node.registration.vtepIp;
    if (node.key !== nodeName && peer !== undefined && peer !== vtepIp) peers.add(peer);
  }
  return peers;
}
