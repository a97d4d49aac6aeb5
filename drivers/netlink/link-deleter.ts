import type { Failures } from "../../state/delta.ts";
import { asNetError, NetError } from "../../state/errors.ts";
import { isErrno } from "./errno.ts";
import { deleteLink, deleteLinkGroup, setLink } from "./link.ts";
import type { Message } from "./message.ts";
import { type NetlinkOptions, type NetlinkSocket, openNetlink } from "./socket.ts";

export interface LinkDeleterOptions extends Pick<NetlinkOptions, "netns" | "timeoutMs"> {
  /** Group that links to be deleted are put into. No living link of the namespace may ever be in it. */
  readonly group?: number;
}

/**
 * Deletes links many at a time: the kernel takes about 18 ms for one and hardly more for a group of 64. One deletion
 * runs at a time; what is asked for meanwhile goes into the next.
 */
export interface LinkDeleter extends Disposable {
  /**
   * Deletes links by ifindex; an absent one counts as deleted. Failures are keyed by the ifindex as text. Of a veth
   * pair either end suffices. Never rejects.
   */
  deleteLinks(ifindexes: Iterable<number>): Promise<Failures>;
}

/** Group of links that are about to die, "die" in ASCII. */
export const DELETE_GROUP = 0x64_69_65_00;
/** Links of one send; each takes one message. */
const ROUND_MAX_LINKS = 256;
/** Links of one send when each is deleted by itself, 18 ms each: well within the deadline. */
const SINGLY_MAX_LINKS = 64;
/** Links that may wait; the node has far fewer. */
const WAITING_MAX_LINKS = 16_384;

type Settle = (failure: NetError | undefined) => void;

/** Makes a deleter with a socket of its own, opened when it is needed first. */
export function createLinkDeleter(options: LinkDeleterOptions = {}): LinkDeleter {
  const { group = DELETE_GROUP, ...socketOptions } = options;
  const waiting = new Map<number, Settle[]>();
  let socket: NetlinkSocket | undefined;
  let pumping = false;
  let closed = false;

  function usableSocket(): NetlinkSocket {
    if (socket?.usable === true) return socket;
    socket?.[Symbol.dispose]();
    socket = openNetlink(socketOptions);
    return socket;
  }

  function takeRound(): ReadonlyMap<number, Settle[]> {
    const round = new Map([...waiting].slice(0, ROUND_MAX_LINKS));
    for (const ifindex of round.keys()) waiting.delete(ifindex);
    return round;
  }

  async function pump(): Promise<void> {
    if (pumping) return;
    pumping = true;
    while (waiting.size > 0) {
      const round = takeRound();
      const failures = await deleteRound(usableSocketOrError, [...round.keys()], group);
      for (const [ifindex, settles] of round) for (const settle of settles) settle(failures.get(ifindex));
    }
    pumping = false;
    if (closed) socket?.[Symbol.dispose]();
  }

  function usableSocketOrError(): NetlinkSocket | NetError {
    try {
      return usableSocket();
    } catch (error) {
      return asNetError(error, "open a socket to delete links");
    }
  }

  function enqueue(ifindex: number): Promise<NetError | undefined> {
    if (closed) return Promise.resolve(new NetError("CLOSED", "The link deleter is closed"));
    if (waiting.size >= WAITING_MAX_LINKS) {
      const why = `${waiting.size} links wait to be deleted already`;
      return Promise.resolve(new NetError("UNAVAILABLE", why, { reason: "queue-full" }));
    }
    return new Promise((resolve) => {
      waiting.set(ifindex, [...(waiting.get(ifindex) ?? []), resolve]);
      queueMicrotask(pump); // whatever is asked for in this turn goes into one round
    });
  }

  return {
    async deleteLinks(ifindexes) {
      const asked = await Promise.all(
        [...new Set(ifindexes)].map(async (ifindex) => [ifindex, await enqueue(ifindex)]),
      );
      const failures = new Map<string, NetError>();
      for (const [ifindex, failure] of asked) if (failure instanceof NetError) failures.set(String(ifindex), failure);
      return failures;
    },
    [Symbol.dispose]() {
      closed = true;
      if (!pumping) socket?.[Symbol.dispose]();
    },
  };
}

type RoundFailures = ReadonlyMap<number, NetError>;

async function deleteRound(
  open: () => NetlinkSocket | NetError,
  ifindexes: readonly number[],
  group: number,
): Promise<RoundFailures> {
  const socket = open();
  if (socket instanceof NetError) return allFailed(ifindexes, socket);
  try {
    return await deleteAsGroup(socket, ifindexes, group);
  } catch (error) {
    return allFailed(ifindexes, asNetError(error, "delete links"));
  }
}

async function deleteAsGroup(
  socket: NetlinkSocket,
  ifindexes: readonly number[],
  group: number,
): Promise<RoundFailures> {
  const failures = new Map<number, NetError>();
  const batch: Message[] = [];
  const marked: number[] = [];
  for (const ifindex of ifindexes) {
    try {
      batch.push(setLink({ ifindex }, { group }));
      marked.push(ifindex);
    } catch (error) {
      failures.set(ifindex, asNetError(error, "delete a link")); // not an ifindex at all
    }
  }
  const outcomes = await socket.settle([...batch, deleteLinkGroup(group)]);
  const groupError = outcomes.at(-1)?.error;
  const inGroup = marked.filter((ifindex, index) => noteFailure(failures, ifindex, outcomes[index]?.error));
  if (groupError === undefined || isErrno(groupError, "ENODEV")) return failures;
  return new Map([...failures, ...(await deleteOneByOne(socket, inGroup))]);
}

/** One link that cannot be deleted (a real device) makes the kernel refuse the whole group: find out which. */
async function deleteOneByOne(socket: NetlinkSocket, ifindexes: readonly number[]): Promise<RoundFailures> {
  const failures = new Map<number, NetError>();
  for (let start = 0; start < ifindexes.length; start += SINGLY_MAX_LINKS) {
    const part = ifindexes.slice(start, start + SINGLY_MAX_LINKS);
    const batch = part.flatMap((ifindex) => [setLink({ ifindex }, { group: 0 }), deleteLink({ ifindex })]);
    const outcomes = await socket.settle(batch);
    for (const [index, ifindex] of part.entries()) noteFailure(failures, ifindex, outcomes[index * 2 + 1]?.error);
  }
  return failures;
}

/** True when the link was there. */
function noteFailure(failures: Map<number, NetError>, ifindex: number, error: NetError | undefined): boolean {
  if (error !== undefined && !isErrno(error, "ENODEV")) failures.set(ifindex, error);
  return error === undefined;
}

function allFailed(ifindexes: readonly number[], error: NetError): RoundFailures {
  return new Map(ifindexes.map((ifindex) => [ifindex, error]));
}
