// Prints the files of vitest's JSON report in which something failed, one a line.
import { readFileSync } from "node:fs";

const { testResults } = JSON.parse(readFileSync(process.argv[2], "utf8"));
for (const { name, status } of testResults) if (status === "failed") console.log(name);
