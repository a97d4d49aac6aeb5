import type { LookupAddress, LookupOptions } from "node:dns";
import { expect, it } from "vitest";
import { createNameLookup, type NameLookup } from "./name-lookup.ts";
import { manualClock } from "./waiting/clock.ts";
import { nextTurn } from "./waiting/pause.ts";

const FOUND: readonly LookupAddress[] = [{ address: "10.0.0.1", family: 4 }];

/** Name servers that answer when the test says so. */
function nameServers() {
  const waiting: { readonly name: string; readonly end: (answer: readonly LookupAddress[] | Error) => void }[] = [];
  const resolve = (name: string) =>
    new Promise<readonly LookupAddress[]>((found, fail) => {
      waiting.push({ name, end: (answer) => (answer instanceof Error ? fail(answer) : found(answer)) });
    });
  return { waiting, resolve };
}

function ask(lookup: NameLookup, name: string, options: LookupOptions = { all: true }): Promise<unknown> {
  return new Promise((resolve) => {
    lookup(name, options, (error, address) => resolve(error === null ? address : error.message));
  });
}

it("asks once for a name, however many callers there are, and each waits 2 s at most", async () => {
  const clock = manualClock();
  const { waiting, resolve } = nameServers();
  const lookup = createNameLookup({ resolve, clock });
  const early = Promise.all([ask(lookup, "m-1"), ask(lookup, "m-1"), ask(lookup, "m-2")]);
  await nextTurn();
  expect(waiting.map(({ name }) => name)).toEqual(["m-1", "m-2"]);
  clock.advance(2_000);
  const late = "the name m-1 has been looked up for 2 s without an answer of the name servers";
  expect((await early).slice(0, 2)).toEqual([late, late]);
  clock.advance(6_000);
  expect(await ask(lookup, "m-1")).toBe(late.replace("2 s", "8 s")); // at once
  expect(waiting).toHaveLength(2);
  waiting[0]?.end(FOUND);
  await nextTurn();
  const answer = ask(lookup, "m-1");
  await nextTurn();
  waiting[2]?.end(FOUND);
  expect(await answer).toEqual(FOUND);
});

it("gives the last answer while the name servers are silent or fail", async () => {
  const clock = manualClock();
  const { waiting, resolve } = nameServers();
  const lookup = createNameLookup({ resolve, clock });
  const first = ask(lookup, "m-1", {});
  await nextTurn();
  waiting[0]?.end(FOUND);
  expect(await first).toBe("10.0.0.1");
  const silent = ask(lookup, "m-1");
  await nextTurn();
  clock.advance(2_000);
  expect(await silent).toEqual(FOUND);
  waiting[1]?.end(new Error("EAI_AGAIN"));
  await nextTurn();
  expect(await ask(lookup, "m-1")).toEqual(FOUND);
});

it("does not ask again for 3 s after a failure", async () => {
  const clock = manualClock();
  const { waiting, resolve } = nameServers();
  const lookup = createNameLookup({ resolve, clock });
  const first = ask(lookup, "m-9");
  await nextTurn();
  waiting[0]?.end(new Error("getaddrinfo ENOTFOUND m-9"));
  expect(await first).toBe("getaddrinfo ENOTFOUND m-9");
  expect(await ask(lookup, "m-9")).toBe("getaddrinfo ENOTFOUND m-9");
  expect(waiting).toHaveLength(1);
  clock.advance(3_000);
  const again = ask(lookup, "m-9");
  await nextTurn();
  expect(waiting).toHaveLength(2);
  waiting[1]?.end(FOUND);
  expect(await again).toEqual(FOUND);
});

it("looks the system's names up", async () => {
  const addresses = (await ask(createNameLookup(), "localhost")) as LookupAddress[];
  expect(addresses.some(({ address }) => address === "127.0.0.1" || address === "::1")).toBe(true);
});
