import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { connectSwitch, type SwitchConnection } from "../../../drivers/ovs/openflow/connection.ts";
import type { Flow } from "../../../drivers/ovs/openflow/flow.ts";
import { flowKey } from "../../../drivers/ovs/openflow/flow-identity.ts";
import type { Match } from "../../../drivers/ovs/openflow/match.ts";
import { formatFlow, formatMatch } from "../../../drivers/ovs/openflow/text.ts";
import { connectUnixctl, type Unixctl } from "../../../drivers/ovs/unixctl.ts";
import { verdict } from "../../../state/policy/verdict.ts";
import { type OvsNode, startOvsNode } from "../../../test/fakes/ovs-node.ts";
import { homes as anyHomes, ENDPOINTS, journey, policyObjects } from "../../../test/fakes/policy-arbitrary.ts";
import { expectedReceivers, type Trip, type TripWorld, tripOf, tripWorld } from "../../../test/fakes/policy-journey.ts";
import { flowsFor, machineFor, TUNNEL_PORT } from "../../../test/fakes/policy-nodes.ts";
import { policyView, VTEPS } from "../../../test/fakes/policy-view.ts";
import type { Machine } from "../../machine/machine.ts";

/** Random policies and packets: what the evaluator says is what a real switch, asked with ofproto/trace, does on node n1. */
const WORLDS = 500;
const JOURNEYS_PER_WORLD = { minLength: 30, maxLength: 60 };
const LEAST_TRACES = 10_000;

let node: OvsNode;
let control: Unixctl;
let connection: SwitchConnection;
let installed: ReadonlyMap<string, Flow> = new Map();

beforeAll(async () => {
  node = await startOvsNode();
  const ports = ENDPOINTS.flatMap((_, index) =>
    port(`p${11 + index}`, ["type=internal", `ofport_request=${11 + index}`]),
  );
  const tunnel = port("vxlan", [
    "type=vxlan",
    "options:remote_ip=flow",
    "options:key=flow",
    `ofport_request=${TUNNEL_PORT}`,
  ]);
  const bridge = ["add-br", "br0", "--", "set", "Bridge", "br0", "datapath_type=netdev", "fail_mode=secure"];
  await node.vsctl(...bridge, ...tunnel, ...ports);
  control = await connectUnixctl(join(node.runDirectory, "vswitchd.ctl"));
  connection = await connectSwitch(node.bridgeSocket("br0").slice("unix:".length));
});

afterAll(async () => {
  await control?.[Symbol.asyncDispose]();
  await connection?.[Symbol.asyncDispose]();
  await node?.[Symbol.asyncDispose]();
});

function port(name: string, settings: readonly string[]): string[] {
  return ["--", "add-port", "br0", name, "--", "set", "Interface", name, ...settings];
}

/** One bundle with the difference, as netplugin does it. */
async function load(flows: ReadonlyMap<string, Flow>): Promise<void> {
  const gone = [...installed]
    .filter(([key]) => !flows.has(key))
    .map(([, flow]) => ({ kind: "flow-delete-strict", flow }) as const);
  const put = [...flows.values()].map((flow) => ({ kind: "flow-add", flow }) as const);
  await connection.bundle([...gone, ...put]);
  installed = flows;
}

/** What leaves node n1: endpoints' keys, and `tunnel`. */
async function trace(frame: Match, machine: Machine): Promise<string[]> {
  const text = await control.call("ofproto/trace", ["br0", formatMatch(frame)]);
  const names = new Map([...machine.ports].map(([key, ofport]) => [String(ofport), key]));
  const sent = new Set<string>();
  const lines = text.split("\n").map((line) => line.trim());
  for (const [index, line] of lines.entries()) {
    const ofport = /^output:(\d+)$|^-> output port is (\d+)$/.exec(line);
    if (ofport === null || (lines[index + 1] ?? "").includes("skipping output to input port")) continue;
    const number = ofport[1] ?? ofport[2] ?? "";
    sent.add(number === String(TUNNEL_PORT) ? "tunnel" : (names.get(number) ?? `port ${number}`));
  }
  return [...sent].sort();
}

/** The frame where node n1 first sees it, and what n1 should do with it; undefined when it never sees it. */
function atNode(
  world: TripWorld,
  trip: Trip,
  machine: Machine,
): { readonly frame: Match; readonly wanted: readonly string[] } | undefined {
  const ofport = machine.ports.get(trip.source?.key ?? "");
  const judged = verdict(world.world, trip.packet);
  const isHere = (key: string) => machine.ports.has(key);
  if (ofport !== undefined) {
    const frame = { ...trip.frame, inPort: ofport };
    if (!judged.source.allowed) return { frame, wanted: [] };
    if (trip.destination !== undefined && !isHere(trip.destination.key)) return { frame, wanted: ["tunnel"] };
    const floods = trip.destination === undefined && neighbours(world, trip).some((key) => !isHere(key));
    return { frame, wanted: [...expectedReceivers(world, trip).filter(isHere), ...(floods ? ["tunnel"] : [])].sort() };
  }
  if (trip.destination !== undefined && !isHere(trip.destination.key)) return undefined;
  if (trip.source !== undefined && trip.destination === undefined) return undefined;
  const ethDst = trip.isRouted ? (trip.destination?.mac ?? "") : trip.frame.ethDst;
  const tunnel = { inPort: TUNNEL_PORT, tunSrc: VTEPS.n3 ?? "", tunId: BigInt(trip.network.tag) };
  const isAllowed = judged.destination.allowed;
  const receivers =
    trip.destination === undefined
      ? expectedReceivers(world, trip).filter(isHere)
      : isAllowed
        ? [trip.destination.key]
        : [];
  return { frame: { ...trip.frame, ...(ethDst === undefined ? {} : { ethDst }), ...tunnel }, wanted: receivers };
}

function neighbours({ endpoints }: TripWorld, { network, source }: Trip): string[] {
  return [...endpoints.values()]
    .filter((end) => end.networkId === network.networkId && end !== source)
    .map(({ key }) => key);
}

describe("a real switch", () => {
  it("does with packets what the evaluator says", async () => {
    let traceCount = 0;
    let deniedCount = 0;
    const journeys = fc.array(journey, { ...JOURNEYS_PER_WORLD, size: "max" });
    await fc.assert(
      fc.asyncProperty(policyObjects, anyHomes, journeys, async (objects, homes, each) => {
        const world = tripWorld(objects);
        const view = policyView(objects, homes);
        const machine = machineFor(view, "n1");
        await load(flowsFor(view, machine));
        const steps = each.flatMap((one) => {
          const trip = tripOf(world, one);
          const here = trip === undefined ? undefined : atNode(world, trip, machine);
          return trip === undefined || here === undefined ? [] : [{ packet: trip.packet, ...here }];
        });
        const results = await Promise.all(steps.map(({ frame }) => trace(frame, machine)));
        traceCount += results.length;
        deniedCount += results.filter((sent) => sent.length === 0).length;
        const found = steps.map(({ packet, frame }, index) => ({ packet, frame, sent: results[index] }));
        expect(found).toEqual(steps.map(({ packet, frame, wanted }) => ({ packet, frame, sent: wanted })));
      }),
      { numRuns: WORLDS, interruptAfterTimeLimit: 80_000 },
    );
    expect(traceCount).toBeGreaterThan(LEAST_TRACES);
    expect(deniedCount).toBeGreaterThan(traceCount / 8);
    expect(deniedCount).toBeLessThan((traceCount * 9) / 10);
  });

  it("gives every flow back as it was written", async () => {
    const [objects] = fc.sample(policyObjects, { numRuns: 1, seed: 7 });
    if (objects === undefined) throw new Error("no sample");
    const view = policyView(objects);
    const flows = flowsFor(view, machineFor(view, "n1"));
    await load(flows);
    const actual = new Map((await connection.dumpFlows()).map((flow) => [flowKey(flow), flow]));
    expect([...actual.keys()].sort()).toEqual([...flows.keys()].sort());
    for (const [key, flow] of flows) expect(formatFlow(actual.get(key) ?? flow)).toBe(formatFlow(flow));
  });
});
