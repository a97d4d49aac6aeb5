// Writes what pages have from the code: npm run docs:reference
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { filled, PAGES } from "./pages.ts";

const ROOT = new URL("../../", import.meta.url);

for (const [page, made] of Object.entries(PAGES)) {
  const file = fileURLToPath(new URL(page, ROOT));
  const before = readFileSync(file, "utf8");
  const after = await filled(before, made);
  if (after === before) continue;
  writeFileSync(file, after);
  process.stdout.write(`${page}\n`);
}
process.exit(0); // what the process's own metrics have begun goes on otherwise
