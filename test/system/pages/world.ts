import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { startReaper } from "../reaper.ts";
import { Machine } from "./shell.ts";

/** The machines of a test. */
export interface World extends AsyncDisposable {
  /** A machine without neighbours. */
  alone(): Promise<Machine>;
}

export async function makeWorld(): Promise<World> {
  const directory = mkdtempSync(join(tmpdir(), "contiv-pages-"));
  startReaper(`${basename(directory)}-`, directory);
  writeFileSync(join(directory, "hosts"), "127.0.0.1 localhost\n");
  const machines: Machine[] = [];
  let count = 0;
  return {
    alone: async () => {
      const machine = await Machine.start({ name: `sandbox-${++count}`, world: directory });
      machines.push(machine);
      return machine;
    },
    [Symbol.asyncDispose]: async () => {
      for (const machine of machines) machine.off();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
