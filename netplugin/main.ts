import { rm } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import pino, { type Logger } from "pino";
import { holdDaemonLock, isDaemonRunning } from "../drivers/ovs/daemon-lock.ts";
import { type OpenOvsDriver, openOvsDriver, removeEverything } from "../drivers/ovs/switch.ts";
import { asNetError, NetError } from "../state/errors.ts";
import type { RegisterReply } from "../state/node-api.ts";
import { VERSION } from "../state/version.ts";
import { createCniHandler } from "./attach/cni-handler.ts";
import { startingHandler } from "./attach/starting-handler.ts";
import type { CniHandler } from "./cni/handler.ts";
import { netnsCheck } from "./cni/netns.ts";
import { startCniServer } from "./cni/server.ts";
import { isAnswering } from "./cni/socket-file.ts";
import { COOKIE_OURS } from "./desired/pipeline/pipeline.ts";
import { recordsDirectoryOf } from "./machine/attachment-records.ts";
import { probeCapabilities } from "./machine/capabilities.ts";
import { type OpenNodeRuntime, openNodeRuntime } from "./node.ts";
import { createNodeClient } from "./node-client/node-client.ts";
import { reachNetmaster } from "./node-client/reach.ts";
import { openTransport, type Transport } from "./node-client/transport.ts";
import { followWatch } from "./node-client/watch.ts";
import { UplinkAnnouncer } from "./reconcile/announce/uplinks.ts";
import { startTicketLoop } from "./reconcile/loop/ticket-loop.ts";
import { startInspectServer } from "./report/inspect/inspect-server.ts";
import { registerCeilingMetrics } from "./report/metrics/ceiling-metrics.ts";
import { registerLimitMetrics } from "./report/metrics/limit-metrics.ts";
import { createMetrics, type Metrics } from "./report/metrics/metrics.ts";
import { startNodeReport } from "./report/node-report.ts";
import { keepPresent } from "./report/presence.ts";
import { UplinkLog } from "./report/uplink-log.ts";
import { type NodeSettings, parseInvocation } from "./settings.ts";

/** Nobody tells of a route, a flow of an uplink bridge or a setting of a NIC that somebody has taken away. */
const BASE_LOOK_MS = 5_000;

const invocation = parseInvocation(process.argv);
const log = pino({ level: invocation.settings.logLevel, base: { component: "netplugin" } });
const ending = new AbortController();
for (const name of ["SIGTERM", "SIGINT"] as const) process.once(name, () => ending.abort());
process.on("unhandledRejection", (reason) => {
  log.fatal({ error: asNetError(reason, "go on").message, stack: (reason as Error)?.stack }, "a defect; ending");
  process.exit(70);
});

try {
  if (invocation.command === "cleanup") await cleanup(invocation.settings);
  else await run(invocation.settings, log, ending.signal);
  process.exit(0);
} catch (error) {
  if (ending.signal.aborted) process.exit(0);
  if (invocation.command === "cleanup") {
    process.stderr.write(`error: ${asNetError(error, "clean up").message}\n`);
    process.exit(1);
  }
  log.fatal({ error: asNetError(error, "start").message }, "netplugin ends");
  process.exit(1);
}

async function cleanup(settings: NodeSettings): Promise<void> {
  await refuseWhileRunning(settings);
  const removed = await removeEverything({ runDirectory: settings.ovsRunDirectory, panelNetns: settings.panelNetns });
  await rm(recordsDirectoryOf(settings.cniSocketPath), { recursive: true, force: true });
  process.stdout.write(`removed: ${removed.join(", ") || "nothing was there"}\n`);
}

/** A daemon that runs would make everything again, and might take the uplinks over while they are being given back. */
async function refuseWhileRunning({ cniSocketPath, ovsRunDirectory }: NodeSettings): Promise<void> {
  const sign = (await isAnswering(cniSocketPath))
    ? `something answers on its CNI socket ${cniSocketPath}`
    : (await isDaemonRunning(ovsRunDirectory))
      ? `it holds its lock in the switch database of ${ovsRunDirectory}`
      : undefined;
  if (sign === undefined) return;
  const message = `Cannot clean up: netplugin runs on this node (${sign}); nothing was changed. Stop it first (systemctl stop contiv-netplugin), then run cleanup again`;
  throw new NetError("CONFLICT", message, { reason: "netplugin-runs" });
}

async function run(settings: NodeSettings, log: Logger, signal: AbortSignal): Promise<void> {
  log.info({ version: VERSION, node: settings.nodeName, pipeline: settings.pipelineGeneration }, "netplugin starts");
  let runtime: OpenNodeRuntime | undefined;
  let handler: CniHandler | undefined;
  const metrics = createMetrics(sources(() => runtime));
  registerLimitMetrics(metrics.registry, () => runtime);
  registerCeilingMetrics(metrics.registry, () => runtime?.traffic);
  const { inspectHost: host, inspectPort: port, cniSocketPath: socketPath } = settings;
  await startInspectServer({ host, port, metrics, runtime: () => runtime });
  await using cni = await startCniServer({
    socketPath,
    handler: startingHandler(() => handler),
    checkNetns: netnsCheck(() => runtime?.panel.netns),
    signal,
    log,
    observe: ({ command, cniCode, durationMs }) =>
      metrics.cniCalls.observe({ command, code: String(cniCode) }, durationMs / 1_000),
  });
  using transport = openTransport({ urls: settings.netmasterUrls, tls: settings.tls });
  const client = createNodeClient(transport, settings.nodeName);
  void holdDaemonLock({
    runDirectory: settings.ovsRunDirectory,
    signal,
    report: (error) => log.warn({ error: error.message }, "cannot hold the lock that keeps cleanup away; trying again"),
  });
  await using driver = await openDriver({ settings, log, signal, onFollowed: transport.dropStale });
  await using opened = await openNodeRuntime({
    ...{ driver, client, settings, metrics, log, signal },
    cniFault: cni.fault,
  });
  runtime = opened;
  handler = createCniHandler(opened);
  await serve({ runtime: opened, settings, metrics, signal, transport }).catch((error: unknown) => {
    if (signal.aborted) throw error;
    log.fatal({ error: asNetError(error, "serve").message }, "netplugin ends");
    process.exit(1); // the loops of its parts end with the signal only: nobody must wait for them
  });
}

interface DriverOptions {
  readonly settings: NodeSettings;
  readonly log: Logger;
  readonly signal: AbortSignal;
  /** Addresses, routes or NICs of uplinks are others now. */
  readonly onFollowed: () => void;
}

function openDriver({ settings, log, signal, onFollowed }: DriverOptions): Promise<OpenOvsDriver> {
  return openOvsDriver({
    runDirectory: settings.ovsRunDirectory,
    datapath: settings.datapath,
    uplinks: settings.uplinks,
    allowDefaultRouteUplink: settings.allowDefaultRouteUplink,
    vxlanUdpPort: settings.vxlanUdpPort,
    cookie: COOKIE_OURS.cookie,
    cookieMask: COOKIE_OURS.mask,
    verifyUplink: (attempt) => reachNetmaster(settings.netmasterUrls, attempt),
    signal,
    report: (error) => log.warn({ code: error.code, error: error.message }, "switch"),
    onRepair: (found) => log.warn({ found }, "bridges, their ports or addresses were not as they should be; repaired"),
    onMirrors: (mirrors) =>
      log.warn({ mirrors }, "somebody mirrors packets of our bridges; the mirrors are left alone"),
    onFollowed: (changes) => {
      log.warn({ changes }, "addresses, routes or NICs of uplinks have changed; followed");
      onFollowed();
    },
  });
}

interface Service {
  readonly runtime: OpenNodeRuntime;
  readonly settings: NodeSettings;
  readonly metrics: Metrics;
  readonly transport: Transport;
  readonly signal: AbortSignal;
}

/** The loops of a node whose parts are up: presence, watch, bridges, regular comparison. Ends with the signal. */
async function serve(service: Service): Promise<void> {
  const { runtime, settings, metrics, signal } = service;
  keepBase(service);
  const capabilities = await probeCapabilities({
    connection: await connected(runtime, signal),
    netns: runtime.panel.netns,
    cookie: COOKIE_OURS.cookie,
  });
  runtime.limits.setCapabilities(capabilities);
  runtime.log.info({ capabilities, vtepIp: runtime.vtepIp() }, "this node's means");
  const report = startNodeReport({ runtime, nodeName: settings.nodeName, registry: metrics.registry, signal });
  const onFirstRegistration = (reply: RegisterReply) => void follow(service, reply);
  await Promise.all([
    keepPresent({ runtime, settings, capabilities, metrics, report, signal, onFirstRegistration }),
    compareRegularly(service),
  ]);
}

/** Bridges, tunnel port and uplinks are looked at when the switch has restarted or an uplink has changed, and now and then. */
function keepBase({ runtime, settings, signal }: Service): void {
  const { driver, flows, panelName, log } = runtime;
  const uplinkLog = new UplinkLog(driver, log);
  const announcer = new UplinkAnnouncer({ driver, runDirectory: settings.ovsRunDirectory, log, signal });
  let isChanged = false;
  const base = startTicketLoop({
    work: async () => {
      panelName.look();
      await driver.ensureBase();
      await announcer.look();
      uplinkLog.look();
      await runtime.tunnel.look();
      flows.loop.kick({ full: isChanged }); // a bridge whose fail mode or datapath changes loses its flows
      isChanged = false;
    },
    signal,
    report: (error) => log.error({ error: error.message }, "cannot set up bridges and uplinks; trying again"),
  });
  // Links that a switch made which is away are no faults; what is wrong in its database may be why it does not answer.
  const look = () => (driver.connected || !driver.isBaseThere() ? base.kick() : undefined);
  const timer = setInterval(look, BASE_LOOK_MS);
  signal.addEventListener("abort", () => clearInterval(timer), { once: true });
  driver.onChange((change) => {
    isChanged ||= change.base;
    if (change.resync || change.uplinks || change.base) base.kick();
  });
}

function follow({ runtime, settings, transport, signal }: Service, reply: RegisterReply): Promise<void> {
  return followWatch({
    transport,
    nodeName: settings.nodeName,
    idleTimeoutMs: reply.watchIdleTimeoutMs,
    signal,
    onStream: runtime.holder.beginStream,
    onMessages: runtime.holder.applyMessages,
    mayTakeParts: () => !runtime.holder.view().complete,
    report: (error) => runtime.log.warn({ code: error.code, error: error.message }, "watch"),
  });
}

function sources(runtime: () => OpenNodeRuntime | undefined) {
  return {
    flows: () => runtime()?.flows.reconciler.flowCount ?? 0,
    refusedObjects: () => runtime()?.flows.reconciler.refusedCount ?? 0,
    endpoints: () => runtime()?.attachments().size ?? 0,
    readyPorts: () => runtime()?.pool.size ?? 0,
    foreignFlows: () => runtime()?.foreignFlows.count() ?? 0,
    isConnected: () => runtime()?.driver.connected ?? false,
    enforcedRevision: () => runtime()?.flows.reconciler.enforcedRevision ?? 0n,
  };
}

async function connected(runtime: OpenNodeRuntime, signal: AbortSignal) {
  while (!runtime.driver.flowConnection.connected) await sleep(20, undefined, { signal });
  return runtime.driver.flowConnection.connection();
}

/** All flows, ports and links are compared now and then, whatever the events say. */
async function compareRegularly({ runtime, settings, signal }: Service): Promise<void> {
  while (!signal.aborted) {
    const pauseMs = settings.resyncIntervalMs * (0.9 + 0.2 * Math.random());
    await sleep(pauseMs, undefined, { signal }).catch(() => {}); // ends with the signal
    if (signal.aborted) return;
    runtime.flows.loop.kick({ full: true });
    runtime.infra.kick();
    runtime.attached.loop.kick();
    runtime.checksums.compare();
    runtime.limits.compare();
    runtime.stack.compare();
    runtime.foreignFlows.compare();
  }
}
