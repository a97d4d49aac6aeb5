import type { Logger } from "pino";
import { getLink } from "../../drivers/netlink/link.ts";
import { asNetError, NetError } from "../../state/errors.ts";
import { infraContainerId, isInfraEndpoint } from "../../state/infra.ts";
import type { EndpointRecord } from "../../state/kinds/endpoint.ts";
import type { NodeCondition } from "../../state/kinds/node.ts";
import type { EndpointReply } from "../../state/node-api.ts";
import { type Attachment, endpointKeyOf, INFRA_ROLE } from "../attach/attachment.ts";
import type { NodeClient } from "../node-client/node-client.ts";
import { startTicketLoop } from "../reconcile/ticket-loop.ts";
import type { Changes, NodeView } from "../view/node-view.ts";
import { endpointsOfNode, nodeOf } from "../view/query.ts";
import { infraConditions } from "./conditions.ts";
import { infraDevice } from "./device.ts";
import { type InfraPlan, type InfraPort, planInfra } from "./plan.ts";
import { ensureInfraPort, type PortMeans, unplugInfraPorts } from "./ports.ts";
import { createRetries } from "./retries.ts";
import { readSurroundings } from "./surroundings.ts";

export interface InfraOptions extends PortMeans {
  readonly nodeName: string;
  readonly client: Pick<NodeClient, "createEndpoint">;
  readonly view: () => NodeView;
  readonly attachments: () => ReadonlyMap<string, Attachment>;
  /** Does the switch answer? */
  readonly isConnected: () => boolean;
  readonly applyReply: (reply: EndpointReply) => void;
  /** Takes a lease of this node out of the view and ends it. */
  readonly endLease: (lease: EndpointRecord, signal: AbortSignal) => Promise<void>;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** Keeps this node's ports in infra networks. */
export interface Infra {
  /** Look again. */
  kick(): void;
  /** Objects of the view have changed: looks again when that may concern infra networks. */
  onView(changes: Changes): void;
  /** Ports have changed: looks again when they are infra ports. */
  onPorts(): void;
  /** A link has changed. */
  onLinks(ifindexes: ReadonlySet<number>): void;
  conditions(): readonly NodeCondition[];
  readonly ended: Promise<void>;
}

/** A lease that has vanished is not asked for again at once: its network may be about to go, a few leases at a time. */
const VANISHED_PAUSE_MS = 5_000;
const REQUEST_TIMEOUT_MS = 20_000;
/** Name of the removals among the retries; network keys have a colon. */
const REMOVAL = "removal";

interface Round {
  readonly signal: AbortSignal;
  readonly plan: InfraPlan;
  readonly working: Map<string, string>;
  readonly failures: Map<string, string>;
}

/** Begins at once; ends with the signal. */
export function startInfra(options: InfraOptions): Infra {
  const { log, nodeName } = options;
  const retries = createRetries();
  const ownKeys = endpointKeyOf(infraContainerId(nodeName), "");
  let last: Pick<Round, "plan" | "working" | "failures"> | undefined;
  let leased: ReadonlySet<number> = new Set();
  let ifindexes: ReadonlySet<number> = new Set();
  let portsSeen = "";
  let timer: NodeJS.Timeout | undefined;

  const loop = startTicketLoop({
    work: (_full, signal) => round(signal),
    signal: options.signal,
    report: (error) => log.error({ error: error.message }, "cannot look after infra networks; trying again"),
  });
  options.signal.addEventListener("abort", () => clearTimeout(timer), { once: true });

  async function round(signal: AbortSignal): Promise<void> {
    portsSeen = summaryOf(options.attachments());
    if (!options.view().complete || !options.isConnected()) return;
    const plan = await planNow(signal);
    const now: Round = { signal, plan, working: new Map(), failures: new Map() };
    await removeSurplus(now);
    for (const port of plan.ports) await bringUp(now, port);
    tell(now);
    last = now;
    leased = new Set(
      [...plan.ports].filter(({ lease }) => lease !== undefined).map(({ network }) => network.networkId),
    );
    ifindexes = await ifindexesOf(now);
    arm();
  }

  async function planNow(signal: AbortSignal): Promise<InfraPlan> {
    const view = options.view();
    const attachments = options.attachments();
    const quick = planInfra({ view, nodeName, attachments, takenNames: new Set(), reserved: [] });
    if (quick.ports.length + quick.surplusPorts.length + quick.surplusLeases.length === 0) return quick;
    const infraNames = new Set([
      ...infraOf(attachments).map(({ portName }) => portName),
      ...leasedNames(view, nodeName),
    ]);
    const portNames = options.ports.read().keys();
    const surroundings = await readSurroundings(options.netlink, { view, portNames, infraNames }, signal);
    return planInfra({ view, nodeName, attachments, ...surroundings });
  }

  /** What cannot be removed now must not keep others from coming up. */
  async function removeSurplus({ plan, signal }: Round): Promise<void> {
    try {
      if (plan.surplusPorts.length > 0) log.info({ ports: plan.surplusPorts }, "removing infra ports");
      await unplugInfraPorts(options, plan.surplusPorts, signal);
      for (const lease of plan.surplusLeases) await options.endLease(lease, signal);
      retries.succeeded(REMOVAL);
    } catch (thrown) {
      signal.throwIfAborted();
      log.warn({ error: asNetError(thrown, "remove infra ports").message }, "infra ports are left over; trying again");
      retries.failed(REMOVAL, performance.now());
    }
  }

  async function bringUp(now: Round, port: InfraPort): Promise<void> {
    const { key } = port.network;
    const nowMs = performance.now();
    if (port.lease === undefined && leased.has(port.network.networkId) && retries.isDue(key, nowMs)) {
      retries.hold(key, nowMs, VANISHED_PAUSE_MS);
    }
    if (!retries.isDue(key, nowMs)) {
      now.failures.set(key, last?.failures.get(key) ?? "Its lease was ended");
      return;
    }
    try {
      now.working.set(key, await ensure(port, now.signal));
      retries.succeeded(key);
    } catch (thrown) {
      now.signal.throwIfAborted();
      now.failures.set(key, asNetError(thrown, `set up the port of infra network ${key}`).message);
      retries.failed(key, performance.now());
    }
  }

  /** Port and device are there before the lease is in the view, so that its flows find the port. */
  async function ensure({ network, deviceName, lease, isPlugged }: InfraPort, signal: AbortSignal): Promise<string> {
    const node = nodeOf(options.view(), nodeName)?.registration;
    if (node === undefined) throw new NetError("UNAVAILABLE", "This node's own record has not come from netmaster yet");
    const reply = lease === undefined ? await ask(network.config, deviceName, signal) : undefined;
    const endpoint = lease ?? reply?.endpoint;
    if (endpoint === undefined) throw new NetError("INTERNAL", `Infra network ${network.key} has no lease`);
    const device = infraDevice(network, endpoint, node);
    const wanted = { name: deviceName, lease: endpoint, device, isPlugged };
    const hasChanged = await ensureInfraPort(options, wanted, signal);
    if (reply !== undefined) options.applyReply(reply);
    const addresses = device.addresses.map(({ prefix }) => prefix).join(" ");
    if (hasChanged) log.info({ network: network.key, device: deviceName, addresses }, "infra port is set up");
    return addresses;
  }

  function ask(network: { tenantName: string; networkName: string }, ifName: string, signal: AbortSignal) {
    const { tenantName, networkName } = network;
    const pod = { groupName: "", podName: "", podNamespace: "", labels: {} };
    return options.client.createEndpoint(
      { containerId: infraContainerId(nodeName), ifName, tenantName, networkName, ...pod },
      AbortSignal.any([signal, AbortSignal.timeout(REQUEST_TIMEOUT_MS)]),
    );
  }

  /** Each trouble is logged when it comes, not with every round. */
  function tell({ plan, failures }: Round): void {
    for (const [key, reason] of plan.refused) {
      if (last?.plan.refused.get(key) !== reason)
        log.error({ network: key, reason }, "keeping out of an infra network");
    }
    for (const [key, reason] of failures) {
      if (last?.failures.get(key) !== reason) log.warn({ network: key, reason }, "infra port is not as it should be");
    }
    retries.keep(new Set([REMOVAL, ...plan.ports.map(({ network }) => network.key)]));
  }

  async function ifindexesOf({ plan, signal }: Round): Promise<ReadonlySet<number>> {
    const queries = plan.ports.map(({ deviceName }) => options.netlink.get(getLink({ name: deviceName }), { signal }));
    const links = await Promise.allSettled(queries);
    return new Set(links.flatMap((link) => (link.status === "fulfilled" ? [link.value.ifindex] : [])));
  }

  function arm(): void {
    clearTimeout(timer);
    const atMs = retries.nextAtMs();
    if (atMs === undefined || options.signal.aborted) return;
    timer = setTimeout(() => loop.kick(), Math.max(0, Math.ceil(atMs - performance.now()))).unref();
  }

  return {
    kick: () => loop.kick(),
    onView: (changes) => {
      const concerns = [...changes.values()].some(({ kind, key }) =>
        kind === "endpoint" ? key.startsWith(ownKeys) : kind === "network" || kind === "node",
      );
      if (concerns) loop.kick();
    },
    onPorts: () => {
      if (summaryOf(options.attachments()) !== portsSeen) loop.kick();
    },
    onLinks: (changed) => {
      const isWaiting = (last?.plan.refused.size ?? 0) > 0; // for an address of the node to go
      if (isWaiting || [...changed].some((ifindex) => ifindexes.has(ifindex))) loop.kick();
    },
    conditions: () =>
      last === undefined
        ? []
        : infraConditions({ working: last.working, refused: last.plan.refused, failures: last.failures }),
    ended: loop.ended,
  };
}

function infraOf(attachments: ReadonlyMap<string, Attachment>): readonly Attachment[] {
  return [...attachments.values()].filter(({ role }) => role === INFRA_ROLE);
}

/** Devices of leases are ours too, though their ports may have been deleted: the devices outlive them by a moment. */
function leasedNames(view: NodeView, nodeName: string): readonly string[] {
  return [...endpointsOfNode(view, nodeName)].filter(isInfraEndpoint).map(({ ifName }) => ifName);
}

/** Equal for equal infra ports. */
function summaryOf(attachments: ReadonlyMap<string, Attachment>): string {
  const ports = infraOf(attachments).map(({ portName, epoch, ofport }) => [portName, epoch, ofport]);
  return JSON.stringify(ports.sort());
}
