import { expect, it } from "vitest";
import { openMemoryStore } from "../../state/store/memory.ts";
import { MemoryBackend } from "../../state/store/memory-backend.ts";
import { announceNetmaster, followNetmasters } from "./netmasters.ts";

const URLS = ["http://10.0.0.1:9999", "http://10.0.0.2:9999"] as const;

it("every netmaster lists all that run, and one that ended no longer", async () => {
  const backend = new MemoryBackend();
  await using one = openMemoryStore({ backend });
  await using two = openMemoryStore({ backend });
  const [endOne, endTwo] = [new AbortController(), new AbortController()];
  await using seenByOne = followNetmasters(one);
  await using seenByTwo = followNetmasters(two);
  const announced = [
    announceNetmaster(two, { id: "b", restUrl: URLS[1] }, endTwo.signal),
    announceNetmaster(one, { id: "a", restUrl: URLS[0] }, endOne.signal),
  ];
  for (const seen of [seenByOne, seenByTwo]) await expect.poll(seen.urls).toEqual(URLS);
  endTwo.abort();
  for (const seen of [seenByOne, seenByTwo]) await expect.poll(seen.urls).toEqual([URLS[0]]);
  endOne.abort();
  await Promise.all(announced);
});
