import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import pino, { type Logger } from "pino";
import { probeCapabilities } from "../drivers/capabilities.ts";
import { openOvsDriver, removeEverything } from "../drivers/ovs/driver.ts";
import { asNetError, NetError } from "../state/errors.ts";
import { VERSION } from "../state/version.ts";
import { createCniHandler } from "./attach/cni-handler.ts";
import type { CniHandler } from "./cni/handler.ts";
import { startCniServer } from "./cni/server.ts";
import { COOKIE_OURS } from "./desired/pipeline.ts";
import { startInspectServer } from "./inspect-server.ts";
import { createMetrics, type Metrics } from "./metrics.ts";
import { createNodeClient } from "./node-client/node-client.ts";
import { openTransport } from "./node-client/transport.ts";
import { followWatch } from "./node-client/watch.ts";
import { type OpenNodeRuntime, openNodeRuntime } from "./node-runtime.ts";
import { keepPresent } from "./presence.ts";
import { startTicketLoop } from "./reconcile/ticket-loop.ts";
import { type NodeSettings, parseInvocation } from "./settings.ts";

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
  log.fatal({ error: asNetError(error, "start").message }, "netplugin ends");
  process.exit(1);
}

async function cleanup(settings: NodeSettings): Promise<void> {
  const removed = await removeEverything({ runDirectory: settings.ovsRunDirectory, panelNetns: settings.panelNetns });
  process.stdout.write(`removed: ${removed.join(", ") || "nothing was there"}\n`);
}

async function run(settings: NodeSettings, log: Logger, signal: AbortSignal): Promise<void> {
  log.info({ version: VERSION, node: settings.nodeName, pipeline: settings.pipelineGeneration }, "netplugin starts");
  let runtime: OpenNodeRuntime | undefined;
  let metrics: Metrics | undefined;
  let handler: CniHandler | undefined;
  await startInspectServer({
    host: settings.inspectHost,
    port: settings.inspectPort,
    metrics: () => metrics,
    runtime: () => runtime,
  });
  await using _cni = await startCniServer({
    socketPath: settings.cniSocketPath,
    handler: startingHandler(() => handler),
    signal,
    log,
    observe: ({ command, cniCode, durationMs }) =>
      metrics?.cniCalls.observe({ command, code: String(cniCode) }, durationMs / 1_000),
  });
  using transport = openTransport({ urls: settings.netmasterUrls, tls: settings.tls });
  const client = createNodeClient(transport, settings.nodeName);
  await using driver = await openOvsDriver({
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
  });
  const getMetrics = () => (metrics ??= createMetrics(sources(() => runtime)));
  await using opened = await openNodeRuntime({ driver, client, settings, metrics: getMetrics, log, signal });
  runtime = opened;
  getMetrics();
  const base = startTicketLoop({
    work: async () => {
      await driver.ensureBase();
      opened.loop.kick();
    },
    signal,
    report: (error) => log.error({ error: error.message }, "cannot set up bridges and uplinks; trying again"),
  });
  driver.onChange((change) => {
    if (change.resync || change.uplinks) base.kick();
  });
  handler = createCniHandler(opened);
  const capabilities = await probeCapabilities(await connected(opened, signal));
  log.info({ capabilities, vtepIp: opened.vtepIp() }, "this node's means");
  await Promise.all([
    keepPresent({
      runtime: opened,
      settings,
      capabilities,
      metrics: getMetrics(),
      signal,
      onFirstRegistration: (reply) => {
        void followWatch({
          transport,
          nodeName: settings.nodeName,
          idleTimeoutMs: reply.watchIdleTimeoutMs,
          signal,
          onStream: opened.beginStream,
          onMessages: opened.applyMessages,
          report: (error) => log.warn({ code: error.code, error: error.message }, "watch"),
        });
      },
    }),
    compareRegularly(opened, settings.resyncIntervalMs, base.kick, signal),
  ]);
}

/** Before the node's parts are up every call is told to come again; DEL and GC too, for nothing is known of the ports yet. */
function startingHandler(current: () => CniHandler | undefined): CniHandler {
  const ready = () => {
    const handler = current();
    if (handler !== undefined) return handler;
    throw new NetError("UNAVAILABLE", "netplugin is starting on this node: it waits for Open vSwitch");
  };
  return {
    add: async (request, signal) => ready().add(request, signal),
    del: async (request, signal) => ready().del(request, signal),
    check: async (request, signal) => ready().check(request, signal),
    gc: async (request, signal) => ready().gc(request, signal),
    status: async (request, signal) => ready().status(request, signal),
  };
}

function sources(runtime: () => OpenNodeRuntime | undefined) {
  return {
    flows: () => runtime()?.reconciler.flowCount ?? 0,
    endpoints: () => runtime()?.attachments().size ?? 0,
    readyPorts: () => runtime()?.pool.size ?? 0,
    isConnected: () => runtime()?.driver.connected ?? false,
    enforcedRevision: () => runtime()?.reconciler.enforcedRevision ?? 0n,
  };
}

async function connected(runtime: OpenNodeRuntime, signal: AbortSignal) {
  while (!runtime.driver.flowConnection.connected) await sleep(20, undefined, { signal });
  return runtime.driver.flowConnection.connection();
}

/** All flows, bridges and addresses are compared now and then, whatever the events say. */
async function compareRegularly(
  runtime: OpenNodeRuntime,
  intervalMs: number,
  kickBase: () => void,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    await sleep(intervalMs * (0.9 + 0.2 * Math.random()), undefined, { signal }).catch(() => {}); // ends with the signal
    if (signal.aborted) return;
    kickBase();
    runtime.loop.kick({ full: true });
    runtime.infra.kick();
  }
}

/** Any netmaster that accepts a connection proves that the node is reachable; with none known there is nothing to prove. */
async function reachNetmaster(urls: readonly string[], signal: AbortSignal): Promise<void> {
  const attempts = urls.map((url) => dialUntil(new URL(url), signal));
  await Promise.any(attempts).catch((error: AggregateError) => {
    throw new NetError("UNAVAILABLE", `No netmaster is reachable: ${error.errors.map(String).join("; ")}`);
  });
}

async function dialUntil(url: URL, signal: AbortSignal): Promise<void> {
  for (;;) {
    try {
      return await dial(url, signal);
    } catch (error) {
      signal.throwIfAborted();
      if ((error as NodeJS.ErrnoException).code === "ECONNREFUSED") return; // the host is there, its netmaster is not
      await sleep(200, undefined, { signal });
    }
  }
}

function dial(url: URL, signal: AbortSignal): Promise<void> {
  const port = url.port === "" ? (url.protocol === "https:" ? 443 : 80) : Number(url.port);
  return new Promise((resolve, reject) => {
    const socket = connect({ host: url.hostname.replace(/^\[|\]$/g, ""), port, timeout: 2_000 });
    const end = (act: () => void) => {
      socket.destroy();
      signal.removeEventListener("abort", onAbort);
      act();
    };
    const onAbort = () => end(() => reject(signal.reason));
    signal.addEventListener("abort", onAbort, { once: true });
    socket.once("connect", () => end(resolve));
    socket.once("timeout", () => end(() => reject(new Error("timed out"))));
    socket.once("error", (error) => end(() => reject(error)));
  });
}
