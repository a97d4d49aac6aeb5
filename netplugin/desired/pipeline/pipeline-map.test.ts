import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { Flow } from "../../../drivers/ovs/openflow/flow.ts";
import { formatFlow } from "../../../drivers/ovs/openflow/text.ts";
import { flowsOfSet } from "../../../test/fakes/flows-of-set.ts";
import { machineOf, worldView } from "../../../test/fakes/world.ts";
import { NO_MEANS } from "../../machine/limit-means.ts";
import { NO_CHANGES } from "../../view/node-view.ts";
import { newFlowSet, ownerOf, updateFlowSet } from "../flow-set/flow-set.ts";
import { Register, Table } from "./pipeline.ts";

/** docs/pipeline.md against the code. */
const PAGE = readFileSync(new URL("../../../docs/pipeline.md", import.meta.url), "utf8");
const WORLD = fences(PAGE, "world")[0] ?? "";

function fences(text: string, language: string): string[] {
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\\n([^\`]*)\`\`\``, "gm"))].map((match) => match[1] ?? "");
}

function flowsIn(mode: string) {
  const view = worldView(WORLD.replace(/^mode .*/, `mode ${mode}`));
  const machine = machineOf(
    "n1",
    { web1: 11, db1: 12 },
    { limitMeans: { ...NO_MEANS, meters: true }, newConnectionsPerSecond: 4_000, neighbourMessagesPerSecond: 200 },
  );
  const { set } = updateFlowSet(newFlowSet(), { view, changes: NO_CHANGES, machine });
  return [...flowsOfSet(set).values()].map((flow) => ({
    flow,
    owner: ownerOf(set, flow.cookie)?.split("/")[0] ?? "",
  }));
}

const ownMode = /^mode (.*)/.exec(WORLD)?.[1] ?? "";
const allModes = ["bridge proxy", "bridge flood", "routing proxy", "routing flood"];
const everything = allModes.flatMap(flowsIn);
const used = new Set(everything.map(({ flow }) => flow.table));

interface Section {
  readonly table: number;
  readonly name: string;
  readonly text: string;
}

const sections: readonly Section[] = PAGE.split(/^### /m)
  .slice(1)
  .map((text) => {
    const [table, name = ""] = text.slice(0, text.indexOf("\n")).split(" ");
    return { table: Number(table), name, text };
  });

const kebab = (name: string) => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
const byTable = Object.entries(Table).map(([name, number]) => `${number} ${kebab(name)}`);

/** First cells of the rows of a section's table, and which owners the second one names. */
function rows(text: string): { readonly priority: number; readonly owners: string[] }[] {
  return [...text.matchAll(/^\| (\d+) \| ([^|]*) \|/gm)].flatMap((match) => {
    const owners = ["base", "network", "node", "endpoint", "rule"].filter((kind) => (match[2] ?? "").includes(kind));
    return { priority: Number(match[1]), owners };
  });
}

const pairs = (list: readonly (readonly [number, string])[]) =>
  [...new Set(list.map(([priority, owner]) => `${priority} ${owner}`))].sort();

describe("docs/pipeline.md", () => {
  it("lists the tables of the code", () => {
    const listed = [...PAGE.matchAll(/^\| (\d+) \| ([a-z-]+) \| /gm)].map((match) => `${match[1]} ${match[2]}`);
    expect(listed.filter((line) => byTable.includes(line))).toEqual(byTable);
    expect(Object.values(Table)).toEqual([...Object.values(Table)].sort((a, b) => a - b));
  });

  it("lists the registers of the code", () => {
    const listed = [...PAGE.matchAll(/^\| (x?reg\d+) \|/gm)].map((match) => match[1]);
    expect(listed.sort()).toEqual(Object.values(Register).map(String).sort());
  });

  it("has a section for every table with flows, and no other", () => {
    expect(sections.map(({ table }) => table)).toEqual([...used].sort((a, b) => a - b));
    expect(byTable).toEqual(expect.arrayContaining(sections.map(({ table, name }) => `${table} ${name}`)));
  });

  it.each(sections)("$table $name: priorities, and who fills them", ({ table, text }) => {
    const made = everything
      .filter(({ flow }) => flow.table === table)
      .map(({ flow, owner }) => [flow.priority, owner] as const);
    const listed = rows(text).flatMap(({ priority, owners }) => owners.map((owner) => [priority, owner] as const));
    expect(pairs(listed)).toEqual(pairs(made));
  });

  const real = new Set(flowsIn(ownMode).map(({ flow }: { flow: Flow }) => formatFlow(flow)));

  it.each(sections)("$table $name: the samples are flows of the sample world", ({ table, text }) => {
    const samples = fences(text, "flow").flatMap((block) => block.trim().split("\n"));
    expect(samples.length).toBeGreaterThan(0);
    for (const sample of samples) {
      expect(real).toContain(sample);
      expect(sample).toContain(`,table=${table},`);
    }
  });
});
