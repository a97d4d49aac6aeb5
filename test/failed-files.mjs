// Prints the files of vitest's JSON reports in which something failed, one a line.
import { readFileSync } from "node:fs";

for (const report of process.argv.slice(2)) {
  const { testResults } = JSON.parse(readFileSync(report, "utf8"));
  for (const { name, status } of testResults) if (status === "failed") console.log(name);
}
