import fc from "fast-check";
import { expect, test } from "vitest";
import type { StoredValue } from "./store.ts";
import { acceptEvents, changedPuts, newProgress, vanishedDeletes, wholeRevisions } from "./watch-progress.ts";

test("batches keep every event in order, part no revision, and are not larger than they must be", () => {
  const revisions = fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 60 }).map((steps) => {
    let revision = 1;
    return steps.map((step) => {
      revision += step > 1 ? 1 : 0;
      return revision;
    });
  });
  fc.assert(
    fc.property(revisions, fc.integer({ min: 1, max: 10 }), (events, size) => {
      const batches = [...wholeRevisions(events, size, (revision) => revision)];
      expect(batches.flat()).toEqual(events);
      for (const [index, batch] of batches.entries()) {
        expect(batch.length).toBeGreaterThan(0);
        expect(batches[index + 1]?.[0]).not.toBe(batch.at(-1));
        expect(batch.filter((revision) => revision !== batch.at(-1)).length).toBeLessThan(size);
      }
    }),
  );
});

test("from any state the difference to any list leads to that list", () => {
  const worlds = fc.dictionary(fc.constantFrom("a", "b", "c", "d", "e"), fc.bigInt({ min: 1n, max: 5n }));
  fc.assert(
    fc.property(worlds, worlds, (before, after) => {
      const progress = newProgress();
      for (const [key, revision] of Object.entries(before)) progress.known.set(key, revision);
      const values = Object.entries(after).map(([key, modRevision]) => valueAt(key, modRevision));
      const puts = changedPuts(progress, values);
      acceptEvents(progress, puts);
      acceptEvents(progress, vanishedDeletes(progress, new Set(Object.keys(after)), 9n));
      acceptEvents(progress, [{ kind: "synced", revision: 9n }]);
      expect(Object.fromEntries(progress.known)).toEqual(after);
      expect(progress.next).toBe(10n);
      expect(puts).toHaveLength(Object.keys(after).filter((key) => before[key] !== after[key]).length);
    }),
  );
});

function valueAt(key: string, modRevision: bigint): StoredValue {
  return { key, value: "", modRevision, createRevision: 1n, version: 1 };
}
