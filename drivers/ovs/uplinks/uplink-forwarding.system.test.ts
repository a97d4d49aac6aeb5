import { getEventListeners } from "node:events";
import { describe, expect, it } from "vitest";
import { startSwitch } from "../openflow/testing/scratch-switch.ts";
import { ensureForwarding } from "./uplink-forwarding.ts";

describe("a bridge that is a learning switch", () => {
  it("forwards again after all its flows were deleted; looking often costs nothing that stays", async () => {
    await using scratch = await startSwitch(["br0"]);
    const { signal } = new AbortController();
    const socketPath = scratch.socketOf("br0");
    const look = () => ensureForwarding({ socketPath, bridge: "br0", ports: new Set(["br0"]), signal });
    await look();
    for (let count = 0; count < 20; count++) expect(await look()).toEqual([]);
    expect(getEventListeners(signal, "abort")).toHaveLength(0);
    await scratch.ofctl("del-flows", `unix:${socketPath}`);
    expect(await look()).toEqual(["the flow of bridge br0 that forwards"]);
    expect(await scratch.ofctl("dump-flows", `unix:${socketPath}`)).toContain("priority=0 actions=NORMAL");
    expect(await look()).toEqual([]);
  });

  it("puts back what a controller has told it of its own port and of fragments, and of no other port", async () => {
    await using scratch = await startSwitch(["br0"]);
    const { signal } = new AbortController();
    const socketPath = scratch.socketOf("br0");
    const told = async (ports: readonly string[]) =>
      ensureForwarding({ socketPath, bridge: "br0", ports: new Set(ports), signal });
    await told([]);
    await scratch.ofctl("set-frags", `unix:${socketPath}`, "drop");
    await scratch.ofctl("mod-port", `unix:${socketPath}`, "br0", "no-receive");
    await scratch.ofctl("mod-port", `unix:${socketPath}`, "br0", "no-forward");
    expect(await told(["other"])).toEqual(["fragment handling drop of bridge br0"]);
    expect(await scratch.ofctl("get-frags", `unix:${socketPath}`)).toMatch("normal");
    expect(await told(["br0"])).toEqual(["no-receive, no-forward of port br0 of bridge br0"]);
    expect(await told(["br0"])).toEqual([]);
  });
});
