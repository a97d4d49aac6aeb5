import type { Logger } from "pino";
import { asNetError } from "../../../state/errors.ts";
import { pause } from "../../../state/waiting/pause.ts";
import { linkSignals } from "../../../state/waiting/signals.ts";
import { type Attachment, attachmentOf, isOneLease, type MarkedPort, POD_ROLE } from "../../machine/attachment.ts";
import { markedLease, markOf } from "../../machine/lease-mark.ts";
import type { MarkedPorts } from "../../machine/port-marks.ts";
import type { KnownLeases } from "./known-leases.ts";

export interface LeaseMarksOptions {
  /** With their marks, by name. */
  readonly ports: () => ReadonlyMap<string, MarkedPort>;
  readonly known: Pick<KnownLeases, "of">;
  /** Without ports that are being closed: their marks are on their way out. */
  readonly attachments: () => ReadonlyMap<string, Attachment>;
  readonly write: MarkedPorts["mark"];
  readonly log: Logger;
}

type Mark = readonly [portName: string, externalIds: Readonly<Record<string, string>>];

/** What an ADD has to say to the switch waits behind so many at most. */
const BATCH_COUNT = 100;
/** A switch that does not answer must not keep this node from being heard. */
const PATIENCE_MS = 1_000;

/**
 * Writes into the marks of ports the epoch of the store in which their leases were seen last, when that has changed or a port was
 * plugged in again. The next run of this process knows by nothing else whether a lease was ended in that epoch, or is lost with an older one.
 */
export class LeaseMarks {
  readonly #options: LeaseMarksOptions;
  #underWay: Promise<void> | undefined;

  constructor(options: LeaseMarksOptions) {
    this.#options = options;
  }

  /** Waits a moment until they are written. What fails is told, and comes again with the next call. */
  async follow(signal: AbortSignal): Promise<void> {
    this.#underWay ??= this.#write(signal).finally(() => {
      this.#underWay = undefined;
    });
    const written = new AbortController();
    void this.#underWay.then(() => written.abort());
    using either = linkSignals(signal, written.signal);
    await pause(PATIENCE_MS, either.signal);
    signal.throwIfAborted();
  }

  async #write(signal: AbortSignal): Promise<void> {
    const { attachments, write, log } = this.#options;
    const keys = [...attachments()].flatMap(([key, attachment]) => (this.#outdated(attachment) ? [key] : []));
    try {
      for (let first = 0; first < keys.length && !signal.aborted; first += BATCH_COUNT) {
        const present = keys.slice(first, first + BATCH_COUNT).map((key) => attachments().get(key));
        const marks = new Map(present.flatMap((attachment) => this.#outdated(attachment) ?? []));
        for (const failure of (await write(marks)).values()) throw failure;
      }
    } catch (thrown) {
      const { message } = asNetError(thrown, "mark ports with their leases");
      log.warn({ error: message }, "Ports cannot be marked with the epoch of the store; netplugin tries again");
    }
  }

  /** The mark that the port should have, where it has another. */
  #outdated(attachment: Attachment | undefined): [Mark] | undefined {
    const { ports, known } = this.#options;
    const port = ports().get(attachment?.portName ?? "");
    if (attachment?.role !== POD_ROLE || port === undefined) return undefined;
    const [shown, lease] = [attachmentOf(port), known.of(attachment)];
    if (shown === undefined || !isOneLease(shown, attachment) || lease === undefined) return undefined;
    // Without epoch (a netmaster of an earlier release) nothing newer is known than what stands there.
    if (lease.storeEpoch === "" || markedLease(port.externalIds)?.storeEpoch === lease.storeEpoch) return undefined;
    return [[port.name, { ...port.externalIds, ...markOf(lease) }]];
  }
}
