import { expect, it } from "vitest";
import { manualClock } from "./clock.ts";
import { nextTurn, pause } from "./pause.ts";

async function state(waiting: Promise<void>): Promise<string> {
  await nextTurn();
  return await Promise.race([waiting.then(() => "over"), Promise.resolve("waiting")]);
}

it("pauses as long as the clock says", async () => {
  const clock = manualClock();
  const waiting = pause(100, undefined, clock);
  clock.advance(99);
  expect(await state(waiting)).toBe("waiting");
  clock.advance(1);
  await waiting;
});

it("ends with its signal without an error, and at once when that was before", async () => {
  const ending = new AbortController();
  const clock = manualClock();
  const waiting = pause(100, ending.signal, clock);
  ending.abort();
  await waiting;
  await pause(100, ending.signal, clock);
});
