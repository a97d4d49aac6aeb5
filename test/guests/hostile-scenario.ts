/**
 * The hostile suite in short form, for one datapath: pods of one node, flows as netplugin makes them, and frames that they should not let
 * through.
 *
 *   node hostile-scenario.js DATAPATH MODE      DATAPATH is `system` or `netdev`, MODE `bridge` or `routing`
 *
 * Prints a line of JSON. Runs in the namespaces it finds itself in, as root, and leaves them changed: give it a guest, or a namespace of
 * its own.
 */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type HostileCase, judge, type Scene, shotsOf } from "../system/hostile/case.ts";
import type { Shot } from "../system/hostile/hub.ts";
import { actor, GATEWAYS, type Mode } from "../system/hostile/stage.ts";
import { guestCases } from "./hostile-cases.ts";
import { GATEWAY6, type HostileWorld, openHostileWorld } from "./hostile-world.ts";
import { startSwitch } from "./switch.ts";

/** What is wanted is sent again until it has arrived: a busy machine loses packets. */
const MOST_ATTEMPTS = 8;
const ATTEMPT_MS = 4_000;
const POLL_MS = 100;
/** What should not arrive has so much time after all that should. */
const ARRIVAL_MS = 1_500;
/** Of a case: a guest is slow, and storms are not about their number. */
const MOST_FRAMES = 40;

const [datapathName, modeName] = process.argv.slice(2);
const datapath = datapathName === "system" ? "system" : "netdev";
const mode: Mode = modeName === "bridge" ? "bridge" : "routing";
const directory = mkdtempSync(join(tmpdir(), "hostile-"));
const log: string[] = [];
await startSwitch(directory);
await tell();
process.exit(0);

async function tell(): Promise<void> {
  await using world = await openHostileWorld({
    ...{ datapath, runDirectory: directory, mode },
    report: (error) => log.push(error.message),
  });
  const { ipv4, ipv6 } = actor("q1");
  const targets = [ipv4, ipv6, ...(mode === "routing" ? [GATEWAYS.vx, GATEWAY6] : [])];
  const pings: boolean[] = [];
  for (const target of targets) pings.push(await world.ping("atk1", target));
  const before = await world.traces();
  const cases = guestCases(mode, datapath);
  const outcomes = await sendAll(world, cases);
  const wrong = outcomes.filter(({ strangers, deaf }) => strangers.length > 0 || deaf.length > 0);
  const legal = cases.filter(({ must = [] }) => must.length > 0).length;
  const traces = { before, after: await world.traces() };
  process.stdout.write(
    `${JSON.stringify({ means: world.means, cases: cases.length, legal, wrong, pings, traces, log, atSeconds: process.uptime() })}\n`,
  );
}

async function sendAll({ hub, nearEnds }: HostileWorld, cases: readonly HostileCase[]) {
  const scene = (mark: number) => ({ mark, mode, stage: { nearEnds } });
  await hub.send(
    cases.flatMap(({ before = [] }, mark) => before.flatMap(({ by, frames }) => shotsOf(by, frames(scene(mark))))),
  );
  const outcomes = () => cases.map((each, mark) => ({ name: each.name, mark, ...judge(each, hub.heardBy(mark)) }));
  const unheard = () => outcomes().flatMap(({ mark, deaf }) => (deaf.length > 0 ? [mark] : []));
  let marks = [...cases.keys()];
  for (let attempt = 0; attempt < MOST_ATTEMPTS && marks.length > 0; attempt++) {
    await hub.send(marks.flatMap((mark) => shotsNow(cases[mark], scene(mark))));
    const untilMs = performance.now() + ATTEMPT_MS;
    while (unheard().length > 0 && performance.now() < untilMs) await sleep(POLL_MS);
    marks = unheard();
  }
  await sleep(ARRIVAL_MS);
  return outcomes();
}

function shotsNow(each: HostileCase | undefined, scene: Scene): readonly Shot[] {
  return each === undefined ? [] : shotsOf(each.from, each.frames(scene).slice(0, MOST_FRAMES));
}
