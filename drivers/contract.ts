import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Marks, NetworkDriver, StrayWish } from "./driver.ts";
import type { NetnsHandle } from "./netlink/netns.ts";
import type { PodLink } from "./pod-interface.ts";

/** What a pod has of an interface, as the pod itself sees it. */
export interface SeenLink {
  readonly mac: string;
  readonly mtuBytes: number;
  /** With prefix length; those of the link's own scope left out. */
  readonly addresses: readonly string[];
  /** Destinations beyond the link's own subnet; "default" for the default route. */
  readonly routes: readonly string[];
}

/** What somebody does to a pod's interface. */
export type Damage = "deleted" | "down" | "another MAC" | "no address" | "no route" | "another's in its place";
/** Interfaces that other plugins make; where they hang on something, its number is that of the place's own link. */
export type ForeignKind = "bridge" | "veth" | "macvlan";

/** A pod's namespace. */
export interface PodSite {
  readonly netns: NetnsHandle;
  look(ifName: string): Promise<SeenLink | undefined>;
  damage(ifName: string, damage: Damage): Promise<void>;
  addForeign(ifName: string, kind: ForeignKind, likeKey: string): Promise<void>;
  /** The namespace goes. */
  remove(): Promise<void>;
}

/** A machine with the driver to be tested. */
export interface DriverWorld extends AsyncDisposable {
  /** A driver on this machine: the first, or the next one after a crash of it. */
  open(): Promise<NetworkDriver>;
  newPod(): Promise<PodSite>;
  /** Takes away everything that says whose the place is. */
  forget(key: string): Promise<void>;
  /** What is neither ready for a pod nor the machine's own: places, links, open namespaces of pods that exist. */
  leftOver(): Promise<readonly string[]>;
}

const WISH = { underlay: undefined, deviceId: undefined };
const LINK: PodLink = {
  ...{ ifName: "eth0", mac: "02:02:0a:01:01:05", mtuBytes: 1_400 },
  addresses: ["10.1.1.5/24", "2001:db8:1::5/64"],
  routes: [{ destination: "0.0.0.0/0", gateway: "10.1.1.254" }],
};
const SEEN: SeenLink = { mac: LINK.mac, mtuBytes: 1_400, addresses: LINK.addresses, routes: ["default"] };
const DIFFERENCES: readonly (readonly [Damage, RegExp])[] = [
  ["deleted", /does not exist/],
  ["down", /is down/],
  ["another MAC", /MAC/],
  ["no address", /address 10\.1\.1\.5\/24 is missing/],
  ["no route", /route to 0\.0\.0\.0\/0 is missing/],
  ["another's in its place", /not connected/],
];
const KINDS: readonly ForeignKind[] = ["bridge", "veth", "macvlan"];
const soon = () => AbortSignal.timeout(20_000);
const CONFLICT = expect.objectContaining({ code: "CONFLICT" });

let marksCount = 0;

function newMarks(): Marks {
  return { "contiv-role": "pod", who: `pod ${++marksCount}` };
}

interface Stage {
  driver: NetworkDriver;
  pod: PodSite;
  /** Another driver on the same machine; the one before has ended with what it had in hand. */
  afterCrash(): Promise<NetworkDriver>;
  readonly world: DriverWorld;
}

/** The doctrine of `NetworkDriver`; run by the tests of each driver. After each test nothing may be left over. */
export function describeNetworkDriver(name: string, openWorld: () => Promise<DriverWorld>): void {
  describe(`contract of network drivers: ${name}`, () => {
    let stage: Stage;
    let world: DriverWorld;
    beforeAll(async () => {
      world = await openWorld();
    });
    beforeEach(async () => {
      const afterCrash = async () => {
        await stage.driver[Symbol.asyncDispose](); // a process that is killed fills no pool beside the next one
        stage.driver = await world.open();
        return stage.driver;
      };
      stage = { driver: await world.open(), pod: await world.newPod(), world, afterCrash };
    });
    afterEach(async () => {
      for (const key of stage.driver.read().keys()) stage.driver.release(key);
      await stage.driver[Symbol.asyncDispose]();
      expect(await world.leftOver()).toEqual([]);
      await stage.pod.remove();
    });
    afterAll(() => world[Symbol.asyncDispose]());
    testPlaces(() => stage);
    testAttaching(() => stage);
    testChecking(() => stage);
    testDetaching(() => stage);
    testReleasing(() => stage);
    testStrays(() => stage);
    testCrashes(() => stage);
  });
}

async function begun({ driver }: Stage): Promise<{ readonly key: string; readonly marks: Marks }> {
  using slot = await driver.reserve(WISH, soon());
  const marks = newMarks();
  await driver.begin(slot, marks);
  return { key: slot.key, marks };
}

async function attached(stage: Stage, link = LINK): Promise<{ readonly key: string; readonly marks: Marks }> {
  const made = await begun(stage);
  await stage.driver.attach(made.key, { netns: stage.pod.netns, link }, soon());
  return made;
}

function detached({ driver, pod }: Stage, key: string): Promise<void> {
  return driver.detach(key, { netnsPaths: [pod.netns.path], ifName: LINK.ifName }, soon());
}

async function cleaned({ driver }: Stage, key: string): Promise<void> {
  await expect.poll(() => driver.isReleasing(key), { timeout: 15_000 }).toBe(false);
}

function testPlaces(now: () => Stage): void {
  test("a driver without fault says what it can do", () => {
    expect(now().driver.fault()).toBeUndefined();
    expect(now().driver.capabilities()).toMatchObject({ setsMac: expect.any(Boolean), encaps: expect.any(Array) });
  });

  test("a place that is given back is no attachment, and can be had again; nobody has it twice", async () => {
    const { driver } = now();
    for (let round = 0; round < 5; round++) {
      const slots = await Promise.all([1, 2, 3].map(() => driver.reserve(WISH, soon())));
      expect(new Set(slots.map(({ key }) => key)).size).toBe(3);
      expect(driver.read().size).toBe(0);
      for (const slot of slots) slot[Symbol.dispose]();
    }
  });

  test("a place that is begun is shown with its marks, the same map until something changes", async () => {
    const { driver } = now();
    const { key, marks } = await begun(now());
    const shown = driver.read();
    expect(shown.get(key)).toMatchObject({ key, marks, fault: undefined });
    expect(driver.read()).toBe(shown);
    const other = await begun(now());
    expect([...driver.read().keys()].sort()).toEqual([key, other.key].sort());
    driver.release(other.key);
    expect([...driver.read().keys()]).toEqual([key]);
  });

  test("a place that is given back or begun already cannot be begun: nothing is marked", async () => {
    const { driver } = now();
    const slot = await driver.reserve(WISH, soon());
    slot[Symbol.dispose]();
    await expect(driver.begin(slot, newMarks())).rejects.toMatchObject({ code: "INVALID" });
    expect(driver.read().size).toBe(0);
    using used = await driver.reserve(WISH, soon());
    const marks = newMarks();
    await driver.begin(used, marks);
    await expect(driver.begin(used, newMarks())).rejects.toMatchObject({ code: "INVALID" });
    expect([...driver.read().values()].map(({ marks: { who } }) => who)).toEqual([marks.who]);
  });

  test("who has given up gets no place", async () => {
    await expect(now().driver.reserve(WISH, AbortSignal.abort(new Error("gone")))).rejects.toThrow("gone");
  });
}

function testAttaching(now: () => Stage): void {
  test("gives the pod an interface with name, MAC, MTU, addresses and routes", async () => {
    await attached(now());
    expect(await now().pod.look("eth0")).toEqual(SEEN);
  });

  test("gives a pod as many as it is asked for, each at a place of its own", async () => {
    const second = { ...LINK, ifName: "net1", mac: "02:02:0a:02:02:05", addresses: ["10.2.2.5/24"], routes: [] };
    const keys = [(await attached(now())).key, (await attached(now(), second)).key];
    expect(new Set(keys).size).toBe(2);
    expect(await now().pod.look("eth0")).toEqual(SEEN);
    expect(await now().pod.look("net1")).toMatchObject({ mac: second.mac, addresses: second.addresses });
  });

  test("refuses a name that the pod has already, and leaves what has it", async () => {
    const { driver, pod } = now();
    const first = await attached(now());
    const second = await begun(now());
    const again = driver.attach(second.key, { netns: pod.netns, link: { ...LINK, mtuBytes: 1_300 } }, soon());
    await expect(again).rejects.toEqual(CONFLICT);
    await detached(now(), second.key);
    await driver.check(first.key, pod.netns.path, LINK, soon());
    expect(await pod.look("eth0")).toEqual(SEEN);
  });

  test("refuses a place where nothing has begun", async () => {
    const { driver, pod } = now();
    using slot = await driver.reserve(WISH, soon());
    const attaching = driver.attach(slot.key, { netns: pod.netns, link: LINK }, soon());
    await expect(attaching).rejects.toMatchObject({ code: "INVALID" });
    expect(await pod.look("eth0")).toBeUndefined();
  });

  test("makes nothing for who has given up", async () => {
    const { driver, pod } = now();
    const { key } = await begun(now());
    const gone = AbortSignal.abort(new Error("gone"));
    await expect(driver.attach(key, { netns: pod.netns, link: LINK }, gone)).rejects.toThrow();
    expect(await pod.look("eth0")).toBeUndefined();
    expect([...driver.read().keys()]).toEqual([key]);
  });
}

function testChecking(now: () => Stage): void {
  test("a whole interface is as it should be", async () => {
    const { key } = await attached(now());
    await now().driver.check(key, now().pod.netns.path, LINK, soon());
  });

  test.each(DIFFERENCES)("names the difference: %s", async (damage, text) => {
    const { driver, pod } = now();
    const { key } = await attached(now());
    await pod.damage("eth0", damage);
    const checking = driver.check(key, pod.netns.path, LINK, soon());
    await expect(checking).rejects.toMatchObject({ code: "CONFLICT", message: expect.stringMatching(text) });
  });

  test("an attachment without interface is told, and one that is none", async () => {
    const { driver, pod } = now();
    const { key } = await begun(now());
    await expect(driver.check(key, pod.netns.path, LINK, soon())).rejects.toEqual(CONFLICT);
    await expect(driver.check("nothing", pod.netns.path, LINK, soon())).rejects.toEqual(CONFLICT);
  });
}

function testDetaching(now: () => Stage): void {
  test("frees the name at once; the attachment is shown until it is released, however often it is detached", async () => {
    const { driver, pod } = now();
    const { key } = await attached(now());
    for (let round = 0; round < 3; round++) {
      await detached(now(), key);
      expect(await pod.look("eth0")).toBeUndefined();
      expect([...driver.read().keys()]).toEqual([key]);
    }
    await attached(now());
    expect(await pod.look("eth0")).toEqual(SEEN);
    driver.release(key);
    await cleaned(now(), key);
    expect(await pod.look("eth0")).toEqual(SEEN);
  });

  test("takes the first namespace that is there, and none is fine", async () => {
    const { driver, pod } = now();
    const { key } = await attached(now());
    await driver.detach(key, { netnsPaths: ["/run/netns/gone", pod.netns.path], ifName: "eth0" }, soon());
    expect(await pod.look("eth0")).toBeUndefined();
    await driver.detach(key, { netnsPaths: ["/run/netns/gone"], ifName: "eth0" }, soon());
    await driver.detach(key, { netnsPaths: [], ifName: "eth0" }, soon());
    await driver.detach("nothing", { netnsPaths: [pod.netns.path], ifName: "eth0" }, soon());
  });

  test.each(KINDS)("leaves somebody else's interface of that name alone: %s", async (kind) => {
    const { driver, pod } = now();
    const { key } = await begun(now());
    await pod.addForeign("eth0", kind, key);
    const before = await pod.look("eth0");
    await detached(now(), key);
    driver.release(key);
    await cleaned(now(), key);
    expect(await pod.look("eth0")).toEqual(before);
  });

  test("of a place that is gone leaves an interface of that name alone, too", async () => {
    const { pod } = now();
    await pod.addForeign("eth0", "bridge", "nothing");
    await detached(now(), "nothing");
    expect(await pod.look("eth0")).toBeDefined();
  });

  test("can be tried again by who comes after one who has given up", async () => {
    const { driver, pod } = now();
    const { key } = await attached(now());
    const pods = { netnsPaths: [pod.netns.path], ifName: "eth0" };
    await expect(driver.detach(key, pods, AbortSignal.abort(new Error("gone")))).rejects.toThrow();
    expect([...driver.read().keys()]).toEqual([key]);
    await detached(now(), key);
    expect(await pod.look("eth0")).toBeUndefined();
  });
}

function testReleasing(now: () => Stage): void {
  test("hides the place at once, as often as it comes; when it is clean there are places as before", async () => {
    const { driver } = now();
    const { key } = await attached(now());
    await detached(now(), key);
    driver.release(key);
    driver.release(key);
    expect(driver.read().has(key)).toBe(false);
    expect(driver.isReleasing(key)).toBe(true);
    await cleaned(now(), key);
    expect(driver.read().has(key)).toBe(false);
    driver.release(key); // by somebody who comes late
    expect(driver.read().has(key)).toBe(false);
    await attached(now());
    expect(driver.read().size).toBe(1);
  });

  test("takes an interface with it that was not detached, or was being made", async () => {
    const { driver, pod } = now();
    const { key } = await attached(now());
    driver.release(key);
    await cleaned(now(), key);
    await expect.poll(() => pod.look("eth0")).toBeUndefined();
    const next = await begun(now());
    const attaching = driver.attach(next.key, { netns: pod.netns, link: LINK }, soon()).catch(() => undefined);
    driver.release(next.key);
    await attaching;
    await cleaned(now(), next.key);
    await expect.poll(() => pod.look("eth0")).toBeUndefined();
  });

  test("during a detachment keeps nothing open", async () => {
    const { driver, pod } = now();
    const { key } = await attached(now());
    const detaching = detached(now(), key);
    driver.release(key);
    await detaching;
    await cleaned(now(), key);
    await expect.poll(() => pod.look("eth0")).toBeUndefined();
  });
}

function strayAt(netnsPath: string, isTaken: (key: string) => boolean = () => false): StrayWish {
  return { netnsPath, ifName: "eth0", isTaken };
}

function testStrays(now: () => Stage): void {
  test("an interface of ours that belongs to no attachment goes, with its place", async () => {
    const { pod, world } = now();
    const { key } = await attached(now());
    await world.forget(key);
    const driver = await now().afterCrash();
    expect(driver.read().has(key)).toBe(false);
    const stray = strayAt(pod.netns.path);
    expect(await driver.removeStray(stray, soon())).toBe(true);
    expect(await pod.look("eth0")).toBeUndefined();
    expect(await driver.removeStray(stray, soon())).toBe(false);
    await cleaned(now(), key);
    await attached(now());
  });

  test("one whose place netplugin knows by another witness stays", async () => {
    const { pod, world } = now();
    const { key } = await attached(now());
    await world.forget(key);
    const driver = await now().afterCrash();
    expect(
      await driver.removeStray(
        strayAt(pod.netns.path, (place) => place === key),
        soon(),
      ),
    ).toBe(false);
    expect(await pod.look("eth0")).toEqual(SEEN);
    expect(await driver.removeStray(strayAt(pod.netns.path), soon())).toBe(true);
    await cleaned(now(), key);
  });

  test("an interface of an attachment stays", async () => {
    const { driver, pod } = now();
    await attached(now());
    expect(await driver.removeStray(strayAt(pod.netns.path), soon())).toBe(false);
    expect(await pod.look("eth0")).toEqual(SEEN);
  });

  test.each(KINDS)("somebody else's stays: %s", async (kind) => {
    const { driver, pod } = now();
    using slot = await driver.reserve(WISH, soon());
    await pod.addForeign("eth0", kind, slot.key);
    expect(await driver.removeStray(strayAt(pod.netns.path), soon())).toBe(false);
    expect(await pod.look("eth0")).toBeDefined();
  });

  test("no interface and no namespace are no stray", async () => {
    const { driver, pod } = now();
    expect(await driver.removeStray(strayAt(pod.netns.path), soon())).toBe(false);
    expect(await driver.removeStray(strayAt("/run/netns/gone"), soon())).toBe(false);
  });
}

function testCrashes(now: () => Stage): void {
  test("what was begun, attached, or detached and not released is shown afterwards, and can be ended", async () => {
    const [first, second] = [await begun(now()), await attached(now())];
    const third = await attached(now(), { ...LINK, ifName: "net1", addresses: ["10.2.2.5/24"], routes: [] });
    await now().driver.detach(third.key, { netnsPaths: [now().pod.netns.path], ifName: "net1" }, soon());
    const driver = await now().afterCrash();
    const shown = [...driver.read().values()].map(({ key, marks: { who } }) => [key, who]);
    const made = [first, second, third].map(({ key, marks: { who } }) => [key, who]);
    expect(shown.sort()).toEqual(made.sort());
    await driver.check(second.key, now().pod.netns.path, LINK, soon());
    for (const { key } of [first, second, third]) {
      await detached(now(), key);
      driver.release(key);
    }
    expect(driver.read().size).toBe(0);
    expect(await now().pod.look("eth0")).toBeUndefined();
  });

  test("a place that was only reserved is nobody's afterwards", async () => {
    using _slot = await now().driver.reserve(WISH, soon());
    expect((await now().afterCrash()).read().size).toBe(0);
  });
}
