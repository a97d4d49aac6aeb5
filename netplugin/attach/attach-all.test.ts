import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { NetnsHandle } from "../../drivers/netlink/netns.ts";
import { NetError } from "../../state/errors.ts";
import { FakeSite, type NodeStep, wishesFor } from "../../test/fakes/attaching-node.ts";
import type { FakeLink } from "../../test/fakes/network-driver.ts";
import type { AddRequest, CheckRequest, GcRequest } from "../cni/request.ts";
import { attachAll } from "./attach-all.ts";
import { check } from "./check.ts";
import { collect } from "./collect.ts";
import { detach, detachOne, undoUnfinished } from "./detach.ts";
import type { Made } from "./made.ts";
import { resultOf } from "./result.ts";

const CALL = { containerId: "c1", ifName: "eth0" };
const never = new Promise<never>(() => {});
const soon = () => AbortSignal.timeout(20_000);

let site: FakeSite;
let node: ReturnType<FakeSite["newNode"]>;
let netns: NetnsHandle;

beforeEach(() => {
  site = new FakeSite();
  node = site.newNode();
  netns = site.machine.newPod();
});
afterEach(() => site[Symbol.dispose]());

function attach(wishes: readonly AddRequest[], signal = soon()): Promise<readonly Made[]> {
  return attachAll(node.node, { call: wishes[0] ?? CALL, netns, wishes }, signal);
}

function answerDel(ifName = "eth0"): Promise<void> {
  return detach(node.node, { ...CALL, ifName }, { netnsPath: netns.path, signal: soon() });
}

/** Netmaster has been told, too. */
function del(ifName = "eth0"): Promise<void> {
  return answerDel(ifName).finally(() => node.node.leases.told());
}

const links = () => [...(site.machine.pods.get(netns.path) ?? new Map<string, FakeLink>()).keys()].sort();
const attached = () => [...node.node.attachments().keys()].sort();
const leased = () => [...site.leases.held.keys()].sort();
const clean = () => expect.poll(() => [site.machine.places.size, site.machine.reserved.size]);
const forNet1 = (ifName: string) => (ifName === "net1" ? new NetError("REJECTED", "not today") : undefined);

async function expectNothing(): Promise<void> {
  expect({ links: links(), attached: attached(), leased: leased(), notes: site.notes() }).toEqual({
    ...{ links: [], attached: [], leased: [], notes: [] },
  });
  await clean().toEqual([0, 0]);
}

describe("a call with two wishes", () => {
  it("makes both, answers in their order, and says of each which call made it", async () => {
    const made = await attach(wishesFor(netns, "eth0", "net1"));
    expect(made.map(({ wish }) => wish.ifName)).toEqual(["eth0", "net1"]);
    expect(links()).toEqual(["eth0", "net1"]);
    expect(leased()).toEqual(["c1:eth0", "c1:net1"]);
    expect(site.notes()).toEqual([]);
    const [first, second] = [...node.node.attachments().values()].sort((a, b) => a.ifName.localeCompare(b.ifName));
    expect(first).not.toHaveProperty("callIfName");
    expect(second).toMatchObject({ ifName: "net1", callIfName: "eth0" });
    expect(made.map(({ hostDevice }) => hostDevice)).toEqual([first?.portName, second?.portName]);
  });

  it.each<[string, () => void]>([
    ["the lease", () => refuse("lease")],
    [
      "the place",
      () => {
        site.machine.placesMax = 1;
      },
    ],
    ["its beginning", () => refuseAt("begin")],
    ["the interface", () => refuseAt("attach")],
    ["its flows", () => refuse("flows")],
    ["its limits", () => refuse("limits")],
  ])("makes neither when %s of the second fails", async (_what, arrange) => {
    arrange();
    await expect(attach(wishesFor(netns, "eth0", "net1"))).rejects.toThrow(/not today|No place/);
    await expectNothing();
  });

  it("says of each part why it failed, with the code of the first", async () => {
    const [slow, full] = [new NetError("TIMEOUT", "the switch is slow"), new NetError("EXHAUSTED", "no class is left")];
    site.refusal = (step) => (step === "flows" ? slow : step === "limits" ? full : undefined);
    const failure = await attach(wishesFor(netns, "eth0")).catch((error: unknown) => error);
    expect(failure).toMatchObject({
      ...{ code: "TIMEOUT", message: "the switch is slow; also: no class is left" },
      cause: { errors: [slow, full] },
    });
    await expectNothing();
    site.refusal = (step) => (step === "flows" || step === "limits" ? slow : undefined);
    expect(await attach(wishesFor(netns, "eth0")).catch((error: unknown) => error)).toBe(slow);
  });

  it("makes neither for who has given up", async () => {
    const giving = new AbortController();
    site.refusal = (step) => {
      if (step === "limits") giving.abort(new Error("gone"));
      return undefined;
    };
    await expect(attach(wishesFor(netns, "eth0", "net1"), giving.signal)).rejects.toThrow("gone");
    await expectNothing();
  });

  it("adopts what it finds whole when it comes again: no place is asked for", async () => {
    const wishes = wishesFor(netns, "eth0", "net1");
    const first = await attach(wishes);
    node.driver.log.length = 0;
    const again = await attach(wishes);
    expect(again.map(({ hostDevice }) => hostDevice)).toEqual(first.map(({ hostDevice }) => hostDevice));
    expect(again.map(({ reply }) => reply.endpoint)).toEqual(first.map(({ reply }) => reply.endpoint));
    expect(node.driver.log).toEqual([]);
    expect(site.machine.places.size).toBe(2);
  });

  it("replaces what is not whole, and answers in the order of the wishes", async () => {
    const wishes = wishesFor(netns, "eth0", "net1");
    const before = await attach(wishes);
    site.machine.pods.get(netns.path)?.delete("eth0");
    const after = await attach(wishes);
    expect(after.map(({ wish }) => wish.ifName)).toEqual(["eth0", "net1"]);
    expect(after[0]?.hostDevice).not.toBe(before[0]?.hostDevice);
    expect(after[1]?.hostDevice).toBe(before[1]?.hostDevice);
    expect(links()).toEqual(["eth0", "net1"]);
  });

  it("leaves what an earlier call has made when it comes again and fails", async () => {
    const wishes = wishesFor(netns, "eth0", "net1");
    const [eth0] = wishes;
    await attach(eth0 === undefined ? [] : [eth0]);
    refuse("flows");
    await expect(attach(wishes)).rejects.toThrow("not today");
    expect([links(), attached(), leased(), site.notes()]).toEqual([["eth0"], ["c1:eth0"], ["c1:eth0"], []]);
  });

  it("keeps its note when it cannot be taken back, until it is deleted", async () => {
    site.refusal = (step, ifName) => {
      if (step === "withdrawn") return new NetError("TIMEOUT", "the switch is slow");
      return step === "flows" ? forNet1(ifName) : undefined;
    };
    await expect(attach(wishesFor(netns, "eth0", "net1"))).rejects.toThrow("not today");
    expect(site.notes()).toHaveLength(1);
    site.refusal = () => undefined;
    await del();
    await expectNothing();
  });
});

function refuse(refused: NodeStep): void {
  site.refusal = (step, ifName) => (step === refused ? forNet1(ifName) : undefined);
}

function refuseAt(refused: "begin" | "attach"): void {
  node.driver.refusal = (deed, what) => (deed === refused ? forNet1(what) : undefined);
}

describe("an attachment that cannot be looked at", () => {
  it("is not replaced: nobody knows that anything is wrong with it", async () => {
    const wishes = wishesFor(netns, "eth0");
    await attach(wishes);
    const pod = site.machine.pods.get(netns.path) ?? new Map<string, FakeLink>();
    site.machine.pods.delete(netns.path);
    await expect(attach(wishes)).rejects.toMatchObject({ code: "NOT_FOUND" });
    site.machine.pods.set(netns.path, pod);
    expect([attached(), leased(), links()]).toEqual([["c1:eth0"], ["c1:eth0"], ["eth0"]]);
  });
});

describe("a process that is killed", () => {
  it.each<[string, (hang: () => Promise<never>) => void]>([
    ["while the second begins", (hang) => hangAt("begin", hang)],
    ["while the second interface is made", (hang) => hangAt("attach", hang)],
    ["while flows are installed", hangInFlows],
  ])("%s leaves a note, by which the next one takes back the half", async (_when, arrange) => {
    const other = site.machine.newPod();
    await attachAll(node.node, { call: { ...CALL, containerId: "c2" }, netns: other, wishes: ofOther(other) }, soon());
    await new Promise<void>((killed) => {
      arrange(() => {
        setTimeout(killed, 5);
        return never;
      });
      void attach(wishesFor(netns, "eth0", "net1"));
    });
    expect(site.notes()).toHaveLength(1);
    site.refusal = () => undefined;
    node = site.newNode();
    expect(attached().filter((key) => key.startsWith("c1:"))).not.toEqual([]);
    await undoUnfinished(node.node, soon());
    expect([attached(), links(), site.notes()]).toEqual([["c2:eth0", "c2:net1"], [], []]);
    await expect.poll(() => site.machine.places.size).toBe(2);
  });

  it("in a call with one wish leaves no note: what it has made is the runtime's to delete", async () => {
    await new Promise<void>((killed) => {
      hangAt("attach", () => {
        killed();
        return never;
      });
      void attach(wishesFor(netns, "net1"));
    });
    expect(site.notes()).toEqual([]);
  });

  it("after a call was answered leaves nothing to take back, although an earlier one of that name was noted", async () => {
    const wishes = wishesFor(netns, "eth0", "net1");
    await attach(wishes);
    node.node.unfinished.begin(CALL); // killed before the note was taken away, and not taken back at the next start
    expect(site.notes()).toHaveLength(1);
    await attach(wishes);
    expect(site.notes()).toEqual([]);
    node = site.newNode();
    await undoUnfinished(node.node, soon());
    expect(attached()).toEqual(["c1:eth0", "c1:net1"]);
  });

  it("is not held up at its next start by what is no note, or by a call that cannot be taken back", async () => {
    await attach(wishesFor(netns, "eth0", "net1"));
    writeFileSync(join(site.directory, "broken.json"), "{");
    node.node.unfinished.begin(CALL);
    site.refusal = (step) => (step === "withdrawn" ? new NetError("TIMEOUT", "the switch is slow") : undefined);
    await undoUnfinished(node.node, soon());
    expect(site.notes()).toHaveLength(1);
    expect(attached()).toEqual(["c1:eth0", "c1:net1"]);
  });
});

function hangInFlows(hang: () => Promise<never>): void {
  site.refusal = (step) => (step === "flows" ? hang() : undefined);
}

function hangAt(deed: "begin" | "attach", hang: () => Promise<never>): void {
  node.driver.refusal = (at, what) => (at === deed && what === "net1" ? hang() : undefined);
}

function ofOther(other: NetnsHandle): readonly AddRequest[] {
  return wishesFor(other, "eth0", "net1").map((wish) => ({ ...wish, containerId: "c2" }));
}

describe("DEL", () => {
  it("of the call takes all that it has made, as often as it comes, and nothing of another call's", async () => {
    await attach(wishesFor(netns, "eth0", "net1"));
    await attach(wishesFor(netns, "net2"));
    for (let round = 0; round < 3; round++) {
      await del();
      expect([links(), leased()]).toEqual([["net2"], ["c1:net2"]]);
    }
    await del("net2");
    await expectNothing();
  });

  it("goes on with the others when one fails, and is to be repeated", async () => {
    await attach(wishesFor(netns, "eth0", "net1"));
    node.driver.refusal = (deed, what) => (deed === "detach" && what === "eth0" ? new Error("not today") : undefined);
    await expect(del()).rejects.toThrow("not today");
    expect([attached(), leased()]).toEqual([["c1:eth0"], ["c1:eth0"]]);
    node.driver.refusal = () => undefined;
    await del();
    await expectNothing();
  });

  it("takes an interface that is not known any more, also when others of the call are", async () => {
    await attach(wishesFor(netns, "eth0", "net1"));
    const { portName = "" } = node.node.attachments().get("c1:eth0") ?? {};
    site.machine.mark(portName, undefined);
    node = site.newNode();
    expect(attached()).toEqual(["c1:net1"]);
    await del();
    expect([links(), attached()]).toEqual([[], []]);
  });

  it("that comes late does not end the attachment that has the place by then", async () => {
    await attach(wishesFor(netns, "eth0"));
    const stale = [...node.node.attachments().values()];
    await del();
    await attach(wishesFor(netns, "eth0"));
    const [{ portName = "" } = {}] = node.node.attachments().values();
    for (const each of stale)
      await detachOne(node.node, { ...each, portName }, { netnsPath: undefined, signal: soon() });
    expect([attached(), links()]).toEqual([["c1:eth0"], ["eth0"]]);
  });

  it("leaves a place alone that was given up and taken by another pod while it waited", async () => {
    await attach(wishesFor(netns, "eth0"));
    const [{ portName = "" } = {}] = node.node.attachments().values();
    site.refusal = (step) => {
      if (step === "withdrawn" && node.driver.log.at(-1) !== `release ${portName}`) node.driver.release(portName);
      return undefined;
    };
    await del();
    expect(node.driver.log.filter((line) => line === `release ${portName}`)).toHaveLength(1);
  });
});

describe("an answered DEL", () => {
  const ofOther = () => wishesFor(netns, "eth0").map((wish) => ({ ...wish, containerId: "c2" }));

  it("is told to netmaster a moment later, by itself", async () => {
    await attach(wishesFor(netns, "eth0"));
    await answerDel();
    expect([attached(), leased()]).toEqual([[], ["c1:eth0"]]);
    await expect.poll(leased).toEqual([]);
  });

  it("does not end the lease of an ADD of the same interface that follows at once", async () => {
    await attach(wishesFor(netns, "eth0"));
    const { epoch } = site.leases.held.get("c1:eth0") ?? {};
    await answerDel();
    const [again] = await attach(wishesFor(netns, "eth0"));
    expect(again?.reply.endpoint.epoch).not.toBe(epoch);
    await sleep(250);
    expect([attached(), leased()]).toEqual([["c1:eth0"], ["c1:eth0"]]);
  });

  it("has freed its address for the ADD that follows at once", async () => {
    const exhausted = new NetError("EXHAUSTED", "No IPv4 address is left");
    site.refusal = (step) => (step === "lease" && site.leases.held.size > 0 ? exhausted : undefined);
    await attach(wishesFor(netns, "eth0"));
    await answerDel();
    await attach(ofOther());
    expect(leased()).toEqual(["c2:eth0"]);
  });

  it("on another node frees an address for an ADD here, which waits no longer than that takes", async () => {
    let asked = 0;
    const taken = new NetError("CONFLICT", "10.1.1.5 is taken", { reason: "address-taken" });
    site.refusal = (step) => (step === "lease" && ++asked <= 3 ? taken : undefined);
    await attach(wishesFor(netns, "eth0"));
    expect(asked).toBe(4);
    site.refusal = (step) => (step === "lease" ? taken : undefined);
    const beforeMs = performance.now();
    await expect(attach(ofOther())).rejects.toThrow("is taken");
    expect(performance.now() - beforeMs).toBeLessThan(2_000);
  });
});

describe("GC", () => {
  const gc = (...valid: readonly string[]): GcRequest => ({
    ...{ command: "GC", cniVersion: "1.1.0", configName: "contiv" },
    validAttachments: valid.map((ifName) => ({ ...CALL, ifName })),
  });

  it("spares what valid calls of the container have made, and takes what belongs to none", async () => {
    await attach(wishesFor(netns, "eth0", "net1"));
    await attach(wishesFor(netns, "net2", "net3"));
    await collect(node.node, gc("eth0"), soon());
    expect([attached(), links()]).toEqual([
      ["c1:eth0", "c1:net1"],
      ["eth0", "net1"],
    ]);
    await collect(node.node, gc("net1"), soon());
    await expectNothing();
  });
});

describe("CHECK", () => {
  async function checking(): Promise<() => Promise<void>> {
    const wishes = wishesFor(netns, "eth0", "net1");
    const [wish] = wishes;
    if (wish === undefined) throw new Error("there are two");
    const prevResult = resultOf(wish, await attach(wishes));
    const request: CheckRequest = { ...wish, command: "CHECK", prevResult };
    return () => check(node.node, request, soon());
  }

  it("accepts both, each with its own addresses and routes", async () => {
    await (await checking())();
  });

  it.each(["eth0", "net1"])("looks at each: %s", async (ifName) => {
    const look = await checking();
    const pod = site.machine.pods.get(netns.path);
    const link = pod?.get(ifName);
    if (link !== undefined) pod?.set(ifName, { ...link, routes: [] });
    await expect(look()).rejects.toThrow(`Interface "${ifName}" of the pod is not as ADD left it`);
    pod?.delete(ifName);
    await expect(look()).rejects.toThrow("it does not exist");
  });

  it("refuses a call of which the named interface is not attached", async () => {
    const look = await checking();
    const { portName = "" } = node.node.attachments().get("c1:eth0") ?? {};
    node.driver.release(portName);
    await expect(look()).rejects.toThrow("Container c1 is not attached here");
  });
});
