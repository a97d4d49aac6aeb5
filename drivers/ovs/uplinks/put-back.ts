/** What somebody had taken away from an uplink bridge, and was restored. */
export interface PutBack {
  readonly what: string;
  /** Of the clock, as it is told. */
  readonly atMs: number;
  /** How often in a row, each within `FIGHT_MS` of the one before. */
  readonly times: number;
}

/** One look of whoever collects conditions falls within it. */
const TOLD_ONCE_MS = 60_000;
/** Whoever takes it away again and again (a DHCP client, a script) is to be found: the condition does not come and go with each time. */
const FIGHT_MS = 300_000;

export function putBackAgain(last: PutBack | undefined, what: string, nowMs: number): PutBack {
  const isAgain = last !== undefined && nowMs - last.atMs <= FIGHT_MS;
  return { what, atMs: nowMs, times: isAgain ? last.times + 1 : 1 };
}

/** What is told of it for a while: that it is repaired, when this ends by itself, and how to do it right. */
export function putBackWarning(
  last: PutBack | undefined,
  { bridge, nowMs }: { readonly bridge: string; readonly nowMs: number },
): string | undefined {
  if (last === undefined) return undefined;
  const endMs = last.atMs + (last.times === 1 ? TOLD_ONCE_MS : FIGHT_MS);
  if (nowMs >= endMs || nowMs < last.atMs) return undefined; // a clock that was set back tells nothing
  const end = `${new Date(endMs).toISOString().slice(0, 19)}Z`;
  const repaired = `somebody has taken away ${last.what}; it was put back and the uplink works; this condition ends by itself at ${end}`;
  const change = `to change an address, add the new one to ${bridge} before you delete the old one`;
  if (last.times === 1) return `${repaired}; ${change}`;
  return `${repaired} unless it happens again: it was ${last.times} times, each within ${FIGHT_MS / 60_000} minutes of the one before; find the program that does it (a DHCP client, a network manager, a script); ${change}`;
}
