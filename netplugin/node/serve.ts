import type { RegisterReply } from "../../state/node-api.ts";
import { COOKIE_OURS } from "../desired/pipeline/pipeline.ts";
import type { Transport } from "../node-client/transport.ts";
import { followWatch } from "../node-client/watch.ts";
import { UplinkAnnouncer } from "../reconcile/announce/uplinks.ts";
import { keepBase } from "../reconcile/base/base-keeper.ts";
import { compareRegularly } from "../reconcile/loop/compare-regularly.ts";
import type { Metrics } from "../report/metrics/metrics.ts";
import { startNodeReport } from "../report/node-report.ts";
import { UplinkLog } from "../report/uplink-log.ts";
import type { NodeSettings } from "../settings.ts";
import type { WaitingNode } from "./await-switch.ts";
import { probeCapabilities } from "./capabilities.ts";
import type { Node } from "./node.ts";
import { keepNodePresent } from "./presence.ts";
import { whenConnected } from "./switch.ts";

export interface Service {
  readonly node: Node;
  /** Tells of the node until its switch takes flows. */
  readonly waiting: WaitingNode;
  readonly settings: NodeSettings;
  readonly metrics: Metrics;
  readonly transport: Transport;
  readonly signal: AbortSignal;
}

/** A switch that runs takes flows sooner than that. */
const PATIENCE_MS = 5_000;

/** The loops of a node whose parts are up: presence, watch, bridges, regular comparison. Ends with the signal. */
export async function serve(service: Service): Promise<void> {
  const { node, waiting, settings, metrics, signal } = service;
  const { told, panel, leases } = node;
  const { ovs, log } = told;
  startBase(service);
  await whenServing(service);
  const capabilities = await probeCapabilities({
    connection: ovs.flowConnection.connection(),
    netns: panel.netns,
    cookie: COOKIE_OURS.cookie,
  });
  told.limits.setCapabilities(capabilities);
  log.info({ capabilities, vtepIp: told.vtep.current() }, "this node's means");
  const report = startNodeReport({ node: told, registry: metrics.registry, signal });
  await waiting[Symbol.asyncDispose]();
  await Promise.all([
    keepNodePresent({
      ...{ told, report, capabilities, leases, signal },
      onFirstRegistration: (reply) => void follow(service, reply),
      onFailure: () => metrics.heartbeatFailures.inc(),
    }),
    compareRegularly({ intervalMs: settings.resyncIntervalMs, compare: node.comparisons, signal }),
  ]);
}

/** The database may answer, and the switch itself not. */
async function whenServing({ node, waiting, signal }: Service): Promise<void> {
  const { ovs } = node.told;
  const late = setTimeout(
    () => waiting.tell(() => ovs.fault() ?? "The parts of this node are being opened"),
    PATIENCE_MS,
  );
  try {
    await whenConnected(ovs, signal);
  } finally {
    clearTimeout(late);
  }
}

function startBase({ node, settings, signal }: Service): void {
  const { ovs, flows, log } = node.told;
  const { panelName, tunnel } = node.base;
  const announcer = new UplinkAnnouncer({ driver: ovs, runDirectory: settings.ovsRunDirectory, log, signal });
  keepBase({
    ...{ ovs, log, signal },
    before: [panelName],
    after: [announcer, new UplinkLog(ovs, log), tunnel],
    onKept: ({ isChanged }) => flows.loop.kick({ full: isChanged }),
  });
}

function follow({ node, settings, transport, signal }: Service, reply: RegisterReply): Promise<void> {
  const { holder, log } = node.told;
  return followWatch({
    transport,
    nodeName: settings.nodeName,
    idleTimeoutMs: reply.watchIdleTimeoutMs,
    signal,
    onStream: holder.beginStream,
    onMessages: holder.applyMessages,
    mayTakeParts: () => !holder.view().complete,
    report: (error) => log.warn({ code: error.code, error: error.message }, "watch"),
  });
}
