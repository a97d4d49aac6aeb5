import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { run } from "../../deploy/cluster/exec.ts";
import type { LimitPlan } from "../../netplugin/desired/limits/limit-plan.ts";
import type { LimitMeans } from "../../netplugin/machine/limit-means.ts";

/**
 * The fall-back matrix with real traffic: the same scenario on this host's userspace datapath, and on the kernel's in a guest that has
 * one and whose modules can be taken away (docs/bandwidth.md).
 */
const ROOT = join(import.meta.dirname, "../..");
const SCENARIO = join(ROOT, "node_modules/.contiv-guests/test/guests/limit-scenario.js");
const RATE_MBIT = 20;
/** Limits count Ethernet frames: TCP's payload is 95 % of them. */
const SHAPED_MIN = 0.9;
const POLICED_MIN = 0.85;
const BUSY_TIMEOUT_MS = 400_000;

/** One line of the scenario; what was not asked for is not there. */
interface Cell {
  readonly means: LimitMeans;
  readonly plan: LimitPlan;
  readonly failure?: string;
  /** In Mbit/s of TCP, over so many seconds. */
  readonly egress: number;
  readonly seconds: number;
  readonly udp: number;
  readonly ingress: number;
  readonly dropped: number;
  readonly filters: string;
  readonly repaired: readonly string[];
  /** Without limits, before and after. */
  readonly unlimited: readonly number[];
}

/** Cells by name; one that the scenario does not tell of is an error. */
async function cellsOf(argv: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<(name: string) => Cell> {
  const { stdout } = await run(argv, { timeoutMs: BUSY_TIMEOUT_MS, env: { ...process.env, ...env } });
  const lines = stdout.split("\n").filter((line) => line.startsWith("{"));
  const cells = new Map(lines.map((line) => JSON.parse(line)).map((cell) => [cell.cell as string, cell as Cell]));
  return (name) => {
    const cell = cells.get(name);
    if (cell === undefined) throw new Error(`The scenario tells nothing of ${name}: ${stdout}`);
    return cell;
  };
}

/** Never more than the rate and what is left of the burst; TCP near it; nothing failed. */
function expectLimited({ egress, plan: { podEgress }, seconds, failure }: Cell): void {
  const isDropping = podEgress?.mechanism === "police" || podEgress?.mechanism === "meter";
  const mostMbit = RATE_MBIT + (podEgress?.burstBits ?? 0) / 1e6 / seconds;
  expect(egress).toBeLessThan(mostMbit * 1.02);
  expect(egress).toBeGreaterThan(RATE_MBIT * (isDropping ? POLICED_MIN : SHAPED_MIN));
  expect(failure).toBeUndefined();
}

/** Towards the pod it is queued, whatever drops the rest of what it sends: UDP, too, and that is counted. */
function expectAllTraffic({ ingress, udp, dropped, seconds, plan }: Cell): void {
  expect(udp).toBeLessThan(RATE_MBIT * (1 + 1 / seconds));
  expect(dropped).toBeGreaterThan(0);
  expect(plan.podIngress?.mechanism).toBe("tbf");
  expect(ingress).toBeGreaterThan(RATE_MBIT * SHAPED_MIN);
  expect(ingress).toBeLessThan(RATE_MBIT * 1.03);
}

function expectChoice({ plan }: Cell, mechanism: string, shortfall?: RegExp): void {
  expect(plan.podEgress?.mechanism).toBe(mechanism);
  expect(plan.shortfalls).toEqual(shortfall === undefined ? [] : [expect.stringMatching(shortfall)]);
}

/** Long before the limit the machine itself was the limit. */
function expectFree({ unlimited }: Cell): void {
  for (const mbit of unlimited) expect(mbit).toBeGreaterThan(RATE_MBIT * 2);
}

beforeAll(async () => {
  await run(["npx", "--no-install", "tsc", "-p", join(import.meta.dirname, "tsconfig.json")], { timeoutMs: 200_000 });
});

describe("limits on a port", () => {
  it(
    "are kept by tbf and a meter on the userspace datapath, by tbf alone without meters",
    async () => {
      const cells = "netdev:default+shape netdev-meters:police";
      const script = `mount -t tmpfs netns /run/netns && ip link set lo up && exec node ${SCENARIO} ${cells}`;
      const own = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
      const cell = await cellsOf([...own, "sh", "-c", script]);
      const metered = cell("netdev:default");
      expectChoice(metered, "meter");
      expectLimited(metered);
      expectAllTraffic(metered);
      expect(metered.udp).toBeGreaterThan(RATE_MBIT * POLICED_MIN);
      expect(metered.repaired).toEqual(["tc qdisc del root"]);
      expectFree(cell("free"));
      expectChoice(cell("netdev:shape"), "panel-tbf");
      expectLimited(cell("netdev:shape"));
      expectChoice(cell("netdev-meters:police"), "panel-tbf", /egressMode police is not possible/);
      expectLimited(cell("netdev-meters:police"));
    },
    BUSY_TIMEOUT_MS,
  );

  it(
    "are kept by the kernel's policing, by ifb or by tbf in a guest, as its modules allow (needs the package user-mode-linux)",
    async (context) => {
      const fetched = await run([join(import.meta.dirname, "fetch")], { timeoutMs: 300_000, allowFailure: true });
      if (fetched.exitCode !== 0) {
        console.warn(`SKIPPED: the kernel datapath's limits in a guest: ${fetched.stderr.trim()}`);
        context.skip(fetched.stderr.trim());
      }
      const probed = "system-sch_tbf-act_police-macvlan-ifb:probe";
      const cells = `system:default+shape system-act_police:police system-macvlan:shape ${probed}`;
      const env = { GUEST_DIR: fetched.stdout.trim(), GUEST_TIMEOUT_S: String(BUSY_TIMEOUT_MS / 1_000 - 10) };
      const cell = await cellsOf([join(import.meta.dirname, "uml-run"), `exec node ${SCENARIO} ${cells}`], env);

      const policed = cell("system:default");
      expectChoice(policed, "police");
      expectLimited(policed);
      expectAllTraffic(policed);
      expect(policed.filters).toMatch(/police .*rate 20Mbit burst 2500Kb/);
      expect(policed.filters).toMatch(/dropped [1-9]/);
      expect(policed.repaired).toEqual([
        "tc qdisc del root",
        "ovs-vsctl set ingress_policing_rate=0",
        "tc qdisc del ingress",
      ]);
      expectFree(cell("free"));

      expect(policed.means).toMatchObject({ ingressPolicing: true, tbf: true, ifbRedirect: true, podEnd: "macvlan" });
      expectChoice(cell("system:shape"), "panel-tbf");
      expectLimited(cell("system:shape"));

      expect(cell("system-act_police:police").means.ingressPolicing).toBe(false);
      expectChoice(cell("system-act_police:police"), "panel-tbf", /egressMode police is not possible/);
      expectLimited(cell("system-act_police:police"));

      expect(cell("system-macvlan:shape").means.podEnd).toBe("veth");
      expectChoice(cell("system-macvlan:shape"), "ifb-tbf");
      expectLimited(cell("system-macvlan:shape"));
      expect(cell("system-macvlan:shape").repaired).toEqual([
        "tc qdisc del root",
        "tc qdisc del ingress",
        "ip link del ifb",
      ]);

      expect(cell(probed).means).toMatchObject({
        ingressPolicing: false,
        tbf: false,
        ifbRedirect: false,
        podEnd: "veth",
      });
    },
    BUSY_TIMEOUT_MS,
  );
});
