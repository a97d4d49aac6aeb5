import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { frameOf } from "../../fakes/ip-packets.ts";
import { between, type Frames, judge, type Pair, pair, shotsOf } from "./case.ts";
import { fragmentCases, legalFragments, loneFirstFragments } from "./fragment-cases.ts";
import { frameCases } from "./frame-cases.ts";
import type { Shot } from "./hub.ts";
import { neighbourCases, neighbourTruths, solicitations } from "./neighbour-cases.ts";
import { packetCases } from "./packet-cases.ts";
import { marked, packet, TcpFlags } from "./packets.ts";
import { spoofingCases } from "./spoofing-cases.ts";
import { ACTORS, denyTcpToOld, GATEWAY_MAC, kernelTraces, type Mode, type Stage, setStage } from "./stage.ts";

/**
 * What a pod may try, frame by frame, sent by it and listened for at every other pod and at the kernel of every node, in both forwarding
 * modes (docs/security.md). All cases of a stage are sent in one go; legal twins prove that the ways are open and the ears not deaf.
 */
const CASES = [...spoofingCases(), ...frameCases(), ...packetCases(), ...fragmentCases(), ...neighbourCases()];
/** Open vSwitch gives up a packet whose fragments do not come after 15 s, and hands them to the next packets. */
const EXPIRY_MS = 17_500;
const ARRIVAL_MS = 1_500;
const LONE_FRAGMENTS = 1_100;
/** Messages to neighbours that a pod may send: at once, and per second (docs/security.md). */
const NEIGHBOUR_BURST = 1_000;
const NEIGHBOURS_PER_SECOND = 200;
const FLOOD_FRAMES = 6_000;
const FIRST_FLOOD_MARK = 800_000;
const MOST_ATTEMPTS = 5;
const SET_UP_MS = 180_000;
const FIRST_LATE_MARK = 900_000;
/** The nodes route with their own MACs on a VLAN. */
const ROUTER_MAC = /^02:03:/;
/** Of the machine on the underlay that the VLAN cases speak for. */
const OUTSIDE_MAC = "02:aa:00:00:00:02";

const casesOf = (mode: Mode) => CASES.filter((each) => each.mode === undefined || each.mode === mode);

describe.each(["bridge", "routing"] as const)("a hostile pod, forwarding mode %s", (mode) => {
  const cases = casesOf(mode);
  let stage: Stage;
  let tracesBefore: readonly string[];
  let lateMark = FIRST_LATE_MARK;

  const framesOf = (frames: Frames, mark: number) => frames({ mark, mode, stage });

  beforeAll(async () => {
    stage = await setStage(mode);
    tracesBefore = await kernelTraces(stage);
    const { hub } = stage;
    const first = cases.flatMap(({ before = [] }, mark) =>
      before.flatMap(({ by, frames }) => shotsOf(by, framesOf(frames, mark))),
    );
    await hub.send(first);
    await sleep(ARRIVAL_MS);
    await hub.send(cases.flatMap(({ from, frames }, mark) => shotsOf(from, framesOf(frames, mark))));
    await sleep(EXPIRY_MS);
    await hub.send(
      cases.flatMap(({ from, late }, mark) => (late === undefined ? [] : shotsOf(from, framesOf(late, mark)))),
    );
    await hub.send(honestTraffic(++lateMark));
    await sleep(ARRIVAL_MS);
  }, SET_UP_MS);

  afterAll(async () => {
    await stage?.[Symbol.asyncDispose]();
  });

  /** Each pod sends to its whole network: whatever the switch has kept goes with it. */
  function honestTraffic(mark: number): readonly Shot[] {
    return ACTORS.flatMap((from) => {
      const others = ACTORS.filter((to) => to.tenant === from.tenant && to.net === from.net && to !== from);
      return others.flatMap((to) =>
        ([4, 6] as const).map((family): Shot => {
          const { link, ends } = between({ from, to, words: "" }, family);
          return [from.name, frameOf(link, packet(ends, { port: 80 }, marked(mark)))];
        }),
      );
    });
  }

  /** Who hears it, without the sender. What is wanted is sent again until it has arrived: a busy switch loses packets. */
  async function heardOf(from: string, frames: (mark: number) => readonly string[], wanted: readonly string[] = []) {
    const mark = ++lateMark;
    let heard: readonly string[] = [];
    for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt++) {
      await stage.hub.send(shotsOf(from, frames(mark)));
      await sleep(ARRIVAL_MS);
      const stations = stage.hub.heardBy(mark).map((who) => who.split(" ")[0] ?? "");
      heard = [...new Set(stations)].filter((who) => who !== from);
      if (wanted.every((who) => heard.includes(who))) break;
    }
    return heard;
  }

  it("is tried in many ways, each with a name of its own", () => {
    expect(cases.length).toBeGreaterThan(60);
    expect(new Set(cases.map(({ name }) => name)).size).toBe(cases.length);
  });

  it.each(cases.map((each, mark) => [each.name, each, mark] as const))("%s", (_name, each, mark) => {
    expect(judge(each, stage.hub.heardBy(mark))).toEqual({ strangers: [], deaf: [] });
  });

  it("the kernels of the nodes forward nothing, and know nobody behind the ports of pods", async () => {
    expect(await kernelTraces(stage)).toEqual(tracesBefore);
  });

  it("pods hear from pods of their own network, the gateway, and on a VLAN the wire, and from nobody else", () => {
    for (const { name, tenant, net } of ACTORS) {
      const own = ACTORS.filter((each) => each.tenant === tenant && each.net === net).map(({ mac }) => mac);
      const routers = mode === "routing" ? [GATEWAY_MAC] : [];
      const known = new Set([...own, ...routers, ...(net === "vl" ? [OUTSIDE_MAC] : [])]);
      const isRouter = (mac: string) => mode === "routing" && net === "vl" && ROUTER_MAC.test(mac);
      const strangers = [...(stage.hub.macs.get(name) ?? [])].filter((mac) => !known.has(mac) && !isRouter(mac));
      expect(strangers, name).toEqual([]);
    }
  });

  it("fragments that nobody completes take nothing from others", async () => {
    await stage.hub.send(shotsOf("atk1", loneFirstFragments(LONE_FRAGMENTS)));
    const pairs = [pair("red1", "red3"), pair("red1", "red2"), pair("vred1", "vred3"), pair("q1", "atk2")];
    for (const each of pairs) {
      const heard = await heardOf(each.from.name, (mark) => legalFragments(each, mark));
      expect(heard, `${each.from.name} to ${each.to.name}`).toEqual([each.to.name]);
    }
  });

  it("a flood of solicitations uses up its sender's share alone", async () => {
    const marks = Array.from({ length: FLOOD_FRAMES }, (_, index) => FIRST_FLOOD_MARK + index);
    const startMs = performance.now();
    await stage.hub.send(shotsOf("atk1", solicitations(marks)));
    for (const [from, to] of [
      ["q1", "all1"],
      ["atk2", "all1"],
      ["red1", "red2"],
    ] as const) {
      expect(await heardOf(from, (mark) => neighbourTruths(from, to, mark), [to])).toEqual([to]);
    }
    const most = NEIGHBOUR_BURST + (NEIGHBOURS_PER_SECOND * (performance.now() - startMs)) / 1_000;
    const heard = marks.filter((mark) => stage.hub.heardBy(mark).includes("all1 wire"));
    expect(heard.length).toBeGreaterThan(0);
    expect(heard.length).toBeLessThanOrEqual(most);
    expect(await heardOf("atk1", (mark) => neighbourTruths("atk1", "q1", mark), ["q1"])).toEqual(["q1"]);
  });

  it("a TCP connection from before the policies ends both ways, whichever end has the high port", async () => {
    const [client, server] = [pair("atk2", "old1"), pair("old1", "atk2")];
    const ports = [
      { low: 1_000, high: 40_000 },
      { low: 40_000, high: 1_000 },
    ];
    const question = (family: 4 | 6) => (mark: number) =>
      ports.map(({ low, high }) => data(client, family, { srcPort: low, port: high }, mark));
    const answer = (family: 4 | 6) => (mark: number) =>
      ports.map(({ low, high }) => data(server, family, { srcPort: high, port: low }, mark));
    for (const family of [4, 6] as const) {
      expect(await heardOf("atk2", question(family), ["old1"])).toEqual(["old1"]);
      expect(await heardOf("old1", answer(family), ["atk2"])).toEqual(["atk2"]);
    }
    await denyTcpToOld(stage);
    for (const family of [4, 6] as const) {
      await heardOf("old1", answer(family));
      expect(await heardOf("atk2", question(family))).toEqual([]);
    }
  });
});

function data(between_: Pair, family: 4 | 6, ports: { srcPort: number; port: number }, mark: number): string {
  const { link, ends } = between(between_, family);
  return frameOf(link, packet(ends, { protocol: "tcp", flags: TcpFlags.ack, ...ports }, marked(mark)));
}
