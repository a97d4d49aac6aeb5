import { asNetError } from "../../state/errors.ts";
import type { RegisterReply } from "../../state/node-api.ts";
import { pause } from "../../state/waiting/pause.ts";
import { COOKIE_OURS } from "../desired/pipeline/pipeline.ts";
import type { Transport } from "../node-client/transport.ts";
import { followWatch } from "../node-client/watch.ts";
import { UplinkAnnouncer } from "../reconcile/announce/uplinks.ts";
import { keepBase } from "../reconcile/base/base-keeper.ts";
import { compareRegularly } from "../reconcile/loop/compare-regularly.ts";
import { conditionsOf } from "../report/conditions.ts";
import type { Metrics } from "../report/metrics/metrics.ts";
import { startNodeReport } from "../report/node-report.ts";
import { isAway } from "../report/reachability.ts";
import { UplinkLog } from "../report/uplink-log.ts";
import type { NodeSettings } from "../settings.ts";
import { PATIENCE_MS, type WaitingNode } from "./await-switch.ts";
import { type Capabilities, probeCapabilities } from "./capabilities.ts";
import type { Node } from "./node.ts";
import { keepNodePresent } from "./presence.ts";
import { whenConnected } from "./switch.ts";

/** Longer than the loss of a connection takes to be noticed. */
const PROBE_PAUSE_MS = 100;

export interface Service {
  readonly node: Node;
  /** Tells of the node until its switch takes flows. */
  readonly waiting: WaitingNode;
  readonly settings: NodeSettings;
  readonly metrics: Metrics;
  readonly transport: Transport;
  readonly signal: AbortSignal;
}

/** The loops of a node whose parts are up: presence, watch, bridges, regular comparison. Ends with the signal. */
export async function serve(service: Service): Promise<void> {
  const { node, waiting, settings, metrics, signal } = service;
  const { told, leases } = node;
  const { log, readiness } = told;
  startBase(service);
  const capabilities = await whenProbed(service);
  told.limits.setCapabilities(capabilities);
  log.info({ capabilities, vtepIp: told.vtep.current() }, "Kernel and switch of this node have these capabilities");
  const report = startNodeReport({ node: told, registry: metrics.registry, signal });
  await waiting[Symbol.asyncDispose]();
  beReady(service);
  readiness.onChange(report.trigger.request);
  await Promise.all([
    keepNodePresent({
      ...{ told, report, capabilities, leases, signal },
      onFirstRegistration: (reply) => void follow(service, reply),
      onFailure: () => metrics.heartbeatFailures.inc(),
    }),
    compareRegularly({ intervalMs: settings.resyncIntervalMs, compare: node.comparisons, signal }),
  ]);
}

/** What kernel and switch can do; a switch that ends meanwhile is waited for, and asked again. */
async function whenProbed(service: Service): Promise<Capabilities> {
  const { node, signal } = service;
  const { ovs, readiness, log } = node.told;
  for (;;) {
    readiness.step("waiting until ovs-vswitchd takes flows");
    await whenServing(service);
    readiness.step("finding out what kernel and switch can do");
    const connection = ovs.flowConnection.connection();
    try {
      return await probeCapabilities({ connection, netns: node.panel.netns, cookie: COOKIE_OURS.cookie });
    } catch (thrown) {
      const error = asNetError(thrown, "probe kernel and switch");
      if (!isAway(error)) throw error;
      log.debug({ code: error.code, error: error.message }, "The connection to Open vSwitch has ended");
    }
    await pause(PROBE_PAUSE_MS, signal);
  }
}

/** The database may answer, and the switch itself not. */
async function whenServing({ node, waiting, signal }: Service): Promise<void> {
  const { ovs, readiness } = node.told;
  const late = setTimeout(() => {
    const fault = ovs.fault() ?? "Open vSwitch takes no flows yet; see that ovs-vswitchd runs";
    readiness.switchFault(fault);
    waiting.tell(() => ovs.fault() ?? fault);
  }, PATIENCE_MS);
  try {
    await whenConnected(ovs, signal);
  } finally {
    clearTimeout(late);
  }
}

/** From now on the readiness follows from the node's parts. */
function beReady({ node: { told } }: Service): void {
  const { readiness, ovs, holder, drivers, cniFault } = told;
  readiness.up({
    cniFault,
    driverFaults: () => [...drivers.values()].map((driver) => driver.fault()),
    isViewComplete: () => told.view().complete,
    conditions: () => conditionsOf(told),
  });
  ovs.onChange(() => readiness.request());
  let isComplete = false;
  holder.onStep(() => {
    if (!isComplete) readiness.request();
    isComplete = told.view().complete;
  });
}

function startBase({ node, settings, signal }: Service): void {
  const { ovs, flows, log, readiness } = node.told;
  const { panelName, tunnel } = node.base;
  const announcer = new UplinkAnnouncer({ driver: ovs, runDirectory: settings.ovsRunDirectory, log, signal });
  keepBase({
    ...{ ovs, log, signal },
    before: [panelName],
    after: [announcer, new UplinkLog(ovs, log), tunnel],
    onKept: ({ isChanged }) => {
      flows.loop.kick({ full: isChanged });
      readiness.request();
    },
  });
}

function follow({ node, settings, transport, signal }: Service, reply: RegisterReply): Promise<void> {
  const { holder, log } = node.told;
  let told = "";
  return followWatch({
    transport,
    nodeName: settings.nodeName,
    idleTimeoutMs: reply.watchIdleTimeoutMs,
    signal,
    onStream: holder.beginStream,
    onMessages: holder.applyMessages,
    mayTakeParts: () => !holder.view().complete,
    report: (error) => {
      const line = { code: error.code, error: error.message };
      if (isAway(error) || told === error.message) return log.debug(line, "The watch stream from netmaster has ended");
      told = error.message;
      return log.warn(line, "The watch stream from netmaster cannot be read; netplugin opens it anew");
    },
  });
}
