import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createVeth, dumpLinks, setLink } from "./link.ts";
import { createLinkDeleter } from "./link-deleter.ts";
import { echoedLink } from "./link-row.ts";
import { type NetnsHandle, openNetns } from "./netns.ts";
import { createScratchNetns, type ScratchNetns } from "./scratch-netns.ts";
import { type NetlinkSocket, openNetlink } from "./socket.ts";

let scratch: ScratchNetns;
let netns: NetnsHandle;
let socket: NetlinkSocket;

beforeEach(async () => {
  scratch = await createScratchNetns();
  netns = openNetns(scratch.path);
  socket = openNetlink({ netns });
});

afterEach(() => {
  socket[Symbol.dispose]();
  netns[Symbol.dispose]();
  scratch[Symbol.dispose]();
});

async function makePairs(count: number): Promise<number[]> {
  const messages = Array.from({ length: count }, (_, n) => createVeth({ name: `d${n}`, up: true }, { name: `e${n}` }));
  const echoes = await socket.execute(messages);
  return messages.map((_, index) => echoedLink(echoes, index)?.ifindex ?? 0);
}

const names = async () => (await socket.dump(dumpLinks())).map((row) => row.name);

describe("the link deleter", () => {
  it("deletes 64 pairs asked for one by one much faster than one after the other", async () => {
    const ifindexes = await makePairs(64);
    using deleter = createLinkDeleter({ netns });
    const start = performance.now();
    const failures = await Promise.all(ifindexes.map((ifindex) => deleter.deleteLinks([ifindex])));
    const tookMs = performance.now() - start;
    console.log(`64 concurrent deletes: ${tookMs.toFixed(1)} ms`);
    expect(failures.every((one) => one.size === 0)).toBe(true);
    expect(await names()).toEqual(["lo"]);
    expect(tookMs).toBeLessThan(500); // one after the other takes more than a second
  });

  it("takes absent links, twice named links and both ends of a pair as deleted", async () => {
    const [first = 0] = await makePairs(1);
    using deleter = createLinkDeleter({ netns });
    const failures = await deleter.deleteLinks([first, first, first - 1, 99_999]);
    expect(failures.size).toBe(0);
    expect((await deleter.deleteLinks([first])).size).toBe(0);
    expect(await names()).toEqual(["lo"]);
  });

  it("reports what cannot be deleted and deletes the rest", async () => {
    const pairs = await makePairs(3);
    using deleter = createLinkDeleter({ netns });
    const failures = await deleter.deleteLinks([1, ...pairs, -5]); // 1 is lo, which the kernel keeps
    expect([...failures.keys()].sort()).toEqual(["-5", "1"]);
    expect(failures.get("1")).toMatchObject({ code: "REJECTED", reason: "EOPNOTSUPP" });
    expect(failures.get("-5")).toMatchObject({ code: "INVALID" });
    expect((await socket.dump(dumpLinks())).map(({ name, group }) => [name, group])).toEqual([["lo", 0]]);
  });

  it("leaves links of other groups alone", async () => {
    const [a = 0, b = 0] = await makePairs(2);
    await socket.execute([setLink({ ifindex: b }, { group: 77 })]);
    using deleter = createLinkDeleter({ netns });
    await deleter.deleteLinks([a]);
    expect((await names()).sort()).toEqual(["d1", "e1", "lo"]);
  });

  it("deletes more links than fit into one round", async () => {
    const ifindexes = [...(await makePairs(200)), ...[]];
    using deleter = createLinkDeleter({ netns });
    const extra = Array.from({ length: 400 }, (_, n) => 100_000 + n);
    expect((await deleter.deleteLinks([...ifindexes, ...extra])).size).toBe(0);
    expect(await names()).toEqual(["lo"]);
  });

  it("refuses after closing", async () => {
    const deleter = createLinkDeleter({ netns });
    deleter[Symbol.dispose]();
    expect((await deleter.deleteLinks([5])).get("5")).toMatchObject({ code: "CLOSED" });
  });
});
