import { describe, expect, it } from "vitest";
import { logLines } from "../testing/log-lines.ts";
import { StoreMembers } from "./store-members.ts";

const [ONE, TWO] = ["http://e1", "http://e2"];
const DIVERGED = { kind: "member-diverged", endpoint: ONE, cause: "holds other data" } as const;

function fixture() {
  const { log, lines } = logLines();
  const members = new StoreMembers(log);
  return { members, lines, told: () => lines().map(({ level, msg }) => `${level} ${msg}`) };
}

describe("members of the store with different data", () => {
  it("are named once with the next step until they agree, which is told once", () => {
    const { members, lines } = fixture();
    members.report({ kind: "member-agrees", endpoint: ONE });
    expect([members.conditions(), lines()]).toEqual([[], []]);
    members.report(DIVERGED);
    members.report(DIVERGED); // a store that is opened again says it again
    expect(lines()).toEqual([expect.objectContaining({ level: 50, endpoint: ONE, cause: "holds other data" })]);
    expect(lines()[0]?.msg).toMatch(/not used: stop that member.*remove it.*add it anew, empty/);
    expect(members.divergedCount).toBe(1);
    expect(members.conditions()).toEqual([
      { name: "store-member-diverged", message: expect.stringMatching(/^etcd http:\/\/e1 holds other data.*stop/) },
    ]);
    for (const endpoint of [ONE, TWO, ONE]) members.report({ kind: "member-agrees", endpoint });
    expect(lines()).toHaveLength(2);
    expect(lines()[1]).toMatchObject({ level: 30, endpoint: ONE });
    expect([members.conditions(), members.divergedCount]).toEqual([[], 0]);
  });

  it("are both named where nobody can be told right, and then the one that is wrong", () => {
    const { members, told } = fixture();
    members.report({ kind: "members-undecided", endpoints: [TWO, ONE] });
    const [condition] = members.conditions();
    expect(condition?.name).toBe("store-members-differ");
    expect(condition?.message).toMatch(/^etcd http:\/\/e1 and http:\/\/e2 hold different data.*no majority/);
    expect([members.divergedCount, told()]).toEqual([0, [expect.stringMatching(/^50 Members.*no majority/)]]);
    members.report(DIVERGED);
    members.report({ kind: "member-agrees", endpoint: TWO });
    expect(members.conditions()).toMatchObject([{ name: "store-member-diverged" }]);
    expect(told()).toHaveLength(3);
  });

  it("that cannot be compared are told at info", () => {
    const { members, told } = fixture();
    members.report({ kind: "members-not-compared", cause: new Error("permission denied") });
    expect([told(), members.conditions()]).toEqual([[expect.stringMatching(/^30 .*not compared/)], []]);
  });
});
