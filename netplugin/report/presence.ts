import { asNetError, type NetError } from "../../state/errors.ts";
import { soundHeartbeat } from "../../state/heartbeat-parts.ts";
import type { NodeRegistration } from "../../state/kinds/node.ts";
import type { Heartbeat, RegisterReply } from "../../state/node-api.ts";
import { BackOff } from "../../state/waiting/back-off.ts";
import type { Capabilities } from "../machine/capabilities.ts";
import type { OpenNodeRuntime } from "../node.ts";
import { bootId, type NodeSettings } from "../settings.ts";
import { conditionsOf } from "./conditions.ts";
import type { Metrics } from "./metrics/metrics.ts";
import type { NodeReport } from "./node-report.ts";
import { registrationOf } from "./registration.ts";

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
/** While attachments are to be offered to a store of another epoch. */
const OPEN_INTERVAL_MS = 250;

/**
 * Registers this node, then beats: regularly, and in between when the report calls for it; registers again when it has changed or
 * netmaster asks for it. Ends with the signal.
 */
export async function keepPresent(options: PresenceOptions): Promise<void> {
  const presence = new Presence(options);
  while (!options.signal.aborted) await presence.round();
}

/** What a node has told of itself, and what became of it. */
class Presence {
  readonly #options: PresenceOptions;
  /** The registration that netmaster has taken; undefined: none, or it has forgotten this node. */
  #accepted: string | undefined;
  /** Names of the members that it had. */
  #members: readonly string[] = [];
  #isFirst = true;
  #nextRegularMs = 0;
  #intervalMs = RETRY_MAX_MS;
  readonly #backOff = new BackOff({ firstMs: RETRY_MIN_MS, maxMs: RETRY_MAX_MS });
  #refusal: string | undefined;
  #trouble: string | undefined;
  /** The epoch of the store that netmaster has been told to be settled. */
  #toldEpoch: string | undefined;

  constructor(options: PresenceOptions) {
    this.#options = options;
  }

  async round(): Promise<void> {
    const { report, signal, metrics } = this.#options;
    try {
      await this.#register();
      await this.#beat();
      this.#backOff.reset();
    } catch (thrown) {
      if (signal.aborted) return;
      metrics.heartbeatFailures.inc();
      this.#note(asNetError(thrown, "report to netmaster"));
      await report.bell.due(this.#backOff.nextMs(), signal);
      return;
    }
    this.#noteWell();
    const { offers } = this.#options.runtime;
    if (this.#accepted !== undefined && (offers.isOpen || performance.now() >= this.#nextRegularMs))
      await this.#regular();
    if (offers.settledEpoch !== this.#toldEpoch) report.bell.ring();
    const hurryMs = this.#accepted === undefined ? RETRY_MIN_MS : OPEN_INTERVAL_MS;
    const isHurried = this.#accepted === undefined || offers.isOpen;
    const waitMs = isHurried ? hurryMs : this.#nextRegularMs - performance.now();
    await report.bell.due(Math.max(0, waitMs), signal).catch(() => {}); // ends with the signal
  }

  /** A changed registration that is refused does not silence a node that netmaster knows: its conditions say so. */
  async #register(): Promise<void> {
    const { runtime, signal, onFirstRegistration } = this.#options;
    const isKnown = this.#accepted !== undefined;
    try {
      const told = registration(this.#options, await runtime.vtep.registrable());
      const text = JSON.stringify(told);
      if (this.#accepted !== text) {
        const reply = await runtime.client.register(told, signal);
        this.#members = Object.keys(told);
        this.#accepted = text;
        this.#intervalMs = reply.heartbeatIntervalMs;
        runtime.setRegistered(true);
        if (this.#isFirst) onFirstRegistration(reply);
        this.#isFirst = false;
      }
      this.#refuse(undefined);
    } catch (thrown) {
      const error = asNetError(thrown, "register this node");
      if (!isKnown || isAway(error)) throw error;
      this.#refuse(error);
    }
  }

  #refuse(error: NetError | undefined): void {
    const { runtime } = this.#options;
    runtime.setRegistrationFault(error?.message);
    if (error !== undefined && error.message !== this.#refusal) {
      runtime.log.warn({ code: error.code, error: error.message }, "what has changed on this node is not registered");
    }
    this.#refusal = error?.message;
  }

  async #beat(): Promise<void> {
    const { settledEpoch } = this.#options.runtime.offers;
    const reply = await beat(this.#options, { settledEpoch, registrationMembers: [...this.#members] });
    this.#toldEpoch = settledEpoch;
    this.#intervalMs = reply.heartbeatIntervalMs;
    if (!reply.registered) this.#accepted = undefined;
  }

  /** What is not netmaster's fault is not told as such. */
  async #regular(): Promise<void> {
    const { runtime, signal } = this.#options;
    this.#nextRegularMs = performance.now() + this.#intervalMs;
    try {
      await runtime.leases.repair(signal);
    } catch (thrown) {
      if (signal.aborted) return;
      const { code, message } = asNetError(thrown, "compare leases with ports");
      runtime.log.warn({ code, error: message }, "leases and ports are not in agreement; trying again");
    }
  }

  /** One line when something begins to be wrong, not one for each attempt. */
  #note(error: NetError): void {
    const { runtime } = this.#options;
    runtime.setNetmasterAway(error.message);
    const text = isAway(error) ? "netmaster is not reached" : "this node cannot be registered";
    if (this.#trouble === text + error.message) return;
    this.#trouble = text + error.message;
    runtime.log.warn({ code: error.code, error: error.message }, `${text}; trying again`);
  }

  #noteWell(): void {
    const { runtime } = this.#options;
    runtime.setNetmasterAway(undefined);
    if (this.#trouble !== undefined) runtime.log.info("netmaster has this node's report again");
    this.#trouble = undefined;
  }
}

/** No netmaster gave an answer of its own; every other error is one, or is found out here. */
function isAway({ code }: NetError): boolean {
  return code === "UNAVAILABLE" || code === "TIMEOUT" || code === "CLOSED";
}

interface Told {
  readonly settledEpoch: string | undefined;
  readonly registrationMembers: string[];
}

/** One heartbeat. What was counted is told again until netmaster has taken it; what is faulty is left out and told as a condition. */
async function beat({ runtime, report, signal }: PresenceOptions, { settledEpoch, registrationMembers }: Told) {
  const hits = report.ledger.report();
  const heartbeat: Heartbeat = {
    bootId: bootId(),
    registrationMembers,
    ...(settledEpoch === undefined ? {} : { settledEpoch }),
    conditions: conditionsOf(runtime),
    receipt: report.enforcement.receipt(),
    bandwidth: [...runtime.traffic.nextReports()],
    ceilings: [...runtime.traffic.nextCeilings()],
    ...(hits === undefined ? {} : { hits }),
  };
  const reply = await runtime.client.heartbeat(soundHeartbeat(heartbeat) ?? heartbeat, signal);
  if (reply.registered && hits !== undefined) report.ledger.acknowledge(hits.sequence);
  report.bell.setDelay(reply.receiptDelayMs);
  return reply;
}

function registration({ runtime, settings, capabilities }: PresenceOptions, vtepIp: string): NodeRegistration {
  const { driver } = runtime;
  return registrationOf({
    nodeName: settings.nodeName,
    bootId: bootId(),
    vtepIp,
    uplinks: driver.uplinks().values(),
    probed: capabilities,
    seenSwitch: { datapathType: driver.datapathType, ovsVersion: driver.ovsVersion },
    switchFault: driver.fault(),
  });
}
