import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { EndedLease as Lease } from "../../machine/ended-leases.ts";
import { GatheredReleases } from "./gathered-releases.ts";

const lease = (key: string, epoch = "e1"): Lease => ({ key, epoch });

let calls: { readonly keys: readonly string[]; readonly answer: () => void }[];
let ending: AbortController;
let gathered: GatheredReleases;

beforeEach(() => {
  vi.useFakeTimers();
  calls = [];
  ending = new AbortController();
  const release = (leases: readonly Lease[]) =>
    new Promise<void>((answer) => calls.push({ keys: leases.map(({ key }) => key), answer }));
  gathered = new GatheredReleases({ release, signal: ending.signal });
});
afterEach(() => {
  vi.useRealTimers();
});

const sent = () => calls.map(({ keys }) => keys);

describe("releases that are gathered", () => {
  it("go together, 100 ms after the first", () => {
    gathered.add(lease("a"));
    vi.advanceTimersByTime(60);
    gathered.add(lease("b"));
    vi.advanceTimersByTime(39);
    expect(sent()).toEqual([]);
    vi.advanceTimersByTime(1);
    expect(sent()).toEqual([["a", "b"]]);
    gathered.add(lease("c"));
    vi.advanceTimersByTime(100);
    expect(sent()).toEqual([["a", "b"], ["c"]]);
  });

  it("go at once when there are as many as one call may have", () => {
    for (let index = 0; index < 101; index++) gathered.add(lease(`k${index}`));
    expect(sent().map(({ length }) => length)).toEqual([100]);
    vi.advanceTimersByTime(100);
    expect(sent().map(({ length }) => length)).toEqual([100, 1]);
  });

  it("are held until they are answered, and a flush waits for that", async () => {
    gathered.add(lease("a"));
    expect([gathered.holds("a"), gathered.holds("b")]).toEqual([true, false]);
    let isFlushed = false;
    const flushed = gathered.flush().then(() => {
      isFlushed = true;
    });
    expect(sent()).toEqual([["a"]]);
    gathered.add(lease("b"));
    await vi.advanceTimersByTimeAsync(10);
    expect([isFlushed, gathered.holds("a"), gathered.holds("b")]).toEqual([false, true, true]);
    calls[0]?.answer();
    await flushed;
    expect([gathered.holds("a"), gathered.holds("b")]).toEqual([false, true]);
  });

  it("a flush of nothing ends at once", async () => {
    await gathered.flush();
    expect(sent()).toEqual([]);
  });

  it("go with nobody when the process ends: the next one finds them", () => {
    gathered.add(lease("a"));
    ending.abort();
    vi.advanceTimersByTime(1_000);
    expect(sent()).toEqual([]);
  });
});
