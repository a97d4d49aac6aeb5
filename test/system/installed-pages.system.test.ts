import { afterAll, beforeAll, describe, it } from "vitest";
import { INSTALLED, runAll, type Shells } from "./pages/all.ts";
import type { Shell } from "./pages/runner.ts";
import { makeWorld, type World } from "./pages/world.ts";

const MACHINES = ["admin", "master-1", "master-2", "master-3", "node-1", "node-2", "node-3"];
const BUILD_MS = 240_000;

let world: World;
let shells: Shells;

function machinesOf(machines: ReadonlyMap<string, Shell>): Shells {
  const of = (name: string): Shell => {
    const machine = machines.get(name);
    if (machine === undefined) throw new Error(`there is no machine ${name}, only ${MACHINES.join(", ")}`);
    return machine;
  };
  return { of, run: (command, timeoutMs) => of("admin").run(command, timeoutMs) };
}

beforeAll(async () => {
  world = await makeWorld();
  shells = machinesOf(await world.together(MACHINES));
}, BUILD_MS);

afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
});

describe("an installation by the pages alone", { timeout: 300_000 }, () => {
  it.each(INSTALLED)("%s", (page) => runAll(page, shells));
});
