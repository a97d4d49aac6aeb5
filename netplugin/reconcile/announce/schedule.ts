/** One lease of one endpoint: another epoch is another announcement. */
export interface Announcement {
  readonly endpointKey: string;
  readonly epoch: string;
}

export interface ScheduleLimits {
  /** Bursts that may begin within any one second. */
  readonly burstsPerSecond: number;
  /** Bursts that may be under way or waiting for their turn. */
  readonly burstsMax: number;
}

/** When each packet of a burst is sent, after its first, in milliseconds. */
const REPEATS_AFTER_MS = [0, 200, 1_000] as const;
const MS_PER_SECOND = 1_000;

interface Entry {
  readonly announcement: Announcement;
  readonly atMs: number;
}

/** Says when to announce whom; knows no clock: every call is told the time, which never goes back. */
export interface AnnounceSchedule {
  /** A burst of three, as soon as the limits allow. False: too many wait already, it is left out. */
  add(announcement: Announcement, nowMs: number): boolean;
  /** What is to be sent by now; asked once, told once. */
  due(nowMs: number): readonly Announcement[];
  /** Time of the next packet; undefined when there is none. */
  nextAtMs(): number | undefined;
}

/** An empty schedule. */
export function createAnnounceSchedule({ burstsPerSecond, burstsMax }: ScheduleLimits): AnnounceSchedule {
  /** Bursts begin in the order of their coming, so each of these is in the order of time. */
  const queues: Entry[][] = REPEATS_AFTER_MS.map(() => []);
  /** When the last bursts began (or will), as many as fit into a second. */
  const begun: number[] = [];

  function takeTurn(nowMs: number): number {
    const oldestMs = begun.length < burstsPerSecond ? undefined : begun.shift();
    const atMs = oldestMs === undefined ? nowMs : Math.max(nowMs, oldestMs + MS_PER_SECOND);
    begun.push(atMs);
    return atMs;
  }

  return {
    add: (announcement, nowMs) => {
      if ((queues.at(-1)?.length ?? 0) >= burstsMax) return false;
      const firstMs = takeTurn(nowMs);
      for (const [index, afterMs] of REPEATS_AFTER_MS.entries()) {
        queues[index]?.push({ announcement, atMs: firstMs + afterMs });
      }
      return true;
    },
    due: (nowMs) =>
      queues.flatMap((queue) => {
        const later = queue.findIndex((entry) => entry.atMs > nowMs);
        return queue.splice(0, later < 0 ? queue.length : later).map((entry) => entry.announcement);
      }),
    nextAtMs: () => {
      const heads = queues.flatMap((queue) => queue[0]?.atMs ?? []);
      return heads.length === 0 ? undefined : Math.min(...heads);
    },
  };
}
