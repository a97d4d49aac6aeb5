import type { Logger } from "pino";
import type { Counter } from "prom-client";
import { asNetError, type NetError } from "../../../state/errors.ts";
import { compareLeases } from "../../desired/leases.ts";
import { type Attachment, parseEpoch } from "../../machine/attachment.ts";
import type { EndedLeases } from "../../machine/ended-leases.ts";
import type { NodeClient } from "../../node-client/node-client.ts";
import { recordOf } from "../../view/query.ts";
import type { ViewHolder } from "../../view/view-holder.ts";
import { GatheredReleases } from "./gathered-releases.ts";
import type { KnownLeases } from "./known-leases.ts";
import type { LeaseMarks } from "./lease-marks.ts";
import type { LeaseOffers } from "./lease-offers.ts";

export interface LeaseKeeperOptions {
  readonly nodeName: string;
  readonly holder: ViewHolder;
  readonly client: Pick<NodeClient, "releaseEndpoints">;
  readonly offers: LeaseOffers;
  readonly known: Pick<KnownLeases, "keep">;
  readonly marks: Pick<LeaseMarks, "follow">;
  readonly ended: EndedLeases;
  readonly attachments: () => ReadonlyMap<string, Attachment>;
  /** False until the kernel has been asked: an endpoint without port in the switch may still have a pod. */
  readonly isKernelKnown: () => boolean;
  readonly closePort: (portName: string) => void;
  /** Waits until the switch has what the view says. */
  readonly enforced: (signal: AbortSignal) => Promise<void>;
  /** Counts what had to be repaired. */
  readonly repairs: Pick<Counter<"kind">, "inc">;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

export interface Lease {
  readonly key: string;
  readonly epoch: string;
}

/** Ends leases, now or when netmaster is back, and brings leases and ports into agreement. */
export interface LeaseKeeper {
  /** An ADD of this endpoint is under way: its lease is no orphan although it has no port yet. */
  pending(endpointKey: string): Disposable;
  isPending(endpointKey: string): boolean;
  /** Tells netmaster; with netmaster away it is told later (`repair`). */
  release(lease: Lease, signal: AbortSignal): Promise<void>;
  /** Tells netmaster a moment later, with others. False: tell it now, for this cannot be remembered across a restart. */
  releaseSoon(lease: Lease): boolean;
  /**
   * Netmaster has been told of the ends of leases that wait, of these endpoints where some are given. A lease of theirs whose DEL has been
   * answered by an earlier run is among it: an ADD would get it again, and then two places would be of one lease.
   */
  told(endpointKeys?: readonly string[]): Promise<void>;
  /** An ADD has been given this lease, perhaps again. */
  taken(lease: Lease): void;
  /** Takes a lease out of the view and tells netmaster. */
  end(lease: Lease, signal: AbortSignal): Promise<void>;
  /** Ends the lease of an endpoint that has no port here, if the store homes it on this node. */
  endUnattached(endpointKey: string, signal: AbortSignal): Promise<void>;
  /**
   * Releases leases without port, offers the ports that a restored store has no lease for, closes those whose lease was ended, marks the
   * others with the store's epoch, releases again what netmaster has not heard of.
   */
  repair(signal: AbortSignal): Promise<void>;
}

export function createLeaseKeeper(options: LeaseKeeperOptions): LeaseKeeper {
  const { holder, log } = options;
  const adding = new Map<string, number>();

  const gathered = new GatheredReleases({
    signal: options.signal,
    release: (leases) => releaseAll(leases, options.signal).catch((thrown: unknown) => reportLate(leases, thrown)),
  });

  async function releaseAll(leases: readonly Lease[], signal: AbortSignal): Promise<void> {
    try {
      const ended = leases.map(({ key, epoch }) => ({ key, epoch: parseEpoch(epoch) }));
      await options.client.releaseEndpoints(ended, signal);
    } catch (thrown) {
      const error = asNetError(thrown, `release ${namesOf(leases)}`);
      if (!isAway(error)) throw error;
      log.info(
        { endpoint: namesOf(leases), error: error.message },
        "No netmaster answers; the lease is released later",
      );
    }
  }

  function reportLate(leases: readonly Lease[], thrown: unknown): void {
    if (options.signal.aborted) return;
    const { message } = asNetError(thrown, `release ${namesOf(leases)}`);
    const text = "Netmaster refuses to end the lease of a pod that is gone; the next comparison of leases tries again";
    log.warn({ endpoint: namesOf(leases), error: message }, text);
  }

  const release = (lease: Lease, signal: AbortSignal) => releaseAll([lease], signal);

  async function end(lease: Lease, signal: AbortSignal): Promise<void> {
    holder.releaseEarly(lease.key, lease.epoch);
    await release(lease, signal);
  }

  function differences() {
    const pending = new Set(adding.keys());
    const { nodeName } = options;
    return compareLeases({ view: holder.view(), nodeName, attachments: options.attachments(), pending });
  }

  async function repair(signal: AbortSignal): Promise<void> {
    if (!options.isKernelKnown()) return;
    const { orphans, ...open } = differences();
    options.known.keep(
      (key) => options.attachments().has(key) || recordOf(holder.view(), "endpoint", key) !== undefined,
    );
    for (const attachment of await options.offers.settle(open, signal)) {
      log.warn(
        { endpoint: attachment.endpointKey, port: attachment.portName },
        "The lease of a port has ended; the port is removed",
      );
      options.repairs.inc({ kind: "closed-port" });
      options.closePort(attachment.portName);
    }
    await options.marks.follow(signal);
    for (const endpoint of orphans) {
      log.warn({ endpoint: endpoint.key, ipv4: endpoint.ipv4 }, "A lease has no port on this node; it is released");
      options.repairs.inc({ kind: "released-lease" });
      holder.releaseEarly(endpoint.key, endpoint.epoch);
    }
    if (orphans.length > 0) await options.enforced(signal);
    for (const [key, held] of holder.view().released.toArray()) {
      const isOthers = adding.has(key) || gathered.holds(key); // an ADD may be about to take the lease up again
      if (!isOthers) gathered.add({ key, epoch: held.record.epoch });
    }
    await gathered.flush();
  }

  async function told(endpointKeys?: readonly string[]): Promise<void> {
    if (endpointKeys === undefined) return gathered.flush();
    for (const lease of options.ended.all())
      if (endpointKeys.includes(lease.key) && !gathered.holds(lease.key)) gathered.add(lease);
    if (endpointKeys.some((key) => gathered.holds(key))) await gathered.flush();
  }

  return {
    pending: (endpointKey) => {
      adding.set(endpointKey, (adding.get(endpointKey) ?? 0) + 1);
      return {
        [Symbol.dispose]: () => {
          const left = (adding.get(endpointKey) ?? 1) - 1;
          if (left > 0) adding.set(endpointKey, left);
          else adding.delete(endpointKey);
        },
      };
    },
    isPending: (endpointKey) => adding.has(endpointKey),
    release,
    releaseSoon: (lease) => {
      if (!options.ended.add(lease)) return false;
      gathered.add(lease);
      return true;
    },
    taken: (lease) => options.ended.remove(lease),
    told,
    end,
    endUnattached: async (endpointKey, signal) => {
      const endpoint = recordOf(holder.view(), "endpoint", endpointKey);
      if (endpoint?.nodeName === options.nodeName) await end(endpoint, signal);
    },
    repair,
  };
}

function namesOf(leases: readonly Lease[]): string {
  const [first] = leases;
  return `${first?.key}${leases.length > 1 ? ` and ${leases.length - 1} more` : ""}`;
}

function isAway({ code }: NetError): boolean {
  return code === "UNAVAILABLE" || code === "TIMEOUT" || code === "CLOSED";
}
