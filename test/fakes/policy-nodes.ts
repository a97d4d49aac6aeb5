import type { Flow } from "../../drivers/ovs/openflow/flow.ts";
import type { Match } from "../../drivers/ovs/openflow/match.ts";
import { newFlowSet, updateFlowSet } from "../../netplugin/desired/flow-set/flow-set.ts";
import type { Machine } from "../../netplugin/machine/machine.ts";
import { NO_CHANGES, type NodeView } from "../../netplugin/view/node-view.ts";
import { endpointsOfNode } from "../../netplugin/view/query.ts";
import { formatIpv4 } from "../../state/address.ts";
import { type FlowSimulator, type Sent, simulateFlows } from "./flow-simulator.ts";
import { flowsOfSet } from "./flows-of-set.ts";
import type { Trip } from "./policy-journey.ts";
import { VTEPS } from "./policy-view.ts";
import { machineOf } from "./world.ts";

export const TUNNEL_PORT = 1;
const FIRST_POD_PORT = 11;

export function machineFor(view: NodeView, nodeName: string): Machine {
  const keys = [...endpointsOfNode(view, nodeName)].map(({ key }) => key);
  const ports = Object.fromEntries(keys.map((key, index) => [key, FIRST_POD_PORT + index]));
  return machineOf(nodeName, ports, { vtepIp: VTEPS[nodeName] ?? "" });
}

export function flowsFor(view: NodeView, machine: Machine): ReadonlyMap<string, Flow> {
  const { set } = updateFlowSet(newFlowSet(), { view, changes: NO_CHANGES, machine });
  return flowsOfSet(set);
}

/** Two nodes with simulated switches, joined by tunnels. */
export interface SimulatedNodes {
  load(view: NodeView): void;
  /** Sends the frame of a trip, or another one between the same ends; keys of the endpoints that got it, ascending. */
  send(trip: Trip, frame?: Match): string[];
  readonly switches: ReadonlyMap<string, FlowSimulator>;
}

export function simulateNodes(first: NodeView): SimulatedNodes {
  const switches = new Map(["n1", "n2"].map((name) => [name, simulateFlows([])]));
  const machines = new Map<string, Machine>();

  function load(view: NodeView): void {
    for (const [name, simulator] of switches) {
      const machine = machineFor(view, name);
      machines.set(name, machine);
      simulator.load(flowsFor(view, machine).values());
    }
  }

  /** What one node does with a frame, and what the others do with what it sends them. */
  function arrive(nodeName: string, fields: Match): string[] {
    const sent = switches.get(nodeName)?.send({ fields }) ?? [];
    return sent.flatMap((copy) => {
      if (copy.port === TUNNEL_PORT) return overTunnel(nodeName, copy, fields);
      const key = [...(machines.get(nodeName)?.ports ?? [])].find(([, ofport]) => ofport === copy.port)?.[0];
      return key === undefined ? [] : [key];
    });
  }

  function overTunnel(from: string, copy: Sent, fields: Match): string[] {
    const to = formatIpv4(copy.fields.get("tunDst") ?? 0n);
    const next = [...switches.keys()].find((name) => VTEPS[name] === to);
    const ethDst = macText(copy.fields.get("ethDst") ?? 0n);
    const ethSrc = macText(copy.fields.get("ethSrc") ?? 0n);
    const tunnel = { inPort: TUNNEL_PORT, tunSrc: VTEPS[from] ?? "", tunId: copy.fields.get("tunId") ?? 0n };
    return next === undefined ? [] : arrive(next, { ...fields, ethDst, ethSrc, ...tunnel });
  }

  load(first);
  return {
    load,
    switches,
    send: ({ source, destination, network, frame: own }, frame = own) => {
      const home = source === undefined ? undefined : nodeOf(machines, source.key);
      if (home !== undefined) return arrive(home.name, { ...frame, inPort: home.ofport }).sort();
      const tunnel = { inPort: TUNNEL_PORT, tunSrc: VTEPS.n3 ?? "", tunId: BigInt(network.tag) };
      const entries =
        destination === undefined ? [...switches.keys()] : [nodeOf(machines, destination.key)?.name ?? ""];
      return entries.flatMap((name) => arrive(name, { ...frame, ...tunnel })).sort();
    },
  };
}

function nodeOf(machines: ReadonlyMap<string, Machine>, key: string) {
  for (const [name, { ports }] of machines) {
    const ofport = ports.get(key);
    if (ofport !== undefined) return { name, ofport };
  }
  return undefined;
}

function macText(mac: bigint): string {
  return mac
    .toString(16)
    .padStart(12, "0")
    .replace(/(..)(?=.)/g, "$1:");
}
