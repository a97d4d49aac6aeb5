import { mkdirSync, rmdirSync, writeFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { run } from "../../../deploy/cluster/exec.ts";
import { setLink } from "../../netlink/link.ts";
import { openPanel, type Panel, removePanel } from "./panel.ts";

const NAME = `cpt${process.pid}`;
const PATH = `/run/netns/${NAME}`;
const MARK = "of the panel";
const LOOPBACK_INDEX = 1;

let panel: Panel;

beforeEach(async () => {
  panel = await openPanel(NAME);
  await panel.netlink.execute([setLink({ ifindex: LOOPBACK_INDEX }, { alias: MARK })]);
});

afterEach(async () => {
  panel[Symbol.dispose]();
  await removePanel(NAME);
});

/** Whoever enters by the name sees what the panel's own sockets have made. */
async function expectEntered(): Promise<void> {
  const { stdout } = await run(["ip", "netns", "exec", NAME, "ip", "link", "show", "lo"]);
  expect(stdout).toContain(MARK);
}

describe("the name of an open panel", () => {
  it("is left alone while it is there", async () => {
    expect(panel.ensureName()).toBe(false);
    await expectEntered();
  });

  it.each([
    ["deleted", () => run(["ip", "netns", "delete", NAME])],
    ["unmounted, its file left", () => run(["umount", "--lazy", PATH])],
    ["another namespace's", () => run(["sh", "-c", `ip netns delete ${NAME}; ip netns add ${NAME}`])],
    ["a file with a text", () => run(["sh", "-c", `ip netns delete ${NAME}; echo text >${PATH}`])],
  ])("is made again, for the same namespace, when it is %s", async (_how, deed) => {
    await deed();
    expect(panel.ensureName()).toBe(true);
    await expectEntered();
    expect(panel.ensureName()).toBe(false);
  });

  it("is refused while a directory stands there, and made again afterwards", async () => {
    await run(["ip", "netns", "delete", NAME]);
    mkdirSync(PATH);
    expect(() => panel.ensureName()).toThrow(/Cannot give the patch panel its name .* EISDIR/);
    rmdirSync(PATH);
    expect(panel.ensureName()).toBe(true);
    await expectEntered();
  });
});

describe("an empty file at the panel's name, with no namespace mounted on it", () => {
  beforeEach(async () => {
    panel[Symbol.dispose]();
    await run(["ip", "netns", "delete", NAME]);
    writeFileSync(PATH, "");
  });

  it("is replaced when the panel is opened", async () => {
    panel = await openPanel(NAME);
    await panel.netlink.execute([setLink({ ifindex: LOOPBACK_INDEX }, { alias: MARK })]);
    await expectEntered();
  });

  it("is removed with the panel", async () => {
    await removePanel(NAME);
    expect((await run(["ls", "/run/netns"])).stdout.split("\n")).not.toContain(NAME);
    panel = await openPanel(NAME);
  });

  it("is left when there is something in it", async () => {
    writeFileSync(PATH, "text");
    await expect(openPanel(NAME)).rejects.toThrow(/it is a regular file, not a network namespace/);
    writeFileSync(PATH, "");
    panel = await openPanel(NAME);
  });
});
