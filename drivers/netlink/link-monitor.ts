import { NetError } from "../../state/errors.ts";
import { RTM_DELADDR, RTM_NEWADDR, readAddress } from "./address.ts";
import { aborted } from "./call-queue.ts";
import { isErrno } from "./errno.ts";
import { close } from "./libc.ts";
import { RTM_DELLINK, RTM_NEWLINK, readLink } from "./link-row.ts";
import type { Received } from "./message.ts";
import type { NetnsHandle } from "./netns.ts";
import { watchReadable } from "./readable.ts";
import { RTM_DELROUTE, RTM_NEWROUTE, readRoute } from "./route.ts";
import { RTM_DELQDISC, RTM_NEWQDISC, readTcHeader } from "./traffic-control.ts";
import { NETLINK_ROUTE, openDescriptor, receiveNow } from "./transport.ts";

/** What to look at again. It does not say what happened: read the link, and believe only that. */
export type LinkChange =
  | {
      readonly kind: "links";
      readonly ifindexes: ReadonlySet<number>;
      /** Those among them whose qdiscs have changed. */
      readonly withQdiscs: ReadonlySet<number>;
    }
  /** Everything: the watch has just begun, or events were lost. */
  | { readonly kind: "resync"; readonly reason: "start" | "overflow" };

export interface LinkMonitorOptions {
  readonly netns?: NetnsHandle | undefined;
  /** Also report links whose addresses changed. */
  readonly withAddresses?: boolean;
  /** Also report links whose directly connected routes, or those through a gateway, came or went. */
  readonly withRoutes?: boolean;
  /** Also report links whose qdiscs changed. */
  readonly withQdiscs?: boolean;
  /** Whether an open monitor keeps the process alive; not by default. */
  readonly keepAlive?: boolean;
  /** Events that may wait in the kernel before they are lost, which is reported as a resync. */
  readonly receiveBufferBytes?: number;
}

/** Watches the links of a namespace. Changes gather until they are asked for; nothing is lost and nothing grows. */
export interface LinkMonitor extends Disposable {
  /** The changes since the last answer, as soon as there are any. The first answer is `resync`. One caller at a time. */
  next(options?: { readonly signal?: AbortSignal | undefined }): Promise<LinkChange>;
}

// linux/rtnetlink.h, the legacy mask of groups
const RTMGRP_LINK = 0x1;
const RTMGRP_TC = 0x8;
const RTMGRP_IPV4_IFADDR = 0x10;
const RTMGRP_IPV4_ROUTE = 0x40;
const RTMGRP_IPV6_IFADDR = 0x100;
const RTMGRP_IPV6_ROUTE = 0x400;
const DATAGRAMS_PER_TURN_MAX = 200;
/** So many changed links are not worth looking at one by one. */
const IFINDEXES_MAX = 4_096;
const TIMEOUT_MS = 1_000; // of blocking reads, which a monitor does not do

/** Opens a monitor; what changes from now on is reported. */
export function openLinkMonitor(options: LinkMonitorOptions = {}): LinkMonitor {
  const { netns, keepAlive = false, receiveBufferBytes } = options;
  const groups = groupsOf(options);
  const fd = openDescriptor({ protocol: NETLINK_ROUTE, netns, timeoutMs: TIMEOUT_MS, groups, receiveBufferBytes });
  const pending = createPending();
  let failure: NetError | undefined;
  let wake: (() => void) | undefined;

  const watch = watchReadable(fd, onReadable, { keepAlive });

  function onReadable(): void {
    try {
      drain(fd, pending);
    } catch (error) {
      if (isErrno(error, "ENOBUFS")) pending.overflow();
      else stop(error instanceof NetError ? error : new NetError("INTERNAL", "Cannot watch links", { cause: error }));
    }
    wake?.();
  }

  function stop(why: NetError): void {
    if (failure !== undefined) return;
    failure = why;
    watch[Symbol.dispose]();
    close(fd);
    wake?.();
  }

  return {
    async next({ signal } = {}) {
      if (wake !== undefined) throw new NetError("INTERNAL", "Somebody waits for this link monitor already");
      for (;;) {
        if (failure !== undefined) throw failure;
        if (signal?.aborted) throw aborted(signal, "wait for changes of links");
        const change = pending.take();
        if (change !== undefined) return change;
        await new Promise<void>((resolve) => {
          wake = resolve;
          signal?.addEventListener("abort", wake, { once: true });
        }).finally(() => {
          if (wake !== undefined) signal?.removeEventListener("abort", wake);
          wake = undefined;
        });
      }
    },
    [Symbol.dispose]: () => stop(new NetError("CLOSED", "The link monitor is closed")),
  };
}

function groupsOf({ withAddresses = false, withRoutes = false, withQdiscs = false }: LinkMonitorOptions): number {
  const addresses = withAddresses ? RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR : 0;
  const routes = withRoutes ? RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE : 0;
  return RTMGRP_LINK | addresses | routes | (withQdiscs ? RTMGRP_TC : 0);
}

interface Pending {
  add(ifindex: number, isQdisc: boolean): void;
  overflow(): void;
  take(): LinkChange | undefined;
}

function createPending(): Pending {
  let resync: "start" | "overflow" | undefined = "start";
  let ifindexes = new Set<number>();
  let withQdiscs = new Set<number>();
  return {
    add(ifindex, isQdisc) {
      if (resync === undefined) ifindexes.add(ifindex);
      if (resync === undefined && isQdisc) withQdiscs.add(ifindex);
      if (ifindexes.size > IFINDEXES_MAX) this.overflow();
    },
    overflow() {
      resync ??= "overflow";
      ifindexes = new Set();
      withQdiscs = new Set();
    },
    take() {
      const change: LinkChange | undefined =
        resync !== undefined
          ? { kind: "resync", reason: resync }
          : ifindexes.size > 0
            ? { kind: "links", ifindexes, withQdiscs }
            : undefined;
      resync = undefined;
      ifindexes = new Set();
      withQdiscs = new Set();
      return change;
    },
  };
}

/** A bounded part of what is there; the loop comes back for the rest. */
function drain(fd: number, pending: Pending): void {
  for (let count = 0; count < DATAGRAMS_PER_TURN_MAX; count++) {
    const messages = receiveNow(fd);
    if (messages === undefined) return;
    for (const message of messages) {
      const ifindex = changedIfindex(message);
      if (ifindex !== undefined) pending.add(ifindex, message.type === RTM_NEWQDISC || message.type === RTM_DELQDISC);
    }
  }
}

function changedIfindex({ type, body }: Received): number | undefined {
  switch (type) {
    case RTM_NEWLINK:
    case RTM_DELLINK:
      return readLink(body).ifindex;
    case RTM_NEWADDR:
    case RTM_DELADDR:
      return readAddress(body)?.ifindex;
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
      return readRoute(body)?.ifindex;
    case RTM_NEWQDISC:
    case RTM_DELQDISC:
      return readTcHeader(body).ifindex;
    default:
      return undefined;
  }
}
