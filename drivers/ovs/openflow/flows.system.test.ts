import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { connectSwitch, type SwitchConnection } from "./connection.ts";
import type { Flow } from "./flow.ts";
import { flowKey, flowsEqual } from "./flow-identity.ts";
import { anyFlow } from "./testing/flow-arbitrary.ts";
import { type ScratchSwitch, startSwitch } from "./testing/scratch-switch.ts";
import { formatFlow } from "./text.ts";

const FLOW_COUNT = 1500;

let scratch: ScratchSwitch;
let ours: SwitchConnection;
let theirs: SwitchConnection;

beforeAll(async () => {
  scratch = await startSwitch(["br0", "br1"]);
  ours = await connectSwitch(scratch.socketOf("br0"));
  theirs = await connectSwitch(scratch.socketOf("br1"));
  const meter = { id: 1, rateUnit: "kbit/s", hasBurst: true, keepsStats: true, bands: [] } as const;
  for (const connection of [ours, theirs]) {
    const bands = [{ kind: "drop", rate: 1000, burst: 1000 }] as const;
    await connection.meterMods([{ kind: "meter-add", meter: { ...meter, bands } }]);
  }
});

afterAll(async () => {
  await ours?.close();
  await theirs?.close();
  await scratch?.[Symbol.asyncDispose]();
});

/** Random flows, each of its own identity. */
function sample(seed: number): Map<string, Flow> {
  return new Map(fc.sample(anyFlow, { numRuns: FLOW_COUNT, seed }).map((flow) => [flowKey(flow), flow]));
}

function compare(wanted: ReadonlyMap<string, Flow>, dumped: readonly Flow[]): string[] {
  const there = new Map(dumped.map((flow) => [flowKey(flow), flow]));
  const wrong: string[] = [];
  for (const [key, flow] of wanted) {
    const other = there.get(key);
    if (other === undefined) wrong.push(`absent: ${formatFlow(flow)}`);
    else if (!flowsEqual(flow, other)) wrong.push(`asked: ${formatFlow(flow)}\nfound: ${formatFlow(other)}`);
  }
  return wrong;
}

describe("random flows and a real switch", () => {
  const seed = Number(process.env.FC_SEED ?? Date.now() % 0x7fffffff);

  it(`are dumped as they were added (seed ${seed})`, async () => {
    const wanted = sample(seed);
    await ours.bundle([...wanted.values()].map((flow) => ({ kind: "flow-add", flow }) as const));
    const dumped = await ours.dumpFlows();
    expect(compare(wanted, dumped).slice(0, 3)).toEqual([]);
    expect(dumped.length).toBe(wanted.size);
    expect(dumped.every((flow) => flow.match.unknown === undefined)).toBe(true);
  });

  it(`mean to ovs-ofctl what they mean to us (seed ${seed})`, async () => {
    const wanted = sample(seed);
    const file = join(scratch.directory, "flows.txt");
    await writeFile(file, [...wanted.values()].map((flow) => `${formatFlow(flow)}\n`).join(""));
    await scratch.ofctl("--bundle", "add-flows", `unix:${scratch.socketOf("br1")}`, file);
    expect(compare(wanted, await theirs.dumpFlows()).slice(0, 3)).toEqual([]);
  });
});
