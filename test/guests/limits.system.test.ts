import { existsSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { run } from "../../deploy/cluster/exec.ts";

/** The same scenario on this host's userspace datapath, and on the kernel's in a guest that has one (docs/bandwidth.md). */
const ROOT = join(import.meta.dirname, "../..");
const SCENARIO = join(ROOT, "node_modules/.contiv-guests/test/guests/limit-scenario.js");
const GUEST_DIR = process.env.GUEST_DIR ?? "";
const hasGuest = existsSync(join(GUEST_DIR, "uml/usr/bin/linux.uml"));
const RATE_MBIT = 20;
/** What TCP makes of a limit that drops is the guest's clock as much as the limit: only UDP can be held to the rate. */
const TCP_LEAST = 0.2;

interface Outcome {
  readonly mechanism: string;
  readonly means: { readonly ingressPolicing: boolean; readonly ifbRedirect: boolean; readonly podEnd: string };
  readonly burstBits: number;
  readonly seconds: number;
  readonly unlimited: number;
  readonly freed: number;
  readonly limited: { readonly egress: number; readonly ingress: number; readonly udp: number };
  readonly repaired: boolean;
  readonly droppedPackets: number;
}

async function outcomeOf(argv: readonly string[]): Promise<Outcome> {
  const { stdout } = await run(argv, { timeoutMs: 170_000, env: { ...process.env, GUEST_DIR } });
  const line = stdout.split("\n").find((each) => each.startsWith("{"));
  if (line === undefined) throw new Error(`The scenario told nothing: ${stdout}`);
  return JSON.parse(line) as Outcome;
}

function expectLimited({ limited, burstBits, seconds, unlimited, freed, repaired, droppedPackets }: Outcome): void {
  const mostMbit = RATE_MBIT + burstBits / 1e6 / seconds;
  for (const measured of [limited.egress, limited.udp]) {
    expect(measured).toBeLessThan(mostMbit * 1.02);
  }
  expect(limited.udp).toBeGreaterThan(RATE_MBIT * 0.85);
  expect(limited.egress).toBeGreaterThan(RATE_MBIT * TCP_LEAST);
  expect(limited.ingress).toBeGreaterThan(RATE_MBIT * 0.9);
  expect(limited.ingress).toBeLessThan(RATE_MBIT * 1.03);
  expect(Math.min(unlimited, freed)).toBeGreaterThan(mostMbit * 2);
  expect(droppedPackets).toBeGreaterThan(0);
  expect(repaired).toBe(true);
}

beforeAll(async () => {
  await run(["npx", "--no-install", "tsc", "-p", join(import.meta.dirname, "tsconfig.json")], { timeoutMs: 100_000 });
});

describe("limits on a port", () => {
  it("are kept by tbf and a meter on the userspace datapath", async () => {
    const script = `mount -t tmpfs netns /run/netns && ip link set lo up && exec node ${SCENARIO} netdev`;
    const outcome = await outcomeOf([
      "unshare",
      "--net",
      "--mount",
      "--pid",
      "--fork",
      "--kill-child",
      "--mount-proc",
      "sh",
      "-c",
      script,
    ]);
    expect(outcome.mechanism).toBe("meter");
    expectLimited(outcome);
  }, 180_000);

  it.skipIf(!hasGuest)(
    "are kept by tbf and the kernel's policing on its datapath (guest; needs GUEST_DIR)",
    async () => {
      const outcome = await outcomeOf([join(import.meta.dirname, "uml-run"), `exec node ${SCENARIO} system`]);
      expect(outcome.means).toMatchObject({ ingressPolicing: true, ifbRedirect: true, podEnd: "macvlan" });
      expect(outcome.mechanism).toBe("police");
      expectLimited(outcome);
    },
    180_000,
  );
});
