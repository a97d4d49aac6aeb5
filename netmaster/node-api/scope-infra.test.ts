import { describe, expect, it } from "vitest";
import type { Kind } from "../../state/records.ts";
import type { FrozenView } from "../view/cluster-view.ts";
import { changeTo, put, remove, type WorldObject, worldObjects, worldView } from "../view/testing.ts";
import { changedRefs, changesInterest, changeTopics, interestOf, interestTopics, scopeRefs } from "./scope.ts";
import { ScopedStream } from "./scoped-stream.ts";
import { WatchLines } from "./watch-lines.ts";

const WORLD = `
  global bridge
  tenant t
  tenant u
  network t:a
  node n1
  node n2
  node n3
  endpoint c1 t:a n2
`;

function infraNetwork(key: string): WorldObject {
  const [object] = worldObjects(`network ${key}`);
  if (object?.kind !== "network") throw new Error("no network");
  const { record } = object;
  return { kind: "network", record: { ...record, config: { ...record.config, nwType: "infra" } } };
}

function existing(view: FrozenView, nodeName: string): string[] {
  const refs = new Set(scopeRefs(view, interestOf(view, nodeName)));
  return [...refs]
    .filter((ref) => view.records(ref.split("/", 1)[0] as Kind).has(ref.slice(ref.indexOf("/") + 1)))
    .sort();
}

const TABLE = [
  { name: "a node without endpoints", endpoint: "", sees: "global/global network/u:b node/n1 tenant/u" },
  {
    name: "a node without endpoints, another node's port in it",
    endpoint: "endpoint x u:b n3",
    sees: "endpoint/x global/global network/u:b node/n1 node/n3 tenant/u",
  },
  {
    name: "its own port and its other endpoints",
    endpoint: "endpoint x u:b n1\nendpoint c2 t:a n1",
    sees: "endpoint/c1 endpoint/c2 endpoint/x global/global network/t:a network/u:b node/n1 node/n2 tenant/t tenant/u",
  },
];

describe("an infra network is everybody's", () => {
  it.each(TABLE)("$name", ({ endpoint, sees }) => {
    let view = put(worldView(WORLD), infraNetwork("u:b"));
    for (const object of worldObjects(endpoint)) view = put(view, object);
    expect(existing(view, "n1")).toEqual(sees.split(" "));
  });

  it("wakes every stream when it comes and when it goes", () => {
    const before = worldView(WORLD);
    const object = infraNetwork("u:b");
    const after = put(before, object);
    const steps = [
      { change: changeTo(before, "network", "u:b", object.record), before, after },
      { change: changeTo(after, "network", "u:b", undefined), before: after, after: remove(after, "network", "u:b") },
    ];
    const stream = new ScopedStream("n1", before, new WatchLines());
    while (stream.take(before, 100) !== undefined);
    const told = steps.map((step) => {
      const topics = changeTopics(step.change, step.before, step.after);
      expect(interestTopics(stream.interest).some((topic) => topics.has(topic))).toBe(true);
      stream.touch(
        changedRefs(step.change, step.before, step.after),
        changesInterest(step.change, stream.interest, step),
      );
      expect(stream.refresh(step.after)).toBe(true);
      const lines = (stream.take(step.after, 100) ?? "").trim().split("\n");
      return lines
        .map((line) => JSON.parse(line) as { type: string; kind: string })
        .map(({ type, kind }) => `${type} ${kind}`);
    });
    expect(told.map((lines) => lines.sort())).toEqual([
      ["put network", "put tenant"],
      ["delete network", "delete tenant"],
    ]);
  });

  it("wakes nobody by name only: data networks of others stay unheard", () => {
    const before = worldView(WORLD);
    const [object] = worldObjects("network u:b");
    if (object === undefined) throw new Error("no network");
    const topics = changeTopics(changeTo(before, "network", "u:b", object.record), before, put(before, object));
    expect(interestTopics(interestOf(before, "n1")).some((topic) => topics.has(topic))).toBe(false);
  });
});
