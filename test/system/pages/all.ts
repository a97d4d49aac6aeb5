import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { projectRoot } from "../../../deploy/cluster/components.ts";
import { type Block, blocksOf } from "./blocks.ts";
import { runBlock, type Shell } from "./runner.ts";

/** It begins its own cluster, with the command that it explains. */
export const FIRST = "README.md";
/** They follow each other on machines that are empty in the beginning. */
export const INSTALLED: readonly string[] = ["docs/install.md", "docs/upgrade.md"];

export const pages = new Map([FIRST, ...below("docs")].map((page) => [page, blocksOf(page, textOf(page))]));

/** All pages with a block that runs. */
export const withBlocks = [...pages]
  .filter(([, blocks]) => blocks.some(({ skip }) => skip === undefined))
  .map(([page]) => page);

function below(folder: string): string[] {
  const names = readdirSync(join(projectRoot(), folder), { recursive: true, encoding: "utf8" });
  return names.filter((name) => name.endsWith(".md")).map((name) => `${folder}/${name}`);
}

function textOf(page: string): string {
  return readFileSync(join(projectRoot(), page), "utf8");
}

/** The function by which pages call REST, as the first page defines it. */
export function restFunction(): string {
  const steps = (pages.get(FIRST) ?? []).flatMap((block) => block.steps);
  return steps.find(({ command }) => command.startsWith("api()"))?.command ?? ":";
}

export interface Shells extends Shell {
  /** The shell of another machine. */
  of?(machine: string): Shell;
}

/** Goes on behind a block that differs, so that one run shows all of them. */
export async function runAll(page: string, shells: Shells): Promise<void> {
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
