import { setTimeout as sleep } from "node:timers/promises";
import type { Block, Step } from "./blocks.ts";
import { isAsShown } from "./output.ts";
import type { Outcome } from "./shell.ts";

/** Where a block's commands run. */
export interface Shell {
  run(command: string, timeoutMs: number): Promise<Outcome>;
}

const COMMAND_MS = 90_000;
const AGAIN_MS = 200;

/** Runs a block's commands in order; undefined, or what differs from the page. */
export async function runBlock(block: Block, shell: Shell): Promise<string | undefined> {
  for (const step of block.steps) {
    const difference = await runStep(step, block.withinMs, shell);
    if (difference !== undefined) return `${block.page}:${step.line}: ${difference}`;
  }
  return undefined;
}

async function runStep(step: Step, withinMs: number, shell: Shell): Promise<string | undefined> {
  const deadline = Date.now() + withinMs;
  for (;;) {
    const difference = await attempt(step, shell);
    if (difference === undefined || Date.now() >= deadline) return difference;
    await sleep(AGAIN_MS);
  }
}

async function attempt({ command, output: shown }: Step, shell: Shell): Promise<string | undefined> {
  if (shown === undefined) return pasted(command, shell);
  const { status, output } = await shell.run(command, COMMAND_MS);
  if (status !== -1 && isAsShown(shown, output)) return undefined;
  return `$ ${command}\n--- the page shows\n${shown}\n--- printed (status ${status})\n${output}`;
}

/** Every command of a pasted block must succeed, not only the last. */
async function pasted(command: string, shell: Shell): Promise<string | undefined> {
  const trap = `trap 'pasted_failed="$BASH_COMMAND: status $?"' ERR; pasted_failed=`;
  const { status, output } = await shell.run(`${trap}\n${command}\ntrap - ERR; [ -z "$pasted_failed" ]`, COMMAND_MS);
  if (status === 0) return undefined;
  const { output: failed } = await shell.run('echo "$pasted_failed"', COMMAND_MS).catch(() => ({ output: "" }));
  return `${command}\n--- failed: ${failed}${output}`;
}
