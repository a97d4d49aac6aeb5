import type { Logger } from "pino";
import { getLink } from "../../../drivers/netlink/link.ts";
import { asNetError, NetError } from "../../../state/errors.ts";
import { infraContainerId, isInfraEndpoint } from "../../../state/infra.ts";
import type { EndpointRecord } from "../../../state/kinds/endpoint.ts";
import type { NetworkRecord } from "../../../state/kinds/network.ts";
import type { EndpointReply } from "../../../state/node-api.ts";
import { deadline } from "../../../state/waiting/deadline.ts";
import { type Attachment, INFRA_ROLE } from "../../machine/attachment.ts";
import type { NodeClient } from "../../node-client/node-client.ts";
import type { NodeView } from "../../view/node-view.ts";
import { endpointsOfNode, nodeOf } from "../../view/query.ts";
import { infraDevice } from "./device.ts";
import { type InfraPlan, type InfraPort, planInfra } from "./plan.ts";
import { ensureInfraPort, type PortMeans, unplugInfraPorts } from "./ports.ts";
import type { Retries } from "./retries.ts";
import { readSurroundings } from "./surroundings.ts";

export interface RoundOptions extends PortMeans {
  readonly nodeName: string;
  readonly client: Pick<NodeClient, "createEndpoint">;
  readonly view: () => NodeView;
  readonly attachments: () => ReadonlyMap<string, Attachment>;
  readonly applyReply: (reply: EndpointReply) => void;
  /** Takes a lease of this node out of the view and ends it. */
  readonly endLease: (lease: EndpointRecord, signal: AbortSignal) => Promise<void>;
  readonly log: Logger;
}

/** What a round leaves to the next one. */
export interface RoundResult {
  /** Network → the addresses that this node has in it. */
  readonly working: ReadonlyMap<string, string>;
  /** Network → why this node keeps out of it. */
  readonly refused: ReadonlyMap<string, string>;
  /** Network → what went wrong; it is tried again. */
  readonly failures: ReadonlyMap<string, string>;
  /** Numbers of the networks of which this node had a lease when the round began. */
  readonly leased: ReadonlySet<number>;
  /** The devices as they are now. */
  readonly ifindexes: ReadonlySet<number>;
}

export const NO_ROUND: RoundResult = {
  working: new Map(),
  refused: new Map(),
  failures: new Map(),
  leased: new Set(),
  ifindexes: new Set(),
};

/** A lease that has vanished is not asked for again at once: its network may be about to go, a few leases at a time. */
const VANISHED_PAUSE_MS = 5_000;
const REQUEST_TIMEOUT_MS = 20_000;
/** Name of the removals among the retries; network keys have a colon. */
const REMOVAL = "removal";

interface Round {
  readonly options: RoundOptions;
  readonly retries: Retries;
  readonly last: RoundResult;
  readonly signal: AbortSignal;
}

/** Brings this node's infra ports to what the view asks for. What fails is in the result and among the retries. */
export async function runRound(round: Round): Promise<RoundResult> {
  const plan = await planNow(round);
  await removeSurplus(round, plan);
  const [working, failures] = [new Map<string, string>(), new Map<string, string>()];
  for (const port of plan.ports) {
    const outcome = await bringUp(round, port);
    if (outcome.failure === undefined) working.set(port.network.key, outcome.addresses);
    else failures.set(port.network.key, outcome.failure);
  }
  const leased = plan.ports.filter(({ lease }) => lease !== undefined).map(({ network }) => network.networkId);
  const result = { working, failures, refused: plan.refused, leased: new Set(leased) };
  tellTroubles(round, result);
  round.retries.keep(new Set([REMOVAL, ...plan.ports.map(({ network }) => network.key)]));
  return { ...result, ifindexes: await ifindexesOf(round, plan) };
}

async function planNow({ options, signal }: Round): Promise<InfraPlan> {
  const { nodeName } = options;
  const [view, attachments] = [options.view(), options.attachments()];
  const quick = planInfra({ view, nodeName, attachments, takenNames: new Set(), reserved: [] });
  if (quick.ports.length + quick.surplusPorts.length + quick.surplusLeases.length === 0) return quick;
  const infraNames = new Set([...infraOf(attachments).map(({ portName }) => portName), ...leasedNames(view, nodeName)]);
  const portNames = options.ports.read().keys();
  const surroundings = await readSurroundings(options.netlink, { view, portNames, infraNames }, signal);
  return planInfra({ view, nodeName, attachments, ...surroundings });
}

/** Devices of leases are ours too, though their ports may have been deleted: the devices outlive them by a moment. */
function leasedNames(view: NodeView, nodeName: string): readonly string[] {
  return [...endpointsOfNode(view, nodeName)].filter(isInfraEndpoint).map(({ ifName }) => ifName);
}

/** What cannot be removed now must not keep others from coming up. */
async function removeSurplus({ options, retries, signal }: Round, plan: InfraPlan): Promise<void> {
  const { log } = options;
  try {
    if (plan.surplusPorts.length > 0)
      log.info({ ports: plan.surplusPorts }, "Infra ports that are not needed are removed");
    await unplugInfraPorts(options, plan.surplusPorts, signal);
    for (const lease of plan.surplusLeases) await options.endLease(lease, signal);
    retries.succeeded(REMOVAL);
  } catch (thrown) {
    signal.throwIfAborted();
    log.warn(
      { error: asNetError(thrown, "remove infra ports").message },
      "Infra ports that are not needed cannot be removed; netplugin tries again",
    );
    retries.failed(REMOVAL, performance.now());
  }
}

type Outcome =
  | { readonly failure: undefined; readonly addresses: string }
  | { readonly failure: string; readonly addresses?: undefined };

async function bringUp(round: Round, port: InfraPort): Promise<Outcome> {
  const { retries, last, signal } = round;
  const { key, networkId } = port.network;
  const nowMs = performance.now();
  const hasVanished = port.lease === undefined && last.leased.has(networkId);
  if (hasVanished && retries.isDue(key, nowMs)) retries.hold(key, nowMs, VANISHED_PAUSE_MS);
  if (!retries.isDue(key, nowMs)) return { failure: last.failures.get(key) ?? "Its lease was ended" };
  try {
    const addresses = await ensure(round, port);
    retries.succeeded(key);
    return { failure: undefined, addresses };
  } catch (thrown) {
    signal.throwIfAborted();
    retries.failed(key, performance.now());
    return { failure: asNetError(thrown, `set up the port of infra network ${key}`).message };
  }
}

/** Port and device are there before the lease is in the view, so that its flows find the port. */
async function ensure(round: Round, { network, deviceName, lease, isPlugged }: InfraPort): Promise<string> {
  const { options, signal } = round;
  const node = nodeOf(options.view(), options.nodeName)?.registration;
  if (node === undefined) throw new NetError("UNAVAILABLE", "This node's own record has not come from netmaster yet");
  const reply = lease === undefined ? await askForLease(round, network, deviceName) : undefined;
  const endpoint = lease ?? reply?.endpoint;
  if (endpoint === undefined) throw new NetError("INTERNAL", `Infra network ${network.key} has no lease`);
  const device = infraDevice(network, endpoint, node);
  const hasChanged = await ensureInfraPort(options, { name: deviceName, lease: endpoint, device, isPlugged }, signal);
  if (reply !== undefined) options.applyReply(reply);
  const addresses = device.addresses.map(({ prefix }) => prefix).join(" ");
  if (hasChanged) options.log.info({ network: network.key, device: deviceName, addresses }, "An infra port is set up");
  return addresses;
}

async function askForLease({ options, signal }: Round, network: NetworkRecord, ifName: string): Promise<EndpointReply> {
  const { tenantName, networkName } = network.config;
  const pod = { groupName: "", podName: "", podNamespace: "", labels: {}, takesAnyKey: false };
  using limit = deadline(REQUEST_TIMEOUT_MS, signal);
  return await options.client.createEndpoint(
    { containerId: infraContainerId(options.nodeName), ifName, tenantName, networkName, ...pod },
    limit.signal,
  );
}

/** Each trouble is logged when it comes, not with every round. */
function tellTroubles({ options, last }: Round, now: Pick<RoundResult, "refused" | "failures">): void {
  for (const [network, reason] of now.refused) {
    if (last.refused.get(network) !== reason)
      options.log.error({ network, reason }, "This node has no port in an infra network");
  }
  for (const [network, reason] of now.failures) {
    if (last.failures.get(network) !== reason) {
      options.log.warn({ network, reason }, "An infra port is not as it should be; netplugin tries again");
    }
  }
}

async function ifindexesOf({ options, signal }: Round, plan: InfraPlan): Promise<ReadonlySet<number>> {
  const queries = plan.ports.map(({ deviceName }) => options.netlink.get(getLink({ name: deviceName }), { signal }));
  const links = await Promise.allSettled(queries);
  return new Set(links.flatMap((link) => (link.status === "fulfilled" ? [link.value.ifindex] : [])));
}

/** The infra ports among all attachments. */
export function infraOf(attachments: ReadonlyMap<string, Attachment>): readonly Attachment[] {
  return [...attachments.values()].filter(({ role }) => role === INFRA_ROLE);
}
