import { isErrno } from "../drivers/netlink/errno.ts";
import { getLink } from "../drivers/netlink/link.ts";
import { createLinkDeleter } from "../drivers/netlink/link-deleter.ts";
import type { SocketPool } from "../drivers/netlink/pool.ts";
import type { Panel } from "../drivers/ovs/pod-ports/panel.ts";
import { createPortCloser } from "../drivers/ovs/pod-ports/port-closer.ts";
import { openPortPool, peerNameOf } from "../drivers/ovs/pod-ports/port-pool.ts";
import { createPortRecycler, deletePodEnd } from "../drivers/ovs/pod-ports/port-recycler.ts";
import type { OpenOvsDriver } from "../drivers/ovs/switch.ts";
import type { PortPool } from "../drivers/ovs/types.ts";
import type { PodEnd } from "../drivers/pod-interface.ts";
import type { NetError } from "../state/errors.ts";
import type { AttachmentRecords } from "./machine/attachment-records.ts";
import type { MachineView } from "./machine/machine-view.ts";

type Report = (error: NetError) => void;

const DEFAULT_MTU_BYTES = 1_500;

export interface PoolParts {
  readonly driver: OpenOvsDriver;
  readonly panel: Panel;
  readonly readyPortCount: number;
  readonly report: Report;
}

export function openPool({ driver, panel, readyPortCount, report }: PoolParts): Promise<PortPool> {
  return openPortPool({
    ports: driver.ports,
    netlink: driver.netlink,
    panel,
    target: readyPortCount,
    mtuBytes: portMtuBytes(driver),
    finishChecksums: driver.datapathType === "netdev",
    closeNearEnds: (near) => driver.guard.closeNearEnds(near),
    report,
  });
}

export interface CloserParts {
  readonly driver: OpenOvsDriver;
  readonly signal: AbortSignal;
  readonly machine: MachineView;
  readonly panel: Panel;
  readonly pool: PortPool;
  readonly records: AttachmentRecords;
  readonly report: Report;
}

/** A port that is being closed is no attachment any more, from that moment on. */
export function openCloser({ driver, signal, machine, panel, pool, records, report }: CloserParts) {
  const deleter = createLinkDeleter();
  const { ports, netlink } = driver;
  const closer = createPortCloser({ ports, netlink, deleter, signal, onClosed: machine.closed, report });
  const recycler = createPortRecycler({ pool, close: closer.close, onClean: machine.closed, report, deletePodEnd });
  const begin = (portName: string) => {
    const isMine = machine.close(portName);
    if (isMine) records.forget(portName);
    return isMine;
  };
  return {
    close: (portName: string) => {
      if (begin(portName)) closer.close(portName);
    },
    remove: (portName: string, podEnd: PodEnd | undefined) => {
      const isMine = begin(portName);
      // Without macvlan the pod's interface is the far end itself, and goes with the port.
      if (isMine && podEnd !== undefined && panel.podEnd === "macvlan") return recycler.recycle(portName, podEnd);
      podEnd?.netns[Symbol.dispose]();
      if (isMine) closer.close(portName);
    },
    [Symbol.asyncDispose]: async () => {
      await recycler.idle();
      await closer.idle();
      deleter[Symbol.dispose]();
    },
  };
}

export function lowerIfIndex(driver: OpenOvsDriver, panel: Panel, portName: string): Promise<number | undefined> {
  if (panel.podEnd === "macvlan") return ifIndexOf(panel.netlink, peerNameOf(portName));
  return ifIndexOf(driver.netlink, portName);
}

async function ifIndexOf(netlink: SocketPool, name: string): Promise<number | undefined> {
  try {
    return (await netlink.get(getLink({ name }))).ifindex;
  } catch (error) {
    if (isErrno(error, "ENODEV")) return undefined;
    throw error;
  }
}

/** No network of this node carries more than its uplinks do. */
export function portMtuBytes(driver: OpenOvsDriver): number {
  return Math.max(DEFAULT_MTU_BYTES, ...[...driver.uplinks().values()].map((uplink) => uplink.mtuBytes));
}
