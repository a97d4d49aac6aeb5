import { describe, expect, it } from "vitest";
import {
  caughtUp,
  commonRevision,
  confirmed,
  countMembers,
  judge,
  lacking,
  type MemberHash,
  type MemberStatus,
  type Statuses,
  suspicious,
  type Verdict,
} from "./member-compare.ts";

/** Revision and applied index of members a, b, …; undefined: it does not answer. */
function statuses(...places: readonly (readonly [revision: number, appliedIndex: number] | undefined)[]): Statuses {
  const found = new Map<string, MemberStatus>();
  for (const [index, place] of places.entries()) {
    if (place === undefined) continue;
    const name = String.fromCharCode(97 + index);
    const [revision, appliedIndex] = place;
    const numbers = { revision: BigInt(revision), appliedIndex: BigInt(appliedIndex) };
    found.set(name, { memberId: name, version: "3.4.23", ...numbers });
  }
  return found;
}

const ALIKE: readonly [number, number] = [100, 200];

/** What is said of members a, b, … with these hashes; "hash/compacted", "-": no answer. */
function verdict(
  text: string,
  { distrusted = "", known = undefined as Statuses | undefined }: { distrusted?: string; known?: Statuses } = {},
): Verdict {
  const words = text.split(" ");
  const hashes = new Map<string, MemberHash>();
  for (const [index, word] of words.entries()) {
    const [hash = "", compactRevision = "50"] = word.split("/");
    if (hash !== "-") hashes.set(String.fromCharCode(97 + index), { hash, compactRevision });
  }
  const found = known ?? statuses(...words.map((word) => (word === "-" ? undefined : ALIKE)));
  const memberCount = countMembers(found, words.length);
  const circumstances = {
    revision: 100n,
    memberCount,
    lackingUrls: new Set<string>(),
    distrusted: new Set(distrusted),
  };
  return judge(hashes, found, circumstances);
}

function said({ agreeing, diverged, undecided }: Verdict): string {
  return [[...agreeing], [...diverged.keys()], undecided].map((urls) => [...urls].sort().join("")).join("|");
}

describe("whose data differ", () => {
  it.each([
    ["all agree", "x x x", "abc||"],
    ["one of three differs", "x y x", "ac|b|"],
    ["two of five differ, also from each other", "x y x z x", "ace|bd|"],
    ["all differ", "x y z", "||abc"],
    ["two that differ", "x y", "||ab"],
    ["two that agree", "x x", "ab||"],
    ["two of four each", "x x y y", "||abcd"],
    ["one is away, the others agree", "x - x", "ac||"],
    ["one is away, the others differ", "x - y", "||ac"],
    ["two of five are away, and one of the others differs: two are not most of five", "x - x - y", "||ace"],
    ["one alone", "x - -", "||"],
  ])("%s", (_, hashes, wanted) => {
    expect(said(verdict(hashes))).toBe(wanted);
  });

  it("is told with the revision", () => {
    expect(verdict("x y x").diverged.get("b")).toBe("holds other data than most members at revision 100");
  });

  it.each([
    ["a member that has compacted more is not accused", "x/50 y/60 x/50", "ac||"],
    ["nor one that has compacted less", "x/60 y/50 x/60", "ac||"],
    ["all have compacted differently", "x/40 y/50 z/60", "||"],
    ["nothing compacted is said in two ways", "x/-1 x/0 y/0", "ab|c|"],
  ])("only where the same has been compacted: %s", (_, hashes, wanted) => {
    expect(said(verdict(hashes))).toBe(wanted);
  });

  it("only among members of one version", () => {
    const known = new Map(statuses(ALIKE, ALIKE, ALIKE));
    known.set("b", { memberId: "b", version: "3.5.9", revision: 100n, appliedIndex: 200n });
    expect(said(verdict("x y x", { known }))).toBe("ac||");
  });

  it("counts a member that two endpoints reach once", () => {
    const known = new Map(statuses(ALIKE, ALIKE, ALIKE));
    known.set("b", { ...ALIKE_A, memberId: "a" });
    expect(countMembers(known, 3)).toBe(2);
    expect(said(verdict("x x y", { known }))).toBe("||abc");
  });

  it("one that is known to be wrong makes no other doubtful", () => {
    expect(said(verdict("x - y", { distrusted: "c" }))).toBe("||");
    expect(said(verdict("x - x", { distrusted: "c" }))).toBe("ac||");
  });

  it("is believed when two comparisons in a row say so", () => {
    expect(said(confirmed(verdict("x y x"), verdict("x x x")))).toBe("abc||");
    expect(said(confirmed(verdict("x y x"), verdict("x x y")))).toBe("ab||");
    expect(said(confirmed(verdict("x y x"), verdict("x y x")))).toBe("ac|b|");
    expect(said(confirmed(verdict("x y -"), verdict("x y -")))).toBe("||ab");
  });
});

const ALIKE_A = { version: "3.4.23", revision: 100n, appliedIndex: 200n };

describe("at which revision members are compared", () => {
  it("is the newest that all have, so that one that is behind is not accused", () => {
    const now = statuses([100, 200], [90, 190], [101, 201]);
    expect(commonRevision(now, new Set())).toBe(90n);
    expect([...lacking(now, now, 3)]).toEqual([]);
  });

  it("is not that of one which lacks revisions though it has applied as much of the log as most others", () => {
    const now = statuses([100, 200], [60, 200], [100, 200]);
    expect([...lacking(now, now, 3)]).toEqual(["b"]);
    expect(commonRevision(now, new Set("b"))).toBe(100n);
    const lackingUrls = new Set("b");
    const hashes = new Map(["a", "c"].map((url) => [url, { hash: "x", compactRevision: "70" }]));
    const found = judge(hashes, now, { revision: 100n, memberCount: 3, lackingUrls, distrusted: new Set() });
    expect(said(found)).toBe("ac|b|");
    expect(found.diverged.get("b")).toMatch(/^is at revision 60, lower than most/);
  });

  it("where one has more than the others, nobody lacks anything", () => {
    const now = statuses([100, 200], [150, 200], [100, 200]);
    expect([...lacking(now, now, 3)]).toEqual([]);
    expect(commonRevision(now, new Set())).toBe(100n);
  });

  it("writes between the two looks accuse nobody", () => {
    expect([...lacking(statuses(ALIKE, ALIKE, ALIKE), statuses([110, 210], ALIKE, [120, 220]), 3)]).toEqual([]);
  });
});

describe("which members are compared at once, and until when", () => {
  it("those that have gone back, and those at the same place with another revision", () => {
    const before = statuses(ALIKE, ALIKE, ALIKE);
    expect(suspicious(new Map(), before)).toEqual([]);
    expect(suspicious(before, statuses([101, 201], ALIKE, [101, 201]))).toEqual([]);
    expect(suspicious(before, statuses([101, 201], [60, 4], [101, 201]))).toEqual(["b"]);
    expect(suspicious(before, statuses([101, 201], [130, 201], [101, 201]))).toEqual(["a", "b", "c"]);
  });

  it("until they have applied what any other had applied before", () => {
    const first = statuses([100, 200], [60, 4], [99, 199]);
    expect([...caughtUp(first, statuses([105, 205], [60, 190], [100, 200]))]).toEqual(["a", "c"]);
  });
});
