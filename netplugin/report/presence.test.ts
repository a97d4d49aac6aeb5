import { pino } from "pino";
import { describe, expect, it } from "vitest";
import { NetError } from "../../state/errors.ts";
import type { NodeRegistration } from "../../state/kinds/node.ts";
import { keepPresent, type PresenceOptions } from "./presence.ts";
import { createReachability } from "./reachability.ts";
import { createReportTrigger } from "./report-trigger.ts";

/** A netmaster that hears of one node every few milliseconds, until so many heartbeats. */
async function heard(heartbeats: number, options: Partial<PresenceOptions> = {}, lost: readonly string[] = []) {
  const unanswered = [...lost];
  const registrations: string[] = [];
  let beats = 0;
  const ending = new AbortController();
  await keepPresent({
    ...{
      bootId: "b",
      reachability: createReachability({ log: pino({ level: "silent" }) }),
      trigger: createReportTrigger(1),
      log: pino({ level: "silent" }),
    },
    client: {
      register: async ({ version }) => {
        registrations.push(version);
        if (unanswered[0] === version) {
          unanswered.shift();
          throw new NetError("TIMEOUT", "no answer");
        }
        return { heartbeatIntervalMs: 5, watchIdleTimeoutMs: 1_000, clusterVersion: "1" };
      },
      heartbeat: async () => {
        if (++beats === heartbeats) ending.abort();
        return { registered: true, heartbeatIntervalMs: 5, receiptDelayMs: 1 };
      },
    },
    registration: async () => ({ version: "same" }) as NodeRegistration,
    message: () => ({ body: { conditions: [] } }),
    onFailure: () => {},
    signal: ending.signal,
    ...options,
  });
  return registrations;
}

describe("a node's registration", () => {
  it("is said once more soon: an earlier one that was under way may have come in after the first", async () => {
    expect(await heard(8)).toEqual(["same", "same"]);
  });

  it("is said again when it has changed", async () => {
    const versions = ["1", "1", "1", "2"];
    const registration = async () => ({ version: versions.shift() ?? "2" }) as NodeRegistration;
    expect(await heard(8, { registration })).toEqual(["1", "1", "2"]);
  });

  it("that was not answered may come in after a later one: that is said again with each regular heartbeat for a while", async () => {
    const versions = ["1", "1", "1", "2"];
    const registration = async () => ({ version: versions.shift() ?? "3" }) as NodeRegistration;
    const said = await heard(10, { registration }, ["2"]);
    expect(said.slice(0, 4)).toEqual(["1", "1", "2", "3"]);
    expect(said.slice(4).length).toBeGreaterThan(2);
    expect(new Set(said.slice(4))).toEqual(new Set(["3"]));
  });
});
