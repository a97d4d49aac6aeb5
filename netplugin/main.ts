import { rm } from "node:fs/promises";
import pino, { type Logger } from "pino";
import { holdDaemonLock, isDaemonRunning } from "../drivers/ovs/daemon-lock.ts";
import { uplinkBridgeName } from "../drivers/ovs/names.ts";
import { removeEverything } from "../drivers/ovs/switch.ts";
import { giveBackUplink } from "../drivers/ovs/uplinks/give-back.ts";
import { isConfigured } from "../drivers/ovs/uplinks/left-over.ts";
import { type CertificateFile, Certificates } from "../state/certificates.ts";
import { DAEMON_LOG } from "../state/daemon-log.ts";
import { asNetError, NetError } from "../state/errors.ts";
import { boundNameLookups } from "../state/name-lookup.ts";
import { VERSION } from "../state/version.ts";
import { createCniHandler } from "./attach/cni-handler.ts";
import { undoUnfinished } from "./attach/detach.ts";
import { startingHandler } from "./attach/starting-handler.ts";
import { unfinishedDirectoryOf } from "./attach/unfinished-calls.ts";
import type { CniHandler } from "./cni/handler.ts";
import { netnsCheck } from "./cni/netns.ts";
import { startCniServer } from "./cni/server.ts";
import { isAnswering } from "./cni/socket-file.ts";
import { recordsDirectoryOf } from "./machine/attachment-records.ts";
import { endedDirectoryOf } from "./machine/ended-leases.ts";
import { awaitSwitch, WaitingNode } from "./node/await-switch.ts";
import { type Node, openNode } from "./node/node.ts";
import { serve } from "./node/serve.ts";
import { createNodeClient } from "./node-client/node-client.ts";
import { openTransport } from "./node-client/transport.ts";
import { startInspectServer } from "./report/inspect/inspect-server.ts";
import { registerCeilingMetrics } from "./report/metrics/ceiling-metrics.ts";
import { registerLimitMetrics } from "./report/metrics/limit-metrics.ts";
import { createMetrics } from "./report/metrics/metrics.ts";
import { createReachability } from "./report/reachability.ts";
import { NodeReadiness } from "./report/readiness.ts";
import type { ToldNode } from "./report/told-node.ts";
import { type Invocation, type NodeSettings, parseInvocation } from "./settings.ts";

const invocation = parseInvocation(process.argv);
const log = pino({ ...DAEMON_LOG, level: invocation.settings.logLevel, base: { component: "netplugin" } });
const ending = new AbortController();
for (const name of ["SIGTERM", "SIGINT"] as const) process.once(name, () => ending.abort());
process.on("unhandledRejection", (reason) => {
  log.fatal(
    { error: asNetError(reason, "go on").message, stack: (reason as Error)?.stack },
    "netplugin ends because of a defect",
  );
  process.exit(70);
});

try {
  if (invocation.command === "cleanup") await cleanup(invocation);
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

async function cleanup({ settings, onlyUplink }: Invocation): Promise<void> {
  if (onlyUplink !== undefined) return await cleanUplink(onlyUplink, settings);
  await refuseWhileRunning(settings);
  const removed = await removeEverything({ runDirectory: settings.ovsRunDirectory, panelNetns: settings.panelNetns });
  for (const directory of [recordsDirectoryOf, unfinishedDirectoryOf, endedDirectoryOf]) {
    await rm(directory(settings.cniSocketPath), { recursive: true, force: true });
  }
  process.stdout.write(`removed: ${removed.join(", ") || "nothing was there"}\n`);
}

/** A daemon that runs does it itself, between its own looks at uplinks. */
async function cleanUplink(nic: string, settings: NodeSettings): Promise<void> {
  const configured = settings.uplinks.find((each) => each.nic === nic);
  if (configured !== undefined)
    throw new NetError("CONFLICT", `Cannot give NIC "${nic}" back: ${isConfigured(configured)}; nothing was changed`);
  const { ovsRunDirectory: runDirectory, vxlanUdpPort } = settings;
  const isRunning = (await signOfDaemon(settings)) !== undefined;
  const found = await giveBackUplink(nic, { runDirectory, vxlanUdpPort, isDaemonRunning: isRunning });
  process.stdout.write(`removed: ${uplinkBridgeName(nic)}; ${found}\n`);
}

/** A daemon that runs would make everything again, and might take the uplinks over while they are being given back. */
async function refuseWhileRunning(settings: NodeSettings): Promise<void> {
  const sign = await signOfDaemon(settings);
  if (sign === undefined) return;
  const message = `Cannot clean up: netplugin runs on this node (${sign}); nothing was changed. Stop it first (systemctl stop contiv-netplugin), then run cleanup again`;
  throw new NetError("CONFLICT", message, { reason: "netplugin-runs" });
}

async function signOfDaemon({ cniSocketPath, ovsRunDirectory }: NodeSettings): Promise<string | undefined> {
  if (await isAnswering(cniSocketPath)) return `something answers on its CNI socket ${cniSocketPath}`;
  if (await isDaemonRunning(ovsRunDirectory)) return `it holds its lock in the switch database of ${ovsRunDirectory}`;
  return undefined;
}

async function run(settings: NodeSettings, log: Logger, signal: AbortSignal): Promise<void> {
  boundNameLookups(process.env);
  log.info({ version: VERSION, node: settings.nodeName, pipeline: settings.pipelineGeneration }, "netplugin starts");
  let node: Node | undefined;
  let handler: CniHandler | undefined;
  const reachability = createReachability({ log, onChange: () => readiness.request() });
  const readiness = new NodeReadiness({ log, reachability });
  const metrics = createMetrics({ ...sources(() => node?.told), readyState: () => readiness.current().state });
  const certificates = new Certificates(certificatesOf(settings), { daemon: "netplugin" });
  certificates.register(metrics.registry, "contiv_netplugin_");
  registerLimitMetrics(metrics.registry, () => node?.told);
  registerCeilingMetrics(metrics.registry, () => node?.told.traffic);
  const { inspectHost: host, inspectPort: port, cniSocketPath: socketPath } = settings;
  await startInspectServer({ host, port, metrics, readiness: () => readiness.current(), node: () => node?.told });
  await using cni = await startCniServer({
    socketPath,
    handler: startingHandler(
      () => handler,
      () => readiness.whyNotReady(),
    ),
    checkNetns: netnsCheck(() => node?.panel.netns),
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
    report: (error) =>
      log.warn(
        { error: error.message },
        "The lock that refuses netplugin cleanup cannot be held; netplugin tries again",
      ),
  });
  const onFailure = () => metrics.heartbeatFailures.inc();
  const waitingParts = { settings, client, reachability, readiness, onFailure, log, signal };
  await using waiting = new WaitingNode(waitingParts);
  await using ovs = await awaitSwitch({ ...waitingParts, onFollowed: transport.dropStale }, waiting);
  readiness.step("taking over the ports and flows that are there");
  await using opened = await openNode({
    ...{ ovs, client, settings, metrics, reachability, readiness, certificates, log, signal },
    cniFault: cni.fault,
  });
  node = opened;
  await undoUnfinished(opened.attaching, signal);
  handler = createCniHandler(opened.attaching);
  await serve({ node: opened, waiting, settings, metrics, signal, transport }).catch((error: unknown) => {
    if (signal.aborted) throw error;
    log.fatal({ error: asNetError(error, "serve").message }, "netplugin ends");
    process.exit(1); // the loops of its parts end with the signal only: nobody must wait for them
  });
}

function certificatesOf({ tls }: NodeSettings): readonly CertificateFile[] {
  if (tls === undefined) return [];
  return [
    { purpose: "node", file: tls.certFile },
    { purpose: "nodes-ca", file: tls.caFile },
  ];
}

function sources(told: () => ToldNode | undefined) {
  return {
    flows: () => told()?.flows.reconciler.flowCount ?? 0,
    refusedObjects: () => told()?.flows.reconciler.refusedCount ?? 0,
    endpoints: () => told()?.attachments().size ?? 0,
    readyPorts: () => told()?.readyPorts() ?? 0,
    foreignFlows: () => told()?.foreignFlows.count() ?? 0,
    isConnected: () => told()?.ovs.connected ?? false,
    enforcedRevision: () => told()?.flows.connections.inForce.revision ?? 0n,
  };
}
