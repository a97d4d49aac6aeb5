import { release as kernelRelease } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import type { Capabilities } from "../drivers/capabilities.ts";
import { asNetError } from "../state/errors.ts";
import type { NodeCondition, NodeRegistration } from "../state/kinds/node.ts";
import type { Receipt, RegisterReply } from "../state/node-api.ts";
import { VERSION } from "../state/version.ts";
import { bandwidthConditions } from "./bandwidth/inspect.ts";
import { routerMacOf } from "./machine-view.ts";
import type { Metrics } from "./metrics.ts";
import type { OpenNodeRuntime } from "./node-runtime.ts";
import { bootId, type NodeSettings } from "./settings.ts";

export interface PresenceOptions {
  readonly runtime: OpenNodeRuntime;
  readonly settings: NodeSettings;
  readonly capabilities: Capabilities;
  readonly metrics: Metrics;
  readonly signal: AbortSignal;
  /** Registration has succeeded for the first time. */
  readonly onFirstRegistration: (reply: RegisterReply) => void;
}

const RETRY_MIN_MS = 100;
const RETRY_MAX_MS = 3_000;
const DEFAULT_UNDERLAY_MTU_BYTES = 1_500;

/** Registers this node, then beats; registers again when it has changed or netmaster asks for it. Ends with the signal. */
export async function keepPresent(options: PresenceOptions): Promise<void> {
  const { runtime, signal } = options;
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
      const reply = await runtime.client.heartbeat(
        {
          bootId: registration.bootId,
          conditions: conditionsOf(options),
          receipt: receiptOf(runtime),
          bandwidth: [...runtime.limits.nextReports()],
        },
        signal,
      );
      intervalMs = reply.heartbeatIntervalMs;
      runtime.setNetmasterAway(undefined);
      if (!reply.registered) known = undefined;
      else await runtime.leases.repair(signal);
      pauseMs = RETRY_MIN_MS;
      await sleep(known === undefined ? RETRY_MIN_MS : intervalMs, undefined, { signal }).catch(() => {}); // ends with the signal
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
  return [...conditions, ...runtime.infra.conditions(), ...bandwidthConditions(runtime.limits)];
}

const RECEIPT_FAILURES_MAX = 100;

function receiptOf(runtime: OpenNodeRuntime): Receipt {
  const { reconciler } = runtime.flows;
  return {
    enforcedRevision: String(reconciler.enforcedRevision),
    enforcedAt: new Date().toISOString(),
    endpointCount: runtime.attachments().size,
    flowCount: reconciler.flowCount,
    failures: Object.fromEntries([...reconciler.failures()].slice(0, RECEIPT_FAILURES_MAX)),
  };
}
