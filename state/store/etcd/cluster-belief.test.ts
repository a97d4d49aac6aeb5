import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ClusterBelief } from "./cluster-belief.ts";

describe("which etcd cluster is ours", () => {
  it("is the only endpoint's, whatever it names, also when it names another later", () => {
    const belief = new ClusterBelief(1);
    expect([belief.isOurs(0, "x"), belief.isOurs(0, "y"), belief.ours]).toEqual([true, true, "y"]);
  });

  it("is not that of one among three that has one member, though it answers first, or alone", () => {
    const belief = new ClusterBelief(3);
    belief.learn("restored", 1);
    expect([belief.isOurs(2, "restored"), belief.ours]).toEqual([false, undefined]);
    belief.learn("real", 3);
    expect([belief.isOurs(0, "real"), belief.isOurs(2, "restored"), belief.ours]).toEqual([true, false, "real"]);
  });

  it("is what two of three name, where nobody says how many members there are", () => {
    const belief = new ClusterBelief(3);
    expect([belief.isOurs(0, "real"), belief.isOurs(2, "restored")]).toEqual([false, false]);
    expect([belief.isOurs(1, "real"), belief.isOurs(0, "real"), belief.isOurs(2, "restored")]).toEqual([
      true,
      true,
      false,
    ]);
  });

  it("is not lost to one that has enough members, only to what most endpoints name", () => {
    const belief = new ClusterBelief(3);
    for (const id of ["old", "new"]) belief.learn(id, 3);
    expect(belief.isOurs(0, "old")).toBe(true);
    expect(belief.isOurs(1, "new")).toBe(false);
    expect(belief.isOurs(0, "new")).toBe(true);
    expect(belief.isOurs(2, "old")).toBe(false);
  });

  it("is none of two that differ, and both of two that agree", () => {
    const belief = new ClusterBelief(2);
    for (const id of ["a", "b"]) belief.learn(id, 1);
    expect([belief.isOurs(0, "a"), belief.isOurs(1, "b"), belief.ours]).toEqual([false, false, undefined]);
    expect([belief.isOurs(1, "a"), belief.ours]).toEqual([true, "a"]);
  });

  it("never is a minority's with fewer members than endpoints, in whatever order they answer, and then is found", () => {
    const world = fc.integer({ min: 3, max: 7 }).chain((count) =>
      fc.record({
        count: fc.constant(count),
        restored: fc.uniqueArray(fc.integer({ min: 0, max: count - 1 }), { maxLength: Math.ceil(count / 2) - 1 }),
        answers: fc.array(fc.integer({ min: 0, max: count - 1 }), { maxLength: 40 }),
        isListed: fc.boolean(),
      }),
    );
    fc.assert(
      fc.property(world, ({ count, restored, answers, isListed }) => {
        const belief = new ClusterBelief(count);
        const idOf = (index: number) => (restored.includes(index) ? `own-${index}` : "real");
        const answer = (index: number) => {
          if (isListed) belief.learn(idOf(index), idOf(index) === "real" ? count : 1);
          return belief.isOurs(index, idOf(index));
        };
        for (const index of answers) if (answer(index)) expect(idOf(index)).toBe("real");
        for (let index = 0; index < count; index += 1) answer(index);
        expect(belief.ours).toBe("real");
      }),
    );
  });
});
