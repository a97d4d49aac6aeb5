// Adds up vitest's JSON reports, names what was skipped and what failed, and prints the closing line.
import { existsSync, readFileSync } from "node:fs";

const [failedSteps, ...files] = process.argv.slice(2);
const total = { passed: 0, failed: 0, skipped: 0 };
for (const file of files) {
  if (!existsSync(file)) {
    total.failed += 1;
    console.log(`no report: ${file}`);
    continue;
  }
  for (const suite of JSON.parse(readFileSync(file, "utf8")).testResults) {
    if (suite.status === "failed" && suite.assertionResults.length === 0) {
      total.failed += 1;
      console.log(`failed: ${suite.name}: ${suite.message}`);
    }
    for (const test of suite.assertionResults) {
      if (test.status === "passed") total.passed += 1;
      else if (test.status === "failed") {
        total.failed += 1;
        console.log(`failed: ${suite.name}: ${test.fullName}`);
      } else {
        total.skipped += 1;
        console.log(`skipped: ${suite.name}: ${test.fullName}`);
      }
    }
  }
}
const steps = Number(failedSteps);
if (steps > 0 && total.failed === 0) total.failed = steps;
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exitCode = total.failed > 0 ? 1 : 0;
