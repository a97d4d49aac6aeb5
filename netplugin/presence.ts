import { release as kernelRelease } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import type { Capabilities } from "../drivers/capabilities.ts";
import { asNetError } from "../state/errors.ts";
import type { NodeCondition, NodeRegistration } from "../state/kinds/node.ts";
import type { Heartbeat, RegisterReply } from "../state/node-api.ts";
import { VERSION } from "../state/version.ts";
import { bandwidthConditions } from "./bandwidth/inspect.ts";
import { routerMacOf } from "./machine-view.ts";
import type { Metrics } from "./metrics.ts";
import type { OpenNodeRuntime } from "./node-runtime.ts";
import type { NodeReport } from "./report/node-report.ts";
import { bootId, type NodeSettings } from "./settings.ts";

export interface PresenceOptions {
  readonly runtime: OpenNodeRuntime;
  readonly settings: NodeSettings;
  readonly capabilities: Capabilities;
  readonly metrics: Metrics;
  readonly report: NodeReport;
  readonly signal: AbortSignal;
  /** Registration has succeeded for the first time. */
  readonly onFirstRegistration: (reply: RegisterReply) => void;
}

const RETRY_MIN_MS = 100;
const RETRY_MAX_MS = 3_000;
const DEFAULT_UNDERLAY_MTU_BYTES = 1_500;

/**
 * Registers this node, then beats: regularly, and in between when the report calls for it; registers again when it has changed or
 * netmaster asks for it. Ends with the signal.
 */
export async function keepPresent(options: PresenceOptions): Promise<void> {
  const { runtime, signal } = options;
  const { bell } = options.report;
  let nextRegularMs = 0;
  let pauseMs = RETRY_MIN_MS;
  let known: string | undefined;
  let intervalMs = RETRY_MAX_MS;
  let first = true;
  while (!signal.aborted) {
    try {
      const registration = registrationOf(options);
      if (known !== JSON.stringify(registration)) {
        const reply = await runtime.client.register(registration, signal);
        known = JSON.stringify(registration);
        intervalMs = reply.heartbeatIntervalMs;
        runtime.setRegistered(true);
        if (first) options.onFirstRegistration(reply);
        first = false;
      }
      const reply = await beat(options, registration.bootId);
      intervalMs = reply.heartbeatIntervalMs;
      runtime.setNetmasterAway(undefined);
      if (!reply.registered) known = undefined;
      else if (performance.now() >= nextRegularMs) {
        nextRegularMs = performance.now() + intervalMs;
        await runtime.leases.repair(signal);
      }
      pauseMs = RETRY_MIN_MS;
      await bell.due(known === undefined ? RETRY_MIN_MS : Math.max(0, nextRegularMs - performance.now()), signal);
    } catch (thrown) {
      if (signal.aborted) return;
      options.metrics.heartbeatFailures.inc();
      const { message } = asNetError(thrown, "report to netmaster");
      runtime.setNetmasterAway(message);
      runtime.log.warn({ error: message }, "netmaster is not reached; trying again");
      await sleep(pauseMs * (0.5 + Math.random()), undefined, { signal }).catch(() => {}); // ends with the signal
      pauseMs = Math.min(pauseMs * 2, RETRY_MAX_MS);
    }
  }
}

/** One heartbeat. What was counted is told again until netmaster has taken it. */
async function beat({ runtime, report, signal }: PresenceOptions, bootId: string) {
  const hits = report.ledger.report();
  const heartbeat: Heartbeat = {
    bootId,
    conditions: conditionsOf({ runtime }),
    receipt: report.enforcement.receipt(),
    bandwidth: [...runtime.limits.nextReports()],
    ceilings: [...runtime.limits.nextCeilings()],
    ...(hits === undefined ? {} : { hits }),
  };
  const reply = await runtime.client.heartbeat(heartbeat, signal);
  if (reply.registered && hits !== undefined) report.ledger.acknowledge(hits.sequence);
  report.bell.setDelay(reply.receiptDelayMs);
  return reply;
}

function registrationOf({ runtime, settings, capabilities }: PresenceOptions): NodeRegistration {
  const uplinks = [...runtime.driver.uplinks().values()];
  const mtus = uplinks.map((uplink) => uplink.mtuBytes);
  return {
    name: settings.nodeName,
    vtepIp: runtime.vtepIp(),
    underlayMtuBytes: mtus.length === 0 ? DEFAULT_UNDERLAY_MTU_BYTES : Math.min(...mtus),
    physicalNetworks: Object.fromEntries(uplinks.map((uplink) => [uplink.alias, uplink.nic])),
    routerMac: routerMacOf(settings.nodeName),
    bootId: bootId(),
    version: VERSION,
    capabilities: {
      ...capabilities,
      datapathType: runtime.driver.datapathType,
      ovsVersion: runtime.driver.ovsVersion,
      kernelRelease: kernelRelease(),
    },
  };
}

/** What an admin must know of this node: cause and next step in each message. */
export function conditionsOf({ runtime }: Pick<PresenceOptions, "runtime">): NodeCondition[] {
  const { driver } = runtime;
  const conditions: NodeCondition[] = [
    driver.connected
      ? { type: "switch", status: "ok", message: `Open vSwitch ${driver.ovsVersion}, datapath ${driver.datapathType}` }
      : { type: "switch", status: "failed", message: "Open vSwitch does not answer; see that its daemons run" },
  ];
  for (const uplink of driver.uplinks().values()) {
    conditions.push({ type: `uplink/${uplink.alias}`, status: "ok", message: `${uplink.nic} in ${uplink.bridge}` });
  }
  for (const [alias, error] of driver.uplinkFailures()) {
    conditions.push({ type: `uplink/${alias}`, status: "failed", message: error.message });
  }
  const failures = runtime.flows.reconciler.failures();
  if (failures.size > 0) {
    const [[object, reason] = ["", ""]] = failures;
    const message = `${failures.size} objects cannot be enforced here, first ${object}: ${reason}`;
    conditions.push({ type: "enforcement", status: "degraded", message });
  }
  const unseen = runtime.flows.connections.failure();
  if (unseen !== undefined) {
    const message = `connections that are not allowed any more may go on while their sender is silent: ${unseen}`;
    conditions.push({ type: "connections", status: "degraded", message });
  }
  const open = driver.guard.fault();
  if (open !== undefined) {
    const message = `only sysctls keep pods' frames from this node's kernel: ${open}; see docs/operations.md, "Closed to the node's kernel"`;
    conditions.push({ type: "kernel-closed", status: "degraded", message });
  }
  const unlimited = runtime.connectionLimitFault();
  if (unlimited !== undefined) conditions.push({ type: "new-connections", status: "degraded", message: unlimited });
  return [
    ...conditions,
    ...runtime.attached.conditions(),
    ...runtime.infra.conditions(),
    ...bandwidthConditions(runtime.limits),
  ];
}
