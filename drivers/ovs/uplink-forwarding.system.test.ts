import { getEventListeners } from "node:events";
import { describe, expect, it } from "vitest";
import { startSwitch } from "./openflow/testing/scratch-switch.ts";
import { ensureForwarding } from "./uplink-forwarding.ts";

describe("a bridge that is a learning switch", () => {
  it("forwards again after all its flows were deleted; looking often costs nothing that stays", async () => {
    await using scratch = await startSwitch(["br0"]);
    const { signal } = new AbortController();
    const socketPath = scratch.socketOf("br0");
    await ensureForwarding({ socketPath, signal });
    for (let look = 0; look < 20; look++) expect(await ensureForwarding({ socketPath, signal })).toBe(false);
    expect(getEventListeners(signal, "abort")).toHaveLength(0);
    await scratch.ofctl("del-flows", `unix:${socketPath}`);
    expect(await ensureForwarding({ socketPath, signal })).toBe(true);
    expect(await scratch.ofctl("dump-flows", `unix:${socketPath}`)).toContain("priority=0 actions=NORMAL");
    expect(await ensureForwarding({ socketPath, signal })).toBe(false);
  });
});
