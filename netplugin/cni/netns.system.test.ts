import { spawn } from "node:child_process";
import { once } from "node:events";
import { describe, expect, it } from "vitest";
import { netnsCheck } from "./netns.ts";

describe("netnsCheck", () => {
  it("lets another network namespace pass", async () => {
    const child = spawn("unshare", ["--net", "sh", "-c", "echo ready; exec sleep 30"], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    try {
      await once(child.stdout, "data");
      const check = await netnsCheck();
      await expect(check(`/proc/${child.pid}/ns/net`, false)).resolves.toBeUndefined();
    } finally {
      child.kill("SIGTERM");
      await once(child, "close");
    }
  });
});
