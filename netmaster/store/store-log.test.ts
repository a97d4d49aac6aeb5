import { describe, expect, it } from "vitest";
import { manualClock } from "../../state/waiting/clock.ts";
import { logLines } from "../testing/log-lines.ts";
import { StoreLog } from "./store-log.ts";

function fixture() {
  const { log, lines } = logLines();
  const clock = manualClock();
  const storeLog = new StoreLog(log, clock);
  const { report } = storeLog;
  const down = (prefix: string) =>
    report({ kind: "watch-down", prefix, endpoint: "http://e1", cause: new Error("14 UNAVAILABLE: gone") });
  const live = (prefix: string) => report({ kind: "watch-live", prefix, endpoint: "http://e1" });
  const failed = () => report({ kind: "call-failed", call: "grant a lease", endpoint: "http://e1", cause: "late" });
  return { storeLog, clock, lines, down, live, failed };
}

describe("what is logged of etcd", () => {
  it("is one line when it fails, with the cause as text, and one when it is well again", () => {
    const { clock, lines, down, live, failed } = fixture();
    for (let count = 0; count < 100; count += 1) {
      down("/a");
      down("/b");
      failed();
      clock.advance(500);
    }
    expect(lines()).toEqual([
      expect.objectContaining({ level: 40, endpoint: "http://e1", cause: "14 UNAVAILABLE: gone" }),
    ]);
    live("/a");
    clock.advance(60_000);
    expect(lines()).toHaveLength(1);
    live("/b");
    clock.advance(10_000);
    expect(lines()).toHaveLength(2);
    expect(lines()[1]).toMatchObject({ level: 30, msg: "etcd answers again", lostMs: 110_000 });
    failed();
    expect(lines()).toHaveLength(3);
  });

  it("is deafness when no member of etcd has taken over a watch for 2 s", () => {
    const { storeLog, clock, down, live } = fixture();
    down("/a");
    expect([storeLog.isFailing, storeLog.deafness]).toEqual([true, undefined]);
    clock.advance(1_000);
    down("/a");
    clock.advance(1_000);
    expect(storeLog.deafness).toBe("14 UNAVAILABLE: gone");
    live("/a");
    expect([storeLog.isFailing, storeLog.deafness]).toEqual([true, undefined]);
    clock.advance(3_000);
    expect(storeLog.isFailing).toBe(false);
  });

  it("has a cause even where there is none", () => {
    const { lines, down } = fixture();
    down("/a");
    expect(lines()[0]?.cause).not.toBe("");
  });

  it("is an error when the thread of the leader's lease fails, with its cause", () => {
    const { log, lines } = logLines();
    new StoreLog(log, manualClock()).report({ kind: "lease-thread-failed", cause: new Error("out of memory") });
    expect(lines()).toEqual([expect.objectContaining({ level: 50, cause: "out of memory" })]);
  });
});
