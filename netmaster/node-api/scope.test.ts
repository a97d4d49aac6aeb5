import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Kind } from "../../state/records.ts";
import type { FrozenView } from "../view/cluster-view.ts";
import { applyChanges } from "../view/cluster-view.ts";
import { changeTo, put, remove, worldObjects, worldView } from "../view/testing.ts";
import {
  changedRefs,
  changesInterest,
  changeTopics,
  interestOf,
  interestTopics,
  isInScope,
  type Located,
  scopeRefs,
} from "./scope.ts";
import { ScopedStream } from "./scoped-stream.ts";
import { WatchLines } from "./watch-lines.ts";

const KINDS_IN_TEST: readonly Kind[] = [
  "global",
  "tenant",
  "network",
  "endpointGroup",
  "policy",
  "rule",
  "netprofile",
  "endpoint",
  "node",
];

/** What a node is to know, from the definition: every object of the view, asked one by one. */
function known(view: FrozenView, nodeName: string): string[] {
  const interest = interestOf(view, nodeName);
  const refs: string[] = [];
  for (const kind of KINDS_IN_TEST) {
    for (const [key, record] of view.records(kind).entries()) {
      if (isInScope(view, interest, { kind, key, record } as Located)) refs.push(`${kind}/${key}`);
    }
  }
  return refs.sort();
}

const SMALL = `
  global bridge
  tenant t
  tenant u
  network t:a
  network t:b
  network u:a
  node n1
  node n2
  node n3
`;

const TABLE: readonly { readonly name: string; readonly world: string; readonly sees: string }[] = [
  { name: "nothing but the settings and itself without endpoints", world: `${SMALL}`, sees: "global/global node/n1" },
  {
    name: "the network of its endpoint, with the tenant",
    world: `${SMALL} endpoint c1 t:a n1`,
    sees: "endpoint/c1 global/global network/t:a node/n1 tenant/t",
  },
  {
    name: "remote endpoints of its networks, with their nodes",
    world: `${SMALL} endpoint c1 t:a n1
      endpoint c2 t:a n2
      endpoint c3 t:b n3`,
    sees: "endpoint/c1 endpoint/c2 global/global network/t:a node/n1 node/n2 tenant/t",
  },
  {
    name: "other networks of the tenant when routing",
    world: `${SMALL.replace("bridge", "routing")} endpoint c1 t:a n1
      endpoint c3 t:b n3
      endpoint c4 u:a n2`,
    sees: "endpoint/c1 endpoint/c3 global/global network/t:a network/t:b node/n1 node/n3 tenant/t",
  },
  {
    name: "groups of its networks, but not their policies",
    world: `${SMALL} policy t:p
      rule t:p:1
      group t:web a policy=p
      endpoint c1 t:a n1`,
    sees: "endpoint/c1 endpointGroup/t:web global/global network/t:a node/n1 tenant/t",
  },
  {
    name: "policy, rules, what the rules name, and the profile of its own groups",
    world: `${SMALL} policy t:p
      policy t:other
      rule t:p:1 from=db
      rule t:p:2 network=b
      rule t:other:1
      profile t:gold
      group t:web a policy=p profile=gold
      group t:db b
      endpoint c1 t:a n1 web
      endpoint c2 t:b n2 db`,
    sees: `endpoint/c1 endpointGroup/t:db endpointGroup/t:web global/global netprofile/t:gold network/t:a network/t:b
      node/n1 policy/t:p rule/t:p:1 rule/t:p:2 tenant/t`,
  },
];

describe("a node sees", () => {
  it.each(TABLE)("$name", ({ world, sees }) => {
    const view = worldView(world);
    expect(known(view, "n1")).toEqual(sees.trim().split(/\s+/).sort());
  });

  it("exactly what the definition says, when everything is listed", () => {
    for (const { world } of TABLE) {
      const view = worldView(world);
      const listed = [...scopeRefs(view, interestOf(view, "n1"))].filter((ref) => existsIn(view, ref));
      expect([...new Set(listed)].sort()).toEqual(known(view, "n1"));
    }
  });
});

function existsIn(view: FrozenView, ref: string): boolean {
  const slash = ref.indexOf("/");
  return view.records(ref.slice(0, slash) as Kind).has(ref.slice(slash + 1));
}

/** Objects that may come and go in the random worlds. */
const POOL = worldObjects(`
  global bridge
  global routing
  tenant t
  network t:a
  network t:b
  network u:a
  node n1
  node n2
  policy t:p
  policy t:q
  rule t:p:1 from=db
  rule t:p:1 network=b
  rule t:p:2 from=db
  rule t:q:1 from=db
  rule t:q:1
  profile t:gold
  group t:web a policy=p profile=gold
  group t:web a policy=q
  group t:db b
  endpoint c1 t:a n1 web
  endpoint c1 t:a n2 web
  endpoint c2 t:a n1
  endpoint c3 t:b n1 db
  endpoint c4 t:b n2 db
  endpoint c5 u:a n2
`);

interface Held {
  readonly revisions: Map<string, bigint>;
}

/** Does what a node does with the lines it gets. */
function receive(held: Held, lines: string | undefined): void {
  for (const line of (lines ?? "").split("\n").filter((text) => text !== "")) {
    const message = JSON.parse(line) as { type: string; kind: string; key: string; modRevision: string };
    const ref = `${message.kind}/${message.key}`;
    if (message.type === "put") held.revisions.set(ref, BigInt(message.modRevision));
    if (message.type === "delete") held.revisions.delete(ref);
  }
}

describe("the stream", () => {
  it("keeps a node's knowledge equal to the definition, whatever changes and however slowly it reads", () => {
    const step = fc.record({ object: fc.nat(POOL.length - 1), isRemoval: fc.boolean(), reads: fc.nat(3) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.constantFrom("n1", "n2"), (steps, nodeName) => {
        let view = worldView("global bridge");
        const stream = new ScopedStream(nodeName, view, new WatchLines());
        const held: Held = { revisions: new Map() };
        for (const { object, isRemoval, reads } of steps) {
          const { kind, record } = POOL[object] as (typeof POOL)[number];
          if (isRemoval && !view.records(kind).has(record.key)) continue;
          const before = view;
          const change = changeTo(view, kind, record.key, isRemoval ? undefined : record);
          view = isRemoval ? remove(view, kind, record.key) : put(view, { kind, record } as (typeof POOL)[number]);
          const topics = changeTopics(change, before, view);
          if (interestTopics(stream.interest).some((topic) => topics.has(topic))) {
            stream.touch(
              changedRefs(change, before, view),
              changesInterest(change, stream.interest, { before, after: view }),
            );
          }
          for (let turn = 0; turn < reads; turn += 1) {
            stream.refresh(view);
            receive(held, stream.take(view, 2));
          }
        }
        for (;;) {
          stream.refresh(view);
          const lines = stream.take(view, 100);
          if (lines === undefined) break;
          receive(held, lines);
        }
        expect([...held.revisions.keys()].sort()).toEqual(known(view, nodeName));
        for (const [ref, modRevision] of held.revisions) {
          const slash = ref.indexOf("/");
          expect(modRevision).toBe(view.modRevision(ref.slice(0, slash) as Kind, ref.slice(slash + 1)));
        }
      }),
      { numRuns: 300 },
    );
  });

  it("is not even asked about 10,000 endpoints of networks that the node does not use", () => {
    let view = worldView(`${SMALL}
      endpoint c1 t:a n1`);
    const stream = new ScopedStream("n1", view, new WatchLines());
    while (stream.take(view, 1_000) !== undefined);
    const topics = new Set(interestTopics(stream.interest));
    const [endpoint] = worldObjects("endpoint far t:b n2");
    if (endpoint?.kind !== "endpoint") throw new Error("no endpoint");
    for (let index = 0; index < 10_000; index += 1) {
      const record = { ...endpoint.record, key: `far${index}` };
      const change = changeTo(view, "endpoint", record.key, record);
      const after = applyChanges(view, [change], view.revision + 1n);
      for (const topic of changeTopics(change, view, after)) expect(topics.has(topic)).toBe(false);
      view = after;
    }
    expect(stream.backlog).toBe(0);
    expect([...scopeRefs(view, interestOf(view, "n1"))].length).toBeLessThan(10);
  });

  it("begins with everything in scope and one synced line, then marks every group of changes", () => {
    let view = worldView(SMALL);
    const stream = new ScopedStream("n1", view, new WatchLines());
    expect(stream.take(view, 100)?.trim().split("\n")).toHaveLength(2);
    expect(stream.mark(view, false)).toContain("synced");
    expect(stream.mark(view, false)).toBeUndefined();
    expect(stream.mark(view, true)).toContain("bookmark");
    const before = view;
    const [object] = worldObjects("endpoint c1 t:a n1");
    if (object === undefined) throw new Error("no object");
    const change = changeTo(view, object.kind, object.record.key, object.record);
    view = put(view, object);
    stream.touch(changedRefs(change, before, view), changesInterest(change, stream.interest, { before, after: view }));
    expect(stream.refresh(view)).toBe(true);
    const kinds = (stream.take(view, 100) ?? "")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line).kind);
    expect(kinds).toEqual(["tenant", "network", "endpoint", "node"]);
    expect(stream.mark(view, false)).toBe(`{"type":"bookmark","revision":"${view.revision}"}\n`);
  });
});
