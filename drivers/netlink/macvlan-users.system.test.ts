import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createMacvlan, createVeth, deleteLink, getLink, setLink } from "./link.ts";
import { carriesMacvlan, linksWithMacvlan } from "./macvlan-users.ts";
import { type NetnsHandle, openNetns } from "./netns.ts";
import { createScratchNetns, type ScratchNetns } from "./scratch-netns.ts";
import { type NetlinkSocket, openNetlink } from "./socket.ts";

let panel: ScratchNetns;
let pod: ScratchNetns;
let handles: NetnsHandle[];
let inPanel: NetlinkSocket;
let inPod: NetlinkSocket | undefined;
let lowerIfindex: number;

beforeAll(async () => {
  [panel, pod] = await Promise.all([createScratchNetns(), createScratchNetns()]);
  handles = [openNetns(panel.path), openNetns(pod.path)];
  inPanel = openNetlink({ netns: handles[0] });
  await inPanel.execute([createVeth({ name: "near", up: true }, { name: "far" })]);
  lowerIfindex = (await inPanel.get(getLink({ name: "far" }))).ifindex;
  await inPanel.execute([setLink({ ifindex: lowerIfindex }, { up: true })]);
});

afterAll(() => {
  for (const each of [inPanel, ...(inPod === undefined ? [] : [inPod]), ...handles, panel, pod]) each[Symbol.dispose]();
});

async function users(): Promise<readonly [isUp: boolean, isThere: boolean]> {
  return [(await linksWithMacvlan(inPanel)).has(lowerIfindex), await carriesMacvlan(inPanel, lowerIfindex)];
}

describe("a macvlan in another namespace", () => {
  it("is told by the link that it hangs on, up or down, until it is deleted", async () => {
    expect(await users()).toEqual([false, false]);
    const macvlan = { name: "eth0", mac: "02:02:0a:01:01:01", netnsFd: handles[1]?.fd ?? 0 };
    await inPanel.execute([createMacvlan(macvlan, { lowerIfindex, mode: "private" })]);
    expect(await users()).toEqual([false, true]);
    inPod = openNetlink({ netns: handles[1] });
    const { ifindex } = await inPod.get(getLink({ name: "eth0" }));
    await inPod.execute([setLink({ ifindex }, { up: true })]);
    expect(await users()).toEqual([true, true]);
    await inPod.execute([deleteLink({ ifindex })]);
    expect(await users()).toEqual([false, false]);
  });
});
