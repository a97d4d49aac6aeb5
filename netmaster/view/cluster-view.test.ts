import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { NetworkId } from "../../state/ids.ts";
import { KINDS, type Kind } from "../../state/records.ts";
import { applyChanges, emptyView, type FrozenView } from "./cluster-view.ts";
import { INDEX_NAMES } from "./indexes.ts";
import { changeTo, put, remove, type WorldObject, worldObjects } from "./testing.ts";

const POOL: readonly WorldObject[] = worldObjects(`
  network t:a 10.0.0.0/16
  tenant t
  group t:web a policy=p profile=gold pool=10.0.0.10-10.0.0.20
  group t:web a policy=p policy=q pool=10.0.0.10-10.0.0.20
  group t:db a
  policy t:p
  rule t:p:1 from=db
  rule t:p:1 from=web
  profile t:gold
  node n1
  endpoint c1 t:a n1 web
  endpoint c1 t:a n2
  endpoint c2 t:a n1
  endpoint c3 t:b n1 db
`);

interface Step {
  readonly object: number;
  readonly isRemoval: boolean;
}

const steps = fc.array(fc.record({ object: fc.nat(POOL.length - 1), isRemoval: fc.boolean() }), { maxLength: 50 });

function advance(view: FrozenView, { object, isRemoval }: Step): FrozenView {
  const chosen = POOL[object] as WorldObject;
  if (!isRemoval) return put(view, chosen);
  return view.records(chosen.kind).has(chosen.record.key) ? remove(view, chosen.kind, chosen.record.key) : view;
}

/** Everything that a view shows, as plain data. The order in which addresses were freed is left out. */
function shown(view: FrozenView): unknown {
  const records = KINDS.map((kind: Kind) => [kind, [...view.records(kind).entries()]]);
  const unders = ["t", "t:a", "t:b", "t:p", "t:q", "t:web", "t:db", "t:gold", "n1", "n2"];
  const indexes = INDEX_NAMES.map((name) => [name, unders.map((under) => [...view[name](under)])]);
  const pool = view.addresses(NetworkId.parse(1))?.ipv4;
  const web = pool?.poolRange("t:web");
  const taken = pool === undefined ? [] : [...pool.takenRanges()];
  const ids = (["tenant-id", "network-id", "group-id", "vlan", "vni"] as const).map((name) => [
    ...view.ids(name).takenRanges(),
  ]);
  return { records, indexes, taken, web, leased: pool?.leasedCount, ids };
}

describe("cluster view", () => {
  it("built step by step is the same as built at once from what is left", () => {
    fc.assert(
      fc.property(steps, (history) => {
        const view = history.reduce(advance, emptyView());
        const left = KINDS.flatMap((kind: Kind) =>
          Array.from(view.records(kind).entries(), ([, record]) => ({ kind, record }) as WorldObject),
        );
        expect(shown(view)).toEqual(shown(left.reduce(put, emptyView())));
      }),
    );
  });

  it("leaves older views as they were", () => {
    fc.assert(
      fc.property(steps, (history) => {
        let view = emptyView();
        const past: { readonly view: FrozenView; readonly shown: unknown }[] = [];
        for (const step of history) {
          past.push({ view, shown: shown(view) });
          view = advance(view, step);
        }
        for (const old of past) expect(shown(old.view)).toEqual(old.shown);
      }),
    );
  });

  it("gives an address that is released and taken at once to the new owner", () => {
    const [network, first, second] = worldObjects("network t:a\n endpoint c1 t:a n1\n endpoint c2 t:a n1");
    if (network === undefined || first?.kind !== "endpoint" || second?.kind !== "endpoint") throw new Error("no world");
    const view = put(put(emptyView(), network), first);
    const heir = { ...second, record: { ...second.record, ipv4: first.record.ipv4 } };
    for (const order of [0, 1]) {
      const changes = [changeTo(view, "endpoint", "c1", undefined), changeTo(view, "endpoint", "c2", heir.record)];
      const after = applyChanges(view, order === 0 ? changes : changes.reverse(), 9n);
      expect(after.addresses(NetworkId.parse(1))?.ipv4.leasedCount).toBe(1);
    }
  });

  it("shows a write that is planned but not committed at revision 0", () => {
    const [tenant] = worldObjects("tenant t");
    const view = emptyView();
    const change = { ...changeTo(view, "tenant", "t", tenant?.record), modRevision: 0n };
    expect(applyChanges(view, [change], view.revision).modRevision("tenant", "t")).toBe(0n);
  });

  it("costs the same for one change whether it holds a hundred endpoints or twenty thousand", () => {
    const small = timeOfChanges(filled(100));
    const large = timeOfChanges(filled(20_000));
    expect(large).toBeLessThan(small * 8);
  });
});

function filled(count: number): FrozenView {
  const [network, endpoint] = worldObjects("network t:a 10.0.0.0/8\n endpoint c t:a n1");
  if (network === undefined || endpoint?.kind !== "endpoint") throw new Error("no world");
  const changes = Array.from({ length: count }, (_, index) => endpointChange(endpoint, index));
  return applyChanges(put(emptyView(), network), changes, 2n);
}

function endpointChange(object: WorldObject, index: number) {
  const key = `c${index}`;
  const ipv4 = `10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`;
  return changeTo(emptyView(), "endpoint", key, { ...object.record, key, ipv4 } as WorldObject["record"]);
}

/** The least of several measurements, so that a busy machine does not count. */
function timeOfChanges(view: FrozenView): number {
  const [object] = worldObjects("endpoint c t:a n1");
  if (object === undefined) throw new Error("no world");
  const times = Array.from({ length: 20 }, (_, round) => {
    const startedMs = performance.now();
    let next = view;
    for (let index = 0; index < 50; index += 1) {
      next = applyChanges(next, [endpointChange(object, 1_000_000 + round * 50 + index)], 3n);
    }
    return performance.now() - startedMs;
  });
  return Math.min(...times);
}
