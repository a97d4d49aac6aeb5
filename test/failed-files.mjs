// Prints the files of vitest's JSON reports that are worth another run, one a line: nothing when a property has a counterexample, for that is a
// fault which another run would only hide.
import { readFileSync } from "node:fs";

const failed = process.argv.slice(2).flatMap((report) => {
  const { testResults } = JSON.parse(readFileSync(report, "utf8"));
  return testResults.filter(({ status }) => status === "failed");
});
const messages = failed.flatMap(({ assertionResults }) =>
  assertionResults.flatMap(({ failureMessages }) => failureMessages),
);
if (!messages.some((message) => message.includes("Property failed after")))
  for (const { name } of failed) console.log(name);
