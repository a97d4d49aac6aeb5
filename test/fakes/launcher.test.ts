import { readlinkSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { type LaunchOptions, launchHere } from "../../deploy/cluster/exec.ts";
import { createScratchNetns } from "../../drivers/netlink/scratch-netns.ts";
import { launchBySmall } from "./launcher.ts";

const SETTINGS: LaunchOptions = { timeoutMs: 10_000, env: process.env, stdin: "" };

describe.each([
  ["this process", launchHere],
  ["a small process", launchBySmall],
])("programs that %s starts", (_who, launch) => {
  const shell = (script: string, settings: Partial<LaunchOptions> = {}) =>
    launch(["sh", "-c", script], { ...SETTINGS, ...settings });

  it("say what they have written, and how they have ended", async () => {
    expect(await shell("echo one; echo é >&2; exit 3")).toMatchObject({ stdout: "one\n", stderr: "é\n", exitCode: 3 });
    expect((await shell("true")).exitCode).toBe(0);
  });

  it("have their own input and environment", async () => {
    const stdin = "x".repeat(1_000_000);
    expect((await shell("wc -c", { stdin })).stdout.trim()).toBe("1000000");
    expect((await shell("true", { stdin })).exitCode).toBe(0); // ends without reading
    expect((await shell("echo $NAME", { env: { ...process.env, NAME: "blue" } })).stdout).toBe("blue\n");
  });

  it("are killed when their time is over", async () => {
    const ended = await launch(["sleep", "30"], { ...SETTINGS, timeoutMs: 100 });
    expect(ended).toMatchObject({ isLate: true, failure: expect.any(String) });
    expect(ended.exitCode).toBeUndefined();
  });

  it("have no exit code when a signal ends them, or when there is no such program", async () => {
    for (const argv of [["sh", "-c", "kill -9 $$"], ["/no/such/program"]]) {
      const ended = await launch(argv, SETTINGS);
      expect(ended.exitCode).toBeUndefined();
      expect(ended.failure).not.toBe("");
    }
  });

  it.skipIf(process.getuid?.() !== 0)("run in a network namespace, and fail where there is none", async () => {
    const netns = async (path: string) =>
      launch(["nsenter", `--net=${path}`, "--", "readlink", "/proc/self/ns/net"], SETTINGS);
    using other = await createScratchNetns();
    expect((await netns("/proc/self/ns/net")).stdout.trim()).toBe(readlinkSync("/proc/self/ns/net"));
    expect((await netns(other.path)).stdout.trim()).toBe(readlinkSync(other.path));
    expect(await netns("/run/netns/no-such")).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining("no-such"),
    });
  });

  it("run side by side", async () => {
    const startMs = performance.now();
    await Promise.all(Array.from({ length: 20 }, () => shell("sleep 0.3")));
    expect(performance.now() - startMs).toBeLessThan(5_000);
  });
});
