import { describe, expect, it } from "vitest";
import { type FlowDeed, packFlow } from "../../../drivers/ovs/openflow/packed-flow.ts";
import { Table } from "../../desired/pipeline/pipeline.ts";
import type { Changes } from "../../view/node-view.ts";
import { forgetAnswers } from "./learned-answers.ts";

const flowsOf = (table: number): ReadonlyMap<string, FlowDeed> => {
  const { key, deed } = packFlow({ table, priority: 1, cookie: 1n, match: {}, actions: [] });
  return new Map([[key, deed]]);
};

function changesOf(...kinds: readonly string[]): Changes {
  return new Map(kinds.map((kind) => [`${kind}/k`, { kind, key: "k" }])) as unknown as Changes;
}

type Flows = ReadonlyMap<string, FlowDeed>;

async function calls(put: Flows, removed: Flows, changes: Changes) {
  const made: string[] = [];
  const cache = { forget: async () => void made.push("now"), forgetSoon: () => void made.push("soon") };
  await forgetAnswers(
    cache,
    { flows: { put: put.keys(), removed: removed.keys() }, changes },
    new AbortController().signal,
  );
  return made;
}

describe("what the datapath has learned", () => {
  it("is forgotten at once, and once more, when policies have changed", async () => {
    for (const table of [
      Table.sourceGroup,
      Table.conntrack,
      Table.outRules,
      Table.inLog,
      Table.inRules,
      Table.denied,
    ]) {
      expect(await calls(flowsOf(table), new Map(), changesOf("rule", "endpoint")), `${table}`).toEqual([
        "now",
        "soon",
      ]);
      expect(await calls(new Map(), flowsOf(table), changesOf("endpointGroup")), `${table}`).toEqual(["now", "soon"]);
    }
  });

  it("is forgotten at once when policy flows had to be repaired", async () => {
    expect(await calls(flowsOf(Table.inRules), new Map(), changesOf())).toEqual(["now", "soon"]);
  });

  it("is forgotten soon when endpoints have come and gone", async () => {
    expect(await calls(flowsOf(Table.receiver), new Map(), changesOf("endpoint", "node"))).toEqual(["soon"]);
  });

  it("is kept when no policy has to do with it", async () => {
    expect(await calls(flowsOf(Table.classify), flowsOf(Table.switch), changesOf("endpoint"))).toEqual([]);
    expect(await calls(new Map(), new Map(), changesOf("rule"))).toEqual([]);
  });
});
