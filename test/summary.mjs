// Adds up vitest's JSON reports, names what was skipped, failed or unsteady, and prints the closing line.
import { existsSync, readFileSync } from "node:fs";
import { stripVTControlCharacters } from "node:util";

const MESSAGE_LINES = 12;
const MESSAGE_WIDTH = 300;

const [failedSteps, againFile, ...files] = process.argv.slice(2);
const read = (file) => JSON.parse(readFileSync(file, "utf8")).testResults;
/** Files that failed and were run once more: what they did then counts. */
const again = new Map(existsSync(againFile) ? read(againFile).map((suite) => [suite.name, suite]) : []);
const total = { passed: 0, failed: 0, skipped: 0 };

function count(suite) {
  if (suite.status === "failed" && suite.assertionResults.length === 0) {
    total.failed += 1;
    console.log(`failed: ${suite.name}: ${suite.message}`);
  }
  for (const test of suite.assertionResults) {
    if (test.status === "passed") total.passed += 1;
    else if (test.status === "failed") {
      total.failed += 1;
      console.log(`failed: ${suite.name}: ${test.fullName}`);
      for (const message of test.failureMessages) console.log(indented(message));
    } else {
      total.skipped += 1;
      console.log(`skipped: ${suite.name}: ${test.fullName}`);
    }
  }
}

/** The beginning of a failure's message without the stack: who sees only the end of the output sees why, too. */
function indented(message) {
  const lines = stripVTControlCharacters(message)
    .split("\n")
    .filter((line) => line.trim() !== "" && !/^ +at /.test(line));
  const shown = lines.slice(0, MESSAGE_LINES).map((line) => `    ${line.slice(0, MESSAGE_WIDTH)}`);
  return [...shown, ...(lines.length > MESSAGE_LINES ? ["    …"] : [])].join("\n");
}

/** What passes only now and then is a fault of the test or of the product; somebody has to look at it. */
function tellUnsteady({ name, message, assertionResults }) {
  const failed = assertionResults.filter(({ status }) => status === "failed");
  const what = failed.length === 0 ? [message] : failed.map(({ fullName }) => fullName);
  for (const each of what) console.log(`unsteady: ${name}: ${each}: failed, so the file was run once more`);
  for (const { failureMessages } of failed) for (const each of failureMessages) console.log(indented(each));
}

for (const file of files) {
  if (!existsSync(file)) {
    total.failed += 1;
    console.log(`no report: ${file}`);
    continue;
  }
  for (const suite of read(file)) {
    const later = again.get(suite.name);
    if (later !== undefined) tellUnsteady(suite);
    count(later ?? suite);
  }
}
const steps = Number(failedSteps);
if (steps > 0 && total.failed === 0) total.failed = steps;
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exitCode = total.failed > 0 ? 1 : 0;
