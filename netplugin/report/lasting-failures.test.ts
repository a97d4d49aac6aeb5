import { expect, it } from "vitest";
import { manualClock } from "../../state/waiting/clock.ts";
import { NO_PORT } from "../desired/forwarding/endpoint.ts";
import { LastingFailures } from "./lasting-failures.ts";

const RULE = ["rule/t:p:1", "the table is full"] as const;
const POD = ["endpoint/a:eth0", NO_PORT] as const;

it("a pod that is being attached is no failure for 5 s; everything else is at once", () => {
  const clock = manualClock();
  const lasting = new LastingFailures(clock);
  expect([...lasting.of(new Map([RULE, POD]))]).toEqual([RULE]);
  clock.advance(4_999);
  expect([...lasting.of(new Map([POD]))]).toEqual([]);
  clock.advance(1);
  expect([...lasting.of(new Map([POD, RULE]))]).toEqual([POD, RULE]);
  expect([...lasting.of(new Map([RULE]))]).toEqual([RULE]); // it has its port, and loses it again
  expect([...lasting.of(new Map([POD]))]).toEqual([]);
});
