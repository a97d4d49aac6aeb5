/** Connection tracking as far as the flows can see it: one entry per connection and zone. No time passes. */

/** lib/packets.h, CS_*_BIT. */
export const CtState = { new: 1, est: 2, rel: 4, rpl: 8, inv: 16, trk: 32 } as const;

const TCP = 6;
const TCP_SYN = 0x002;
const TCP_RST = 0x004;
const TCP_ACK = 0x010;
/** Protocols of which Open vSwitch's userspace conntrack knows connections. */
const TRACKABLE = new Set([1, 6, 17, 58]);

/** One direction of a connection. */
export interface Tuple {
  readonly protocol: number;
  readonly src: bigint;
  readonly dst: bigint;
  readonly srcPort: number;
  readonly dstPort: number;
}

export interface Connection {
  readonly zone: number;
  readonly orig: Tuple;
  mark: number;
  /** A packet of the other direction has been seen. */
  isAnswered: boolean;
}

/** What a packet says that conntrack asks for. */
export interface Tracked {
  readonly tuple: Tuple;
  readonly tcpFlags: number;
  /** ICMP error: the packet that it is about. */
  readonly about: Tuple | undefined;
}

export interface Tracking {
  readonly state: number;
  readonly mark: number;
  /** The original direction, where it is known. */
  readonly orig: Tuple | undefined;
}

export interface SimulatedConntrack {
  track(zone: number, packet: Tracked): Tracking;
  commit(zone: number, packet: Tracked, change: (mark: number) => number): void;
  readonly connections: readonly Connection[];
  flush(which?: (connection: Connection) => boolean): void;
}

export function simulateConntrack(): SimulatedConntrack {
  let connections: Connection[] = [];

  function find(zone: number, tuple: Tuple): { connection: Connection; isReply: boolean } | undefined {
    for (const connection of connections) {
      if (connection.zone !== zone) continue;
      if (isEqual(connection.orig, tuple)) return { connection, isReply: false };
      if (isEqual(connection.orig, reversed(tuple))) return { connection, isReply: true };
    }
    return undefined;
  }

  function track(zone: number, { tuple, tcpFlags, about }: Tracked): Tracking {
    const found = find(zone, about === undefined ? tuple : reversed(about));
    if (about !== undefined) {
      if (found === undefined || about.src !== tuple.dst)
        return { state: CtState.trk | CtState.inv, mark: 0, orig: undefined };
      const { connection, isReply } = found;
      const state = CtState.trk | CtState.rel | (isReply ? CtState.rpl : 0);
      return { state, mark: connection.mark, orig: connection.orig };
    }
    if (found === undefined)
      return { state: CtState.trk | (canBegin(tuple, tcpFlags) ? CtState.new : CtState.inv), mark: 0, orig: tuple };
    const { connection, isReply } = found;
    if (isReply) connection.isAnswered = true;
    const state = CtState.trk | (connection.isAnswered ? CtState.est : CtState.new) | (isReply ? CtState.rpl : 0);
    return { state, mark: connection.mark, orig: connection.orig };
  }

  return {
    track,
    commit: (zone, { tuple, about }, change) => {
      if (about !== undefined || !TRACKABLE.has(tuple.protocol)) return;
      const present = find(zone, tuple)?.connection;
      if (present === undefined) connections.push({ zone, orig: tuple, mark: change(0), isAnswered: false });
      else present.mark = change(present.mark);
    },
    get connections() {
      return connections;
    },
    flush: (which = () => true) => {
      connections = connections.filter((connection) => !which(connection));
    },
  };
}

/** lib/conntrack-tcp.c, tcp_valid_new: an answer to a SYN and a reset begin nothing. */
function canBegin({ protocol }: Tuple, tcpFlags: number): boolean {
  if (!TRACKABLE.has(protocol)) return false;
  if (protocol !== TCP) return true;
  return (tcpFlags & TCP_RST) === 0 && (tcpFlags & (TCP_SYN | TCP_ACK)) !== (TCP_SYN | TCP_ACK);
}

function isEqual(left: Tuple, right: Tuple): boolean {
  return (
    left.protocol === right.protocol &&
    left.src === right.src &&
    left.dst === right.dst &&
    left.srcPort === right.srcPort &&
    left.dstPort === right.dstPort
  );
}

export function reversed({ protocol, src, dst, srcPort, dstPort }: Tuple): Tuple {
  return { protocol, src: dst, dst: src, srcPort: dstPort, dstPort: srcPort };
}
