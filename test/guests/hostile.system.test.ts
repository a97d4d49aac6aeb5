import { join } from "node:path";
import { beforeAll, expect, it } from "vitest";
import { run } from "../../deploy/cluster/exec.ts";

/**
 * The hostile suite in short form (docs/security.md): pods of one node, without policies. On the kernel's datapath in a guest, and on the
 * userspace one for comparison.
 */
const ROOT = join(import.meta.dirname, "../..");
const SCENARIO = join(ROOT, "node_modules/.contiv-guests/test/guests/hostile-scenario.js");
const BUSY_TIMEOUT_MS = 400_000;

/** What the scenario prints. */
interface Outcome {
  readonly means: { readonly datapathType: string; readonly meters: boolean };
  readonly cases: number;
  readonly legal: number;
  readonly wrong: readonly {
    readonly name: string;
    readonly strangers: readonly string[];
    readonly deaf: readonly string[];
  }[];
  readonly pings: readonly boolean[];
  readonly traces: { readonly before: string; readonly after: string };
}

async function outcomeOf(argv: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Outcome> {
  const { stdout } = await run(argv, { timeoutMs: BUSY_TIMEOUT_MS, env: { ...process.env, ...env } });
  const line = stdout.split("\n").find((each) => each.startsWith("{"));
  if (line === undefined) throw new Error(`The scenario tells nothing: ${stdout}`);
  return JSON.parse(line) as Outcome;
}

/** `targetCount`: neighbours and, with routing, gateways. */
function expectClosed({ cases, legal, wrong, pings, traces }: Outcome, targetCount: number): void {
  expect(cases).toBeGreaterThan(150);
  expect(legal).toBeGreaterThan(15);
  expect(wrong).toEqual([]);
  expect(pings).toEqual(Array.from({ length: targetCount }, () => true));
  expect(traces.after).toBe(traces.before);
}

beforeAll(async () => {
  await run(["npx", "--no-install", "tsc", "-p", join(import.meta.dirname, "tsconfig.json")], { timeoutMs: 200_000 });
});

it(
  "a hostile pod gets nowhere on the userspace datapath",
  async () => {
    const script = `mount -t tmpfs netns /run/netns && mount -t sysfs sys /sys && ip link set lo up && exec node ${SCENARIO} netdev bridge`;
    const own = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
    const outcome = await outcomeOf([...own, "sh", "-c", script]);
    expect(outcome.means).toEqual({ datapathType: "netdev", meters: true });
    expectClosed(outcome, 2);
  },
  BUSY_TIMEOUT_MS,
);

it(
  "a hostile pod gets nowhere on the kernel's datapath, in a guest (needs the package user-mode-linux)",
  async (context) => {
    const fetched = await run([join(import.meta.dirname, "fetch")], { timeoutMs: 300_000, allowFailure: true });
    if (fetched.exitCode !== 0) {
      console.warn(`SKIPPED: hostile frames on the kernel's datapath in a guest: ${fetched.stderr.trim()}`);
      context.skip(fetched.stderr.trim());
    }
    const env = { GUEST_DIR: fetched.stdout.trim(), GUEST_TIMEOUT_S: String(BUSY_TIMEOUT_MS / 1_000 - 10) };
    const outcome = await outcomeOf(
      [join(import.meta.dirname, "uml-run"), `exec node ${SCENARIO} system routing`],
      env,
    );
    expect(outcome.means).toEqual({ datapathType: "system", meters: true });
    expectClosed(outcome, 4);
  },
  BUSY_TIMEOUT_MS,
);
