import { describe, expect, it } from "vitest";
import { circles, graphOf, roomGraph, upward } from "./import-graph.ts";

describe("circles", () => {
  it.each([
    [
      "none in a tree",
      [
        ["a", "b"],
        ["a", "c"],
        ["b", "c"],
      ],
      [],
    ],
    [
      "two that import each other",
      [
        ["a", "b"],
        ["b", "a"],
        ["a", "c"],
      ],
      [["a", "b"]],
    ],
    [
      "a long one, and not who only points at it",
      [
        ["x", "a"],
        ["a", "b"],
        ["b", "c"],
        ["c", "a"],
        ["c", "y"],
      ],
      [["a", "b", "c"]],
    ],
    [
      "two that touch are one",
      [
        ["a", "b"],
        ["b", "a"],
        ["b", "c"],
        ["c", "b"],
      ],
      [["a", "b", "c"]],
    ],
    [
      "two apart",
      [
        ["d", "c"],
        ["c", "d"],
        ["a", "b"],
        ["b", "a"],
        ["a", "c"],
      ],
      [
        ["a", "b"],
        ["c", "d"],
      ],
    ],
    ["a file that imports itself", [["a", "a"]], [["a"]]],
  ] as [string, [string, string][], string[][]][])("finds %s", (_, arrows, found) => {
    expect(circles(graphOf(arrows))).toEqual(found);
    expect(circles(graphOf(arrows.toReversed()))).toEqual(found);
  });

  it("sees rooms that import each other although no files do", () => {
    const files = graphOf([
      ["house/a/one.ts", "house/b/one.ts"],
      ["house/b/two.ts", "house/a/two.ts"],
      ["house/a/two.ts", "other/x.ts"],
    ]);
    expect(circles(files)).toEqual([]);
    expect(circles(roomGraph("house", files))).toEqual([["a", "b"]]);
  });
});

describe("upward", () => {
  const order = [["low", "beside"], ["high"], ["main.ts"]];
  const found = (from: string, to: string) => upward("house", order, graphOf([[from, to]]));

  it.each([
    ["house/high/a.ts", "house/low/b.ts", []],
    ["house/main.ts", "house/beside/b.ts", []],
    ["house/high/a.ts", "house/high/deep/b.ts", []],
    ["house/high/a.ts", "elsewhere/main.ts", []],
    ["house/low/a.ts", "house/high/b.ts", ["house/low/a.ts -> house/high/b.ts"]],
    ["house/low/a.ts", "house/beside/b.ts", ["house/low/a.ts -> house/beside/b.ts"]],
    ["house/high/a.ts", "house/main.ts", ["house/high/a.ts -> house/main.ts"]],
    ["house/new/a.ts", "house/low/b.ts", ["house/new has no place in the order"]],
    ["house/high/a.ts", "house/new/b.ts", ["house/new has no place in the order"]],
  ])("judges %s importing %s", (from, to, wrong) => expect(found(from, to)).toEqual(wrong));
});
