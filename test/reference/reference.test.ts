import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { filled, PAGES } from "./pages.ts";

function textOf(page: string): string {
  return readFileSync(fileURLToPath(new URL(`../../${page}`, import.meta.url)), "utf8");
}

describe("pages that are made from the code", () => {
  it.each(Object.entries(PAGES))("%s is as the code says (else: npm run docs:reference)", async (page, made) => {
    const text = textOf(page);
    expect(await filled(text, made)).toBe(text);
  });

  it("a page without its mark, or with one that nothing is made for, is refused", async () => {
    await expect(filled("# none", { a: () => "x" })).rejects.toThrow("differ in: a");
    await expect(filled("<!-- made: b -->\n<!-- end -->", {})).rejects.toThrow("differ in: b");
  });

  it("what differs is replaced, and nothing else", async () => {
    const page = "# A\n<!-- made: a -->\nold\n<!-- end -->\nrest";
    expect(await filled(page, { a: () => "new" })).toBe("# A\n<!-- made: a -->\n\nnew\n\n<!-- end -->\nrest");
  });
});
