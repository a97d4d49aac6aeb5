import { afterAll, beforeAll, expect, it } from "vitest";
import { type Ethtool, openEthtool } from "./ethtool.ts";
import { createVeth } from "./link.ts";
import { echoedLink } from "./link-row.ts";
import { openNetns } from "./netns.ts";
import { createScratchNetns, type ScratchNetns } from "./scratch-netns.ts";
import { openNetlink } from "./socket.ts";

let scratch: ScratchNetns;
let ethtool: Ethtool;
let ifindex: number;

beforeAll(async () => {
  scratch = await createScratchNetns();
  using netns = openNetns(scratch.path);
  using socket = openNetlink({ netns });
  ifindex = echoedLink(await socket.execute([createVeth({ name: "v0" }, { name: "v1" })]))?.ifindex ?? 0;
  ethtool = openEthtool({ netns });
});

afterAll(() => {
  ethtool[Symbol.dispose]();
  scratch[Symbol.dispose]();
});

const shown = () => scratch.run("ethtool", "-k", "v0");

it("switches tx checksums of a veth off, and on again", async () => {
  expect(shown()).toMatch(/^tx-checksumming: on$/m);
  const before = await ethtool.readFeatures(ifindex);
  expect(before).toMatchObject({ ifindex, name: "v0" });
  const lines = [...shown().matchAll(/^\s+(tx-[\w-]+): (on|off)( \[fixed\])?/gm)];
  expect(lines.length).toBeGreaterThan(3);
  for (const [, name = "", state, fixed] of lines) {
    expect([name, before.active.has(name)]).toEqual([name, state === "on"]);
    expect([name, before.changeable.has(name)]).toEqual([name, fixed === undefined]);
  }

  await ethtool.disableTxChecksum(ifindex);
  expect(shown()).toMatch(/^tx-checksumming: off$/m);
  expect((await ethtool.readFeatures(ifindex)).active).not.toContain("tx-checksum-ip-generic");
  await ethtool.disableTxChecksum(ifindex); // twice equals once

  await ethtool.setFeatures(ifindex, ["tx-checksum-ip-generic"], true);
  expect(shown()).toMatch(/^tx-checksumming: on$/m);
});

it("tells features that are fixed", async () => {
  await expect(ethtool.disableTxChecksum(1)).rejects.toMatchObject({ code: "UNSUPPORTED" }); // lo
});

it("names a link that is absent and a feature that is unknown", async () => {
  await expect(ethtool.disableTxChecksum(9_999)).rejects.toMatchObject({ code: "REJECTED", reason: "ENODEV" });
  await expect(ethtool.setFeatures(ifindex, ["no-such-feature"], true)).rejects.toMatchObject({
    code: "REJECTED",
    message: expect.stringContaining("bit name not found"),
  });
});
