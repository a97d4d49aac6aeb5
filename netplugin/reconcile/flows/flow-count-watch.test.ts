import { describe, expect, it } from "vitest";
import { NetError } from "../../../state/errors.ts";
import { hasLost, watchFlowCounts } from "./flow-count-watch.ts";

const counts = (...entries: (readonly [number, number])[]): ReadonlyMap<number, number> => new Map(entries);

describe("a loss of flows", () => {
  const wanted = counts([0, 10], [5, 3]);

  it.each([
    ["all there", counts([0, 10], [5, 3], [7, 0]), false],
    ["one missing", counts([0, 10], [5, 2]), true],
    ["a table empty and not told of", counts([0, 10]), true],
    ["more than ours", counts([0, 12], [5, 3], [9, 4]), false],
  ])("%s", (_what, present, lost) => {
    expect(hasLost({ wanted, counts: present }, undefined)).toBe(lost);
  });

  it("is noticed where flows of others make up for ours, as long as nothing of ours has changed", () => {
    const before = { wanted, counts: counts([0, 12], [5, 3]) };
    expect(hasLost({ wanted, counts: counts([0, 11], [5, 3]) }, before)).toBe(true);
    expect(hasLost({ wanted: counts([0, 9]), counts: counts([0, 11]) }, before)).toBe(false);
  });
});

describe("the watch", () => {
  interface World {
    wanted: ReadonlyMap<number, number> | undefined;
    present: number;
    fails: boolean;
    duringAnswer: () => void;
  }

  async function watching(
    world: World,
    durationMs: number,
  ): Promise<{ losses: number; asked: number; errors: number }> {
    const seen = { losses: 0, asked: 0, errors: 0 };
    const tableCounts = async () => {
      seen.asked++;
      if (world.fails) throw new NetError("TIMEOUT", "no answer");
      world.duringAnswer();
      return [{ table: 0, flowCount: world.present }];
    };
    await watchFlowCounts({
      connection: () => ({ tableCounts }),
      installed: () => world.wanted,
      onLoss: () => seen.losses++,
      signal: AbortSignal.timeout(durationMs),
      report: () => seen.errors++,
      intervalMs: 5,
    });
    return seen;
  }

  const world = (more: Partial<World> = {}): World => ({
    ...{ wanted: counts([0, 2]), present: 2, fails: false, duringAnswer: () => {} },
    ...more,
  });

  it("is silent while all is there, and while it is not known what should be", async () => {
    expect((await watching(world(), 60)).losses).toBe(0);
    expect(await watching(world({ wanted: undefined, present: 0 }), 60)).toEqual({ losses: 0, asked: 0, errors: 0 });
  });

  it("does not take a change of ours for a loss", async () => {
    const changing = world({ present: 1 });
    changing.duringAnswer = () => {
      changing.wanted = counts([0, 1]);
    };
    const { losses, asked } = await watching(changing, 60);
    expect(asked).toBeGreaterThan(0);
    expect(losses).toBe(0);
  });

  it("tells of a loss, and waits longer where it does not end", async () => {
    const { losses } = await watching(world({ present: 1 }), 120);
    expect(losses).toBeGreaterThan(0);
    expect(losses).toBeLessThan(6); // 5, 10, 20, 40, 80 ms
  });

  it("goes on after a switch that did not answer", async () => {
    const failing = world({ fails: true });
    const { errors } = await watching(failing, 60);
    expect(errors).toBeGreaterThan(1);
  });
});
