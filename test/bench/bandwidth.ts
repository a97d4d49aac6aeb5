/**
 * Bandwidth limits beside Debian's `bandwidth` CNI plugin (behind bridge and host-local, in /usr/lib/cni) in the same run.
 *
 *   test/bench/run bandwidth [--parts accuracy,cost,update,neighbour] [--rates 1,10,100,1000] [--seconds 4]
 *
 * accuracy: what arrives of a limit; cost: what both limits add to an ADD; update: 200 endpoints changed by one update of their
 * netprofile; neighbour: an unlimited pair beside a pod that is at its limit. All parts together take eight minutes.
 */
import { parseArgs } from "node:util";
import { bandwidthAdmin } from "../system/bandwidth-world.ts";
import { startTestCluster } from "../system/test-cluster.ts";
import { accuracy } from "./lib/bandwidth-accuracy.ts";
import { cost } from "./lib/bandwidth-cost.ts";
import { neighbour, update } from "./lib/bandwidth-live.ts";
import { printMachine, printVerdicts, type Verdict } from "./lib/report.ts";

const { values: flags } = parseArgs({
  options: {
    parts: { type: "string", default: "accuracy,cost,update,neighbour" },
    rates: { type: "string", default: "1,10,100,1000" },
    seconds: { type: "string", default: "4" },
  },
});

await using world = await startTestCluster({ nodes: 1 });
await bandwidthAdmin(() => world).tenant("t1");
const parts: Readonly<Record<string, () => Promise<readonly Verdict[]>>> = {
  accuracy: () => accuracy(world, { ratesMbit: flags.rates.split(",").map(Number), seconds: Number(flags.seconds) }),
  cost: () => cost(world),
  update: () => update(world),
  neighbour: () => neighbour(world),
};
printMachine();
const verdicts: Verdict[] = [];
for (const name of flags.parts.split(",")) {
  const part = parts[name];
  if (part === undefined) throw new Error(`There is no part "${name}", only ${Object.keys(parts).join(", ")}`);
  process.stdout.write(`\n## ${name}\n\n`);
  verdicts.push(...(await part()));
}
printVerdicts(verdicts);
process.exit();
