import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { VERSION } from "./version.ts";

function textOf(name: string): string {
  return readFileSync(new URL(`../${name}`, import.meta.url), "utf8");
}

describe("the release", () => {
  it("is what package.json says", () => expect(VERSION).toBe(JSON.parse(textOf("package.json")).version));

  it("has a place in the list of changes", () => {
    const headings = [...textOf("CHANGELOG.md").matchAll(/^## (.+)$/gm)].map((match) => match[1]);
    expect(headings[0]).toBe("Unreleased");
    expect(headings[1]).toMatch(new RegExp(`^${VERSION.replaceAll(".", "\\.")} \\(\\d{4}-\\d\\d-\\d\\d\\)$`));
  });
});
