import { describe, expect, it } from "vitest";
import { blocksOf } from "./blocks.ts";
import { isAsShown } from "./output.ts";

function page(...lines: string[]): string {
  return ["# Page", "", ...lines].join("\n");
}

function steps(...lines: string[]) {
  return blocksOf("p.md", page("```console", ...lines, "```"))[0]?.steps.map(({ command, output }) => [
    command,
    output,
  ]);
}

describe("blocks of a page", () => {
  it("are commands with their output, and the line each stands on", () => {
    const text = page("```console", "$ one", "1", "$ two", "```", "", "```json", "$ {}", "```", "```", "$ art", "```");
    expect(blocksOf("p.md", text)).toEqual([
      {
        ...{ page: "p.md", line: 3, machines: [], withinMs: 0 },
        steps: [
          { line: 4, command: "one", output: "1" },
          { line: 6, command: "two", output: "" },
        ],
      },
    ]);
  });

  it("continue a command behind a backslash and by `> `", () => {
    expect(steps("$ one \\", "  two \\", "> three", "out")).toEqual([["one \\\n  two \\\nthree", "out"]]);
    expect(steps("$ cat <<E", "> a", ">", "> E", "a", "> b")).toEqual([["cat <<E\na\n\nE", "a\n> b"]]);
  });

  it("are one command that must succeed where they are pasted", () => {
    const [block] = blocksOf("p.md", page('```bash on="a,b"', "one", "$two", "```"));
    expect(block).toMatchObject({ machines: ["a", "b"], steps: [{ line: 4, command: "one\n$two" }] });
    expect(block?.steps[0]?.output).toBeUndefined();
  });

  it("may stand in a list, be skipped with a reason, and wait", () => {
    const text = page(
      '   ```console skip="needs a rack"',
      "   $ one",
      "     two",
      "   ```",
      '```console within="5s"',
      "$ x",
      "```",
    );
    expect(blocksOf("p.md", text)).toMatchObject([
      { skip: "needs a rack", steps: [{ command: "one", output: "  two" }] },
      { withinMs: 5_000 },
    ]);
  });

  it.each([
    ["```console", "output", "```"],
    ["```console skip", "$ one", "```"],
    ['```console skip=""', "$ one", "```"],
    ['```console skipp="x"', "$ one", "```"],
    ['```console within="5"', "$ one", "```"],
    ['```console within="61s"', "$ one", "```"],
    ["```console", "$ one"],
  ])("are refused with page and line when wrongly written: %s", (...lines) => {
    expect(() => blocksOf("p.md", page(...lines))).toThrow(/^p\.md:[34]: /);
  });
});

describe("output", () => {
  it.each([
    ["", "", true],
    ["", "x", false],
    ["a.b", "a.b  \n", true],
    ["a.b", "axb", false],
    ["a … c", "a b b c", true],
    ["a … c", "a b\nb c", false],
    ["a\n…\nc", "a\nc", true],
    ["a\n…\nc", "a\nb\n\nb\nc", true],
    ["…", "", true],
    ["…", "a\nb", true],
    ["…\nz", "a\nb", false],
    ["a\n…", "a", true],
    ["{…}", '{"a":[1]}', true],
    ['{"a":1,\n "b":[\n  …]}', '{"a":1,"b":[2,3]}\n', true],
    ['{"a":1,\n "b":2}', '{"a":1,"b":3}\n', false],
  ])("%j shown, %j printed: %s", (shown, printed, asShown) => {
    expect(isAsShown(shown, printed)).toBe(asShown);
  });
});
