import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { FIRST, INSTALLED, pages, restFunction, runAll, withBlocks } from "./pages/all.ts";
import { type Sandbox, startSandbox } from "./pages/sandbox.ts";
import { makeWorld, type World } from "./pages/world.ts";

/** They find a sandbox with two nodes and nothing else in it. */
const onSandbox = withBlocks.filter((page) => page !== FIRST && !INSTALLED.includes(page));
const BUILD_MS = 240_000;

let world: World;
let sandbox: Sandbox | undefined;

beforeAll(async () => {
  world = await makeWorld();
}, BUILD_MS);

afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
});

describe("what pages show is what their commands print", { timeout: 240_000 }, () => {
  it(FIRST, async () => {
    await runAll(FIRST, await world.alone());
  });

  it.each(onSandbox)("%s", async (page) => {
    sandbox ??= await startSandbox(await world.alone());
    await sandbox.begin(restFunction());
    await runAll(page, sandbox);
  });

  it("sees pages and their blocks at all, and says which it skips, and why", () => {
    const skipped = [...pages.values()].flat().filter(({ skip }) => skip !== undefined);
    for (const { page, line, skip } of skipped) console.info(`SKIPPED ${page}:${line}: ${skip}`);
    expect(withBlocks).toEqual(expect.arrayContaining([FIRST, "docs/rest-api.md", "docs/cni.md"]));
  });
});
