import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { projectRoot } from "../../deploy/cluster/components.ts";
import { run } from "../../deploy/cluster/exec.ts";
import { type Block, blocksOf } from "./pages/blocks.ts";
import { runBlock, type Shell } from "./pages/runner.ts";
import { type Sandbox, startSandbox } from "./pages/sandbox.ts";
import { makeWorld, type World } from "./pages/world.ts";

/** It begins its own cluster, with the command that it explains. Other pages find a sandbox with two nodes and nothing else in it. */
const FIRST = "README.md";
/** They follow each other on machines that are empty in the beginning. */
const INSTALLED = ["docs/install.md", "docs/upgrade.md"];
const MACHINES = ["admin", "master-1", "master-2", "master-3", "node-1", "node-2", "node-3"];
const BUILD_MS = 240_000;

const pages = new Map([FIRST, ...below("docs")].map((page) => [page, blocksOf(page, textOf(page))]));
const withBlocks = [...pages]
  .filter(([, blocks]) => blocks.some(({ skip }) => skip === undefined))
  .map(([page]) => page);
const onSandbox = withBlocks.filter((page) => page !== FIRST && !INSTALLED.includes(page));

function below(folder: string): string[] {
  const names = readdirSync(join(projectRoot(), folder), { recursive: true, encoding: "utf8" });
  return names.filter((name) => name.endsWith(".md")).map((name) => `${folder}/${name}`);
}

function textOf(page: string): string {
  return readFileSync(join(projectRoot(), page), "utf8");
}

/** The function by which pages call REST, as the first page defines it. */
function restFunction(): string {
  const steps = (pages.get(FIRST) ?? []).flatMap((block) => block.steps);
  return steps.find(({ command }) => command.startsWith("api()"))?.command ?? ":";
}

interface Shells extends Shell {
  /** The shell of another machine. */
  of?(machine: string): Shell;
}

/** Goes on behind a block that differs, so that one run shows all of them. */
async function runAll(page: string, shells: Shells): Promise<void> {
  const differences: string[] = [];
  for (const block of pages.get(page) ?? []) {
    if (block.skip !== undefined) continue;
    for (const shell of shellsOf(block, shells)) {
      const difference = await runBlock(block, shell);
      if (difference !== undefined) differences.push(difference);
    }
  }
  if (differences.length > 0) expect.fail(`${differences.length} differ\n${differences.join("\n\n")}`);
}

function shellsOf({ machines, page, line }: Block, shells: Shells): readonly Shell[] {
  if (machines.length === 0) return [shells];
  return machines.map((machine) => {
    if (shells.of === undefined) throw new Error(`${page}:${line}: there is no machine ${machine}`);
    return shells.of(machine);
  });
}

function machinesOf(machines: ReadonlyMap<string, Shell>): Shells {
  const of = (name: string): Shell => {
    const machine = machines.get(name);
    if (machine === undefined) throw new Error(`there is no machine ${name}, only ${[...machines.keys()].join(", ")}`);
    return machine;
  };
  return { of, run: (command, timeoutMs) => of("admin").run(command, timeoutMs) };
}

let world: World;
let installed: ReadonlyMap<string, Shell> | undefined;
let sandbox: Sandbox | undefined;

beforeAll(async () => {
  await run([join(projectRoot(), "deploy/build")], { timeoutMs: BUILD_MS });
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

  it.each(INSTALLED)("%s", { timeout: 300_000 }, async (page) => {
    installed ??= await world.together(MACHINES);
    await runAll(page, machinesOf(installed));
  });

  it("sees pages and their blocks at all, and says which it skips, and why", () => {
    const skipped = [...pages.values()].flat().filter(({ skip }) => skip !== undefined);
    for (const { page, line, skip } of skipped) console.info(`SKIPPED ${page}:${line}: ${skip}`);
    expect(withBlocks).toEqual(expect.arrayContaining([FIRST, "docs/rest-api.md", "docs/cni.md"]));
  });
});
