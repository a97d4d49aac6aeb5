import { describe, expect, it } from "vitest";
import { openNetns } from "../../drivers/netlink/netns.ts";
import { netnsCheck } from "./netns.ts";

describe("netnsCheck", () => {
  it.each([
    ["/run/netns/does-not-exist", /: no such path; pass the path of the pod's network namespace/],
    ["/etc/passwd", /a regular file, not a network namespace; pass/],
    ["/", /a directory, not a network namespace; pass/],
    ["/proc/self/ns/mnt", /a mount namespace, not a network namespace; pass/],
    [`/proc/${process.pid}/ns/net`, /is the node's own network namespace; pass .*CNI_NETNS_OVERRIDE=1/],
  ])("refuses %s", async (path, message) => {
    const check = netnsCheck(() => undefined);
    await expect(check(path, false)).rejects.toMatchObject({
      reason: "cni/invalid-environment",
      message: expect.stringMatching(message),
      field: "CNI_NETNS",
    });
  });

  it("lets the own namespace pass when told to, unless it is the panel", async () => {
    using panel = openNetns("/proc/self/ns/net");
    await expect(netnsCheck(() => undefined)("/proc/self/ns/net", true)).resolves.toBeUndefined();
    await expect(netnsCheck(() => panel)("/proc/self/ns/net", true)).rejects.toMatchObject({
      reason: "cni/invalid-environment",
      message: expect.stringMatching(/is the patch panel/),
    });
  });
});
