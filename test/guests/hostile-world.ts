import { readFileSync } from "node:fs";
import { inNetns, run } from "../../deploy/cluster/exec.ts";
import { TUNNEL_PORT } from "../../drivers/ovs/names.ts";
import { wantedMeters } from "../../netplugin/desired/flow-set/wanted-meters.ts";
import { knownNeighbours } from "../../netplugin/desired/known-neighbours.ts";
import { COOKIE_OURS } from "../../netplugin/desired/pipeline/pipeline.ts";
import type { Attachment } from "../../netplugin/machine/attachment.ts";
import type { Machine } from "../../netplugin/machine/machine.ts";
import { probeCapabilities } from "../../netplugin/node/capabilities.ts";
import { createMeterKeeper } from "../../netplugin/reconcile/flows/meters.ts";
import type { NodeView } from "../../netplugin/view/node-view.ts";
import { flowsFor } from "../fakes/policy-nodes.ts";
import { machineOf, worldView } from "../fakes/world.ts";
import { type Hub, type Station, startHub } from "../system/hostile/hub.ts";
import { ACTORS, GATEWAYS, type Mode, NODE_ADDRESSES, VNI } from "../system/hostile/stage.ts";
import { type GuestNode, type GuestNodeOptions, openGuestNode, podNetnsName } from "./guest-node.ts";

/**
 * Pods of two tenants' VXLAN networks of the stage, all on this node and without policies: those need connection zones, which not every
 * kernel has. No more than the cases need: a guest takes its time for each.
 */
const NAMES = new Set(["atk1", "atk2", "srv1", "q1", "all1", "red1", "red3"]);
export const CAST = ACTORS.filter(({ name }) => NAMES.has(name));

/** A node with the flows that netplugin makes, and the hub at every pod and at the node's kernel. */
export interface HostileWorld extends AsyncDisposable {
  readonly hub: Hub;
  readonly nearEnds: ReadonlyMap<string, string>;
  readonly means: { readonly datapathType: string; readonly meters: boolean };
  /** Does a pod get an answer? */
  ping(from: string, address: string): Promise<boolean>;
  /** What the node's kernel has forwarded, and whom it knows behind the pods' ports. */
  traces(): Promise<string>;
}

const NEIGHBOURS_PER_SECOND = 200;
/** Of `machineOf`. */
const VTEP = "192.0.2.1";
export const GATEWAY6 = "fd00:1::ff";
const NODE_NETNS = `guest-node-${process.pid}`;

export async function openHostileWorld(options: GuestNodeOptions & { readonly mode: Mode }): Promise<HostileWorld> {
  const node = await openGuestNode(options);
  await run(["ip", "address", "add", `${NODE_ADDRESSES[1]}/24`, "dev", "lo"]);
  await run(["sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"]);
  await run(["ip", "netns", "attach", NODE_NETNS, String(process.pid)]);
  const view = stageView(options.mode);
  const pods = await node.plugIn(
    Object.fromEntries(CAST.map(({ name, ipv4, ipv6 }) => [name, [`${ipv4}/24`, `${ipv6}/64`]])),
    knownNeighbours({ datapathType: options.datapath, view: () => view }, GATEWAY6),
  );
  const connection = node.driver.flowConnection.connection();
  const { meters } = await probeCapabilities({ connection, cookie: COOKIE_OURS.cookie });
  const machine = machineOf("n1", ofports(pods), {
    uplinks: new Map(),
    tunnelOfport: node.driver.ports.read().get(TUNNEL_PORT)?.ofport,
    datapathType: options.datapath,
    ...(meters ? { neighbourMessagesPerSecond: NEIGHBOURS_PER_SECOND } : {}),
  });
  await program(node, machine, view);
  const macOfPort = (port: string) => readFileSync(`/sys/class/net/${port}/address`, "utf8").trim();
  const nearEnds = new Map(Object.entries(pods).map(([name, { portName }]) => [name, macOfPort(portName)]));
  const hub = await startHub(stations());
  return {
    ...{ hub, nearEnds, means: { datapathType: options.datapath, meters }, ping, traces },
    [Symbol.asyncDispose]: async () => {
      await hub[Symbol.asyncDispose]();
      await run(["ip", "netns", "del", NODE_NETNS]);
      await node[Symbol.asyncDispose]();
    },
  };
}

function ofports(pods: Readonly<Record<string, Attachment>>): Record<string, number> {
  return Object.fromEntries(Object.entries(pods).map(([name, { ofport = 0 }]) => [name, ofport]));
}

function stageView(mode: Mode): NodeView {
  const networks = (["blue", "red"] as const).map(
    (tenant) =>
      `network ${tenant}:vx vxlan ${VNI[tenant]} 10.1.0.0/24 gateway ${GATEWAYS.vx} ipv6 fd00:1::/64 gateway6 ${GATEWAY6}`,
  );
  const endpoints = CAST.map(({ name, tenant, ipv4, ipv6 }) => `endpoint ${name} ${tenant}:vx n1 ${ipv4} ${ipv6}`);
  return worldView([`mode ${mode} proxy`, `node n1 ${VTEP}`, ...networks, ...endpoints].join("\n"));
}

/** What netplugin would have the switch do for these pods, meters before the flows that name them. */
async function program({ driver, signal }: GuestNode, machine: Machine, view: NodeView): Promise<void> {
  const flows = [...flowsFor(view, machine).values()];
  const connection = driver.flowConnection.connection;
  const meters = createMeterKeeper({
    connection,
    wanted: () => wantedMeters({ view, machine, attachments: new Map() }),
  });
  await meters.prepare(flows, signal);
  await connection().bundle(flows.map((flow) => ({ kind: "flow-add", flow })));
}

function stations(): readonly Station[] {
  const pods = CAST.map(({ name }): Station => ({ kind: "pod", name, netns: podNetnsName(name), device: "eth0" }));
  return [...pods, { kind: "node", name: "n1", netns: NODE_NETNS, device: "lo" }];
}

async function ping(from: string, address: string): Promise<boolean> {
  const argv = inNetns(podNetnsName(from), ["ping", "-n", "-c", "3", "-W", "2", address]);
  return (await run(argv, { allowFailure: true })).exitCode === 0;
}

async function traces(): Promise<string> {
  const { stdout: forwarded } = await run(["nstat", "-asz", "IpForwDatagrams", "Ip6OutForwDatagrams"]);
  const { stdout: neighbours } = await run(["ip", "neighbour", "show"]);
  const strange = neighbours.split("\n").filter((line) => / dev cv/.test(line));
  return [...(forwarded.match(/^\S*Forw\S+\s+\d+/gm) ?? []), ...strange].join("\n");
}
