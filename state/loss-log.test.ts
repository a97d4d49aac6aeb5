import { describe, expect, it } from "vitest";
import { LossLog } from "./loss-log.ts";
import { manualClock } from "./waiting/clock.ts";

function fixture() {
  const lines: unknown[][] = [];
  const write = (level: string) => (fields: object, message: string) => void lines.push([level, message, fields]);
  const log = { debug: () => undefined, info: write("info"), warn: write("warn") };
  const clock = manualClock();
  return { lines, clock, loss: new LossLog({ log, clock, lost: "etcd is lost", back: "etcd is back" }) };
}

describe("a loss", () => {
  it("is one line when it begins and one when it ends, with its duration in whole milliseconds", () => {
    const { lines, clock, loss } = fixture();
    loss.back();
    for (const cause of ["refused", "late", "refused"]) {
      loss.lost(new Error(cause), { endpoint: "e1" });
      clock.advance(1_000.4);
    }
    loss.back();
    loss.back();
    expect(lines).toEqual([
      ["warn", "etcd is lost", { endpoint: "e1", cause: "refused" }],
      ["info", "etcd is back", { lostMs: 3_001 }],
    ]);
    loss.lost("again");
    expect(lines).toHaveLength(3);
  });

  it("has a cause as text, also where the error has no message of its own", () => {
    const { lines, loss } = fixture();
    const refused = (address: string) => new Error(`connect ECONNREFUSED ${address}`);
    loss.lost(new AggregateError([refused("::1:2379"), refused("127.0.0.1:2379")]));
    expect(lines[0]?.[2]).toEqual({ cause: "connect ECONNREFUSED ::1:2379; connect ECONNREFUSED 127.0.0.1:2379" });
  });
});
