/** What a member says of itself. */
export interface MemberStatus {
  /** Two endpoints of one member are one witness. */
  readonly memberId: string;
  readonly version: string;
  readonly revision: bigint;
  /** How far it has applied the log that all members share. Asked after the revision. */
  readonly appliedIndex: bigint;
}

/** The hash of all that a member holds up to the revision that was asked for. */
export interface MemberHash {
  readonly hash: string;
  readonly compactRevision: string;
}

/** By endpoint. */
export type Statuses = ReadonlyMap<string, MemberStatus>;

export interface Verdict {
  /** Agree with most members. */
  readonly agreeing: ReadonlySet<string>;
  /** Differ from what most members agree on; with what differs. */
  readonly diverged: ReadonlyMap<string, string>;
  /** Differ from each other, and none has most members on its side: nobody can be told right. */
  readonly undecided: readonly string[];
}

/** Members that have gone back, or are at another revision than others at the same place in the log: worth comparing at once. */
export function suspicious(before: Statuses, now: Statuses): readonly string[] {
  const entries = [...now];
  return entries
    .filter(([url, status]) => {
      const past = before.get(url);
      const goesBack =
        past !== undefined && (status.appliedIndex < past.appliedIndex || status.revision < past.revision);
      const strays = entries.some(
        ([, other]) => other.appliedIndex === status.appliedIndex && other.revision !== status.revision,
      );
      return goesBack || strays;
    })
    .map(([url]) => url);
}

/**
 * Members at a lower revision than most others although no less of the log is applied: they hold other data, and have no revision at which the
 * others could be asked. `first` was asked before `second`, so that a member that is merely behind is not among them.
 */
export function lacking(first: Statuses, second: Statuses, memberCount: number): ReadonlySet<string> {
  const found = [...second].filter(([url, { revision }]) => {
    const appliedIndex = first.get(url)?.appliedIndex ?? -1n;
    const witnesses = [...first.values()].filter(
      (other) => other.appliedIndex <= appliedIndex && other.revision > revision,
    );
    return isMost(new Set(witnesses.map(({ memberId }) => memberId)).size, memberCount);
  });
  return new Set(found.map(([url]) => url));
}

/** The newest revision that all of them have, except for the given ones. */
export function commonRevision(statuses: Statuses, except: ReadonlySet<string>): bigint | undefined {
  let lowest: bigint | undefined;
  for (const [url, { revision }] of statuses) {
    if (!except.has(url) && (lowest === undefined || revision < lowest)) lowest = revision;
  }
  return lowest;
}

/** Members that have applied all that any had applied before: what they hold now is what they will go on from. */
export function caughtUp(first: Statuses, second: Statuses): ReadonlySet<string> {
  const reached = [...first.values()].reduce(
    (most, { appliedIndex }) => (appliedIndex > most ? appliedIndex : most),
    0n,
  );
  return new Set([...second].filter(([, { appliedIndex }]) => appliedIndex >= reached).map(([url]) => url));
}

/** How many members there are: endpoints that reach the same one count once, those that do not answer count each. */
export function countMembers(statuses: Statuses, endpointCount: number): number {
  return endpointCount - statuses.size + new Set([...statuses.values()].map(({ memberId }) => memberId)).size;
}

export interface Circumstances {
  readonly revision: bigint;
  readonly memberCount: number;
  /** See `lacking`. */
  readonly lackingUrls: ReadonlySet<string>;
  /** Known to hold other data: they make nobody doubtful. */
  readonly distrusted: ReadonlySet<string>;
}

/**
 * Who holds other data. Only hashes of members of the same version that have forgotten the same part of their history say anything about each other; a
 * member that did not answer, or whose answer cannot be compared, is neither right nor wrong.
 */
export function judge(
  hashes: ReadonlyMap<string, MemberHash>,
  statuses: Statuses,
  { revision, memberCount, lackingUrls, distrusted }: Circumstances,
): Verdict {
  const agreeing = new Set<string>();
  const diverged = new Map<string, string>();
  const undecided: string[] = [];
  for (const url of lackingUrls) {
    const found = statuses.get(url)?.revision;
    diverged.set(url, `is at revision ${found}, lower than most other members at the same place in their log`);
  }
  for (const comparable of groups(hashes.keys(), (url) => basisOf(hashes.get(url), statuses.get(url)))) {
    const camps = groups(comparable, (url) => hashes.get(url)?.hash ?? "");
    const most = camps.find((urls) => isMost(countMembers(only(statuses, urls), urls.length), memberCount));
    for (const url of most ?? []) agreeing.add(url);
    const others = camps.filter((camp) => camp !== most).flat();
    if (most !== undefined)
      for (const url of others) diverged.set(url, `holds other data than most members at revision ${revision}`);
    const doubtful = camps.map((urls) => urls.filter((url) => !distrusted.has(url))).filter((urls) => urls.length > 0);
    if (most === undefined && doubtful.length > 1) undecided.push(...doubtful.flat());
  }
  return { agreeing, diverged, undecided };
}

function isMost(count: number, memberCount: number): boolean {
  return count * 2 > memberCount;
}

/** etcd says -1 or 0 where nothing was compacted yet. */
function basisOf(hash: MemberHash | undefined, status: MemberStatus | undefined): string {
  return `${Math.max(0, Number(hash?.compactRevision))} ${status?.version}`;
}

function only(statuses: Statuses, urls: readonly string[]): Statuses {
  return new Map([...statuses].filter(([url]) => urls.includes(url)));
}

function groups(urls: Iterable<string>, keyOf: (url: string) => string): readonly (readonly string[])[] {
  const found = new Map<string, string[]>();
  for (const url of urls) {
    const group = found.get(keyOf(url));
    if (group === undefined) found.set(keyOf(url), [url]);
    else group.push(url);
  }
  return [...found.values()];
}

/** What two verdicts in a row say; a hash that was taken during a compaction may differ once. */
export function confirmed(first: Verdict, second: Verdict): Verdict {
  return {
    agreeing: second.agreeing,
    diverged: new Map([...second.diverged].filter(([url]) => first.diverged.has(url))),
    undecided: second.undecided.filter((url) => first.undecided.includes(url)),
  };
}
