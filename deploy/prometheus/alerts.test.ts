import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";

const RULES = readFileSync(new URL("contiv-alerts.yml", import.meta.url), "utf8");
const METRICS = readFileSync(new URL("../../docs/reference/metrics.md", import.meta.url), "utf8");
const PAGE = readFileSync(new URL("../../docs/operations.md", import.meta.url), "utf8");

const alerts = [...RULES.matchAll(/^ +- alert: (\S+)$/gm)].map(([, name = ""]) => name);

describe("alert rules", () => {
  it("ask for metrics that there are, with labels that these have", () => {
    const asked = [...RULES.matchAll(/\b(contiv_\w+?)(?:_bucket|_count|_sum)?\b(?:\{(\w+)=)?/g)];
    expect(asked.length).toBeGreaterThan(alerts.length);
    for (const [, name = "", label] of asked) {
      const row = METRICS.split("\n").find((line) => line.startsWith(`| \`${name}\` |`));
      expect(row, name).toBeDefined();
      if (label !== undefined) expect(row, name).toContain(`\`${label}\``);
    }
  });

  it("are told on the page, each with what to do", () => {
    expect(alerts.length).toBeGreaterThanOrEqual(10);
    for (const name of alerts) expect(PAGE).toContain(`| \`${name}\` |`);
  });

  const isThere = spawnSync("promtool", ["--version"]).status === 0;
  it.skipIf(!isThere)("promtool accepts them, and they fire when they should (needs promtool)", () => {
    const directory = new URL(".", import.meta.url);
    for (const argv of [
      ["check", "rules", "contiv-alerts.yml"],
      ["test", "rules", "contiv-alerts.test.yml"],
    ]) {
      const { status, stdout, stderr } = spawnSync("promtool", argv, { cwd: directory, encoding: "utf8" });
      expect(status, `${stdout}${stderr}`).toBe(0);
    }
  });
});
