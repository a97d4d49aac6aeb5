import { describe, expect, it } from "vitest";
import { netnsCheck } from "./netns.ts";

describe("netnsCheck", () => {
  it.each([
    ["/run/netns/does-not-exist", "cni/invalid-environment", /cannot be opened on this node/],
    ["/etc/passwd", "cni/invalid-netns", /is no network namespace/],
    ["/", "cni/invalid-netns", /is no network namespace/],
    [`/proc/${process.pid}/ns/net`, "cni/invalid-netns", /is the plugin's own network namespace/],
  ])("refuses %s", async (path, reason, message) => {
    const check = await netnsCheck();
    await expect(check(path, false)).rejects.toMatchObject({
      reason,
      message: expect.stringMatching(message),
      field: "CNI_NETNS",
    });
  });

  it("lets the own namespace pass when told to", async () => {
    const check = await netnsCheck();
    await expect(check("/proc/self/ns/net", true)).resolves.toBeUndefined();
  });
});
