import type { Logger } from "pino";
import { asNetError, type NetError } from "../../state/errors.ts";
import { soundHeartbeat } from "../../state/heartbeat-parts.ts";
import type { NodeRegistration } from "../../state/kinds/node.ts";
import type { Heartbeat, HeartbeatReply, RegisterReply } from "../../state/node-api.ts";
import { BackOff } from "../../state/waiting/back-off.ts";
import type { NodeClient } from "../node-client/node-client.ts";
import { isAway, type Reachability } from "./reachability.ts";
import type { ReportTrigger } from "./report-trigger.ts";

/** What a heartbeat says besides who says it, and what is to be done when netmaster has taken it. */
export interface Message {
  readonly body: Omit<Heartbeat, "bootId" | "registrationMembers" | "settledEpoch">;
  readonly onTaken?: (reply: HeartbeatReply) => void;
}

export interface PresenceOptions {
  readonly bootId: string;
  readonly client: Pick<NodeClient, "register" | "heartbeat">;
  readonly reachability: Reachability;
  readonly trigger: ReportTrigger;
  readonly registration: () => Promise<NodeRegistration>;
  readonly message: () => Message;
  /** Attachments that are to be offered to a store of another epoch; undefined: there is nothing here to offer. */
  readonly offers?: { readonly isOpen: boolean; readonly settledEpoch: string | undefined } | undefined;
  /** What is to be done regularly while netmaster knows this node; what fails comes again. */
  readonly settle?: (signal: AbortSignal) => Promise<void>;
  /** Registration has succeeded for the first time. */
  readonly onFirstRegistration?: (reply: RegisterReply) => void;
  /** Netmaster was not reached, or refused. */
  readonly onFailure: () => void;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

const RETRY_MIN_MS = 100;
const RETRY_MAX_MS = 3_000;
/** For so long the kernel sends what a closed connection has not delivered (tcp_orphan_retries), and some more. */
const UNDER_WAY_MS = 120_000;
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
  /** Has the registration been said once more? */
  #isConfirmed = false;
  /** Until then an earlier registration, of which nothing was heard, may come in behind a later one. */
  #doubtUntilMs = 0;
  #nextRegularMs = 0;
  #intervalMs = RETRY_MAX_MS;
  readonly #backOff = new BackOff({ firstMs: RETRY_MIN_MS, maxMs: RETRY_MAX_MS });
  #refusal: string | undefined;
  /** The epoch of the store that netmaster has been told to be settled. */
  #toldEpoch: string | undefined;

  constructor(options: PresenceOptions) {
    this.#options = options;
  }

  async round(): Promise<void> {
    const { trigger, signal, onFailure, reachability } = this.#options;
    try {
      await this.#register();
      await this.#beat();
      this.#backOff.reset();
    } catch (thrown) {
      if (signal.aborted) return;
      onFailure();
      reachability.setReport(asNetError(thrown, "report to netmaster"));
      await trigger.due(this.#backOff.nextMs(), signal);
      return;
    }
    reachability.setReport(undefined);
    const { offers } = this.#options;
    const isOpen = offers?.isOpen === true;
    if (this.#accepted !== undefined && (isOpen || performance.now() >= this.#nextRegularMs)) await this.#regular();
    if (offers?.settledEpoch !== this.#toldEpoch) trigger.request();
    const hurryMs = this.#accepted === undefined ? RETRY_MIN_MS : OPEN_INTERVAL_MS;
    const isHurried = this.#accepted === undefined || offers?.isOpen === true;
    const waitMs = isHurried ? hurryMs : this.#nextRegularMs - performance.now();
    await trigger.due(Math.max(0, waitMs), signal).catch(() => {}); // ends with the signal
  }

  /** A changed registration that is refused does not silence a node that netmaster knows: its conditions say so. */
  async #register(): Promise<void> {
    const { client, reachability, registration, signal, onFirstRegistration } = this.#options;
    const isKnown = this.#accepted !== undefined;
    try {
      const told = await registration();
      const text = JSON.stringify(told);
      if (this.#accepted !== text) {
        const reply = await client.register(told, signal);
        this.#members = Object.keys(told);
        this.#accepted = text;
        this.#intervalMs = reply.heartbeatIntervalMs;
        reachability.setRegistered(true);
        if (this.#isFirst) onFirstRegistration?.(reply);
        this.#isFirst = false;
      }
      this.#refuse(undefined);
    } catch (thrown) {
      const error = asNetError(thrown, "register this node");
      if (isAway(error)) this.#doubtUntilMs = performance.now() + UNDER_WAY_MS;
      if (!isKnown || isAway(error)) throw error;
      this.#refuse(error);
    }
  }

  #refuse(error: NetError | undefined): void {
    const { reachability, log } = this.#options;
    reachability.setRegistrationFault(error?.message);
    if (error !== undefined && error.message !== this.#refusal) {
      log.warn(
        { code: error.code, error: error.message },
        "netmaster refuses the changed registration of this node; the earlier one stays valid",
      );
    }
    this.#refusal = error?.message;
  }

  /** What is faulty of a heartbeat is left out and told as a condition. */
  async #beat(): Promise<void> {
    const { bootId, client, trigger, message, offers, signal } = this.#options;
    const settledEpoch = offers?.settledEpoch;
    const { body, onTaken } = message();
    const heartbeat: Heartbeat = {
      ...{ bootId, registrationMembers: [...this.#members] },
      ...(settledEpoch === undefined ? {} : { settledEpoch }),
      ...body,
    };
    const reply = await client.heartbeat(soundHeartbeat(heartbeat) ?? heartbeat, signal);
    if (reply.registered) onTaken?.(reply);
    trigger.setDelay(reply.receiptDelayMs);
    this.#toldEpoch = settledEpoch;
    this.#intervalMs = reply.heartbeatIntervalMs;
    if (!reply.registered) this.#accepted = undefined;
  }

  /** What is not netmaster's fault is not told as such. */
  async #regular(): Promise<void> {
    const { log, settle, signal } = this.#options;
    this.#nextRegularMs = performance.now() + this.#intervalMs;
    const isDoubtful = !this.#isConfirmed || performance.now() < this.#doubtUntilMs;
    if (isDoubtful) this.#accepted = ""; // an earlier registration may have been under way still, and have come in later
    this.#isConfirmed = true;
    try {
      await settle?.(signal);
    } catch (thrown) {
      if (signal.aborted) return;
      const { code, message } = asNetError(thrown, "compare leases with ports");
      log.warn({ code, error: message }, "Leases and ports of this node could not be compared; netplugin tries again");
    }
  }
}
