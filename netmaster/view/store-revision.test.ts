import { describe, expect, it } from "vitest";
import { newMark, nextEpoch, readMark } from "./mark.ts";
import { isOfHistory, readRevision, revisionText } from "./store-revision.ts";

describe("a revision that clients hand back", () => {
  it("is read as it was written, for every epoch that a mark can hold", () => {
    const epochs = [nextEpoch(), nextEpoch("7-0a0a0a0a"), "x".repeat(64), readMark(stored("damaged")).epoch];
    for (const epoch of epochs) {
      for (const revision of [0n, 42n, 2n ** 63n - 1n]) {
        const read = readRevision(revisionText({ epoch }, revision));
        expect(read).toEqual({ revision, epoch });
        expect(read !== undefined && isOfHistory(read, { epoch })).toBe(true);
      }
    }
  });

  it.each([
    ["42", { epoch: "1-a" }, false],
    ["42@", { epoch: "" }, false],
    ["42@1-a", { epoch: "1-b" }, false],
    ["42@1-a", { epoch: "" }, false],
    ["42@1-a", { epoch: "1-a" }, true],
  ])("%s belongs to the history of %j: %s", (text, view, isExpected) => {
    const read = readRevision(text);
    expect(read?.revision).toBe(42n);
    expect(read !== undefined && isOfHistory(read, view)).toBe(isExpected);
  });

  it.each(["", "@1-a", "-1", "1.5", "x", "1@a b", '1@a"', "1@a@b", `1@${"x".repeat(65)}`, "12345678901234567890"])(
    "%j is none",
    (text) => expect(readRevision(text)).toBeUndefined(),
  );

  it("a mark's epoch that could not travel counts as unknown", () => {
    for (const epoch of ['1-a"', "1 a", "", "x".repeat(65), "1@a"])
      expect(readMark(stored(newMark(epoch, false).value)).epoch).toBe("unknown-9");
  });
});

function stored(value: string) {
  return { key: "mark", value, createRevision: 1n, modRevision: 9n, version: 1 };
}
