import type { Logger } from "pino";
import { asNetError, type NetError } from "../../../state/errors.ts";
import type { EndpointRecord } from "../../../state/kinds/endpoint.ts";
import type { NodeCondition } from "../../../state/kinds/node.ts";
import type { LeaseDifferences } from "../../desired/leases.ts";
import type { Attachment } from "../../machine/attachment.ts";
import type { KnownLease } from "../../machine/lease-mark.ts";
import type { NodeClient } from "../../node-client/node-client.ts";
import type { ViewHolder } from "../../view/view-holder.ts";
import type { KnownLeases } from "./known-leases.ts";

export interface LeaseOffersOptions {
  readonly holder: Pick<ViewHolder, "view" | "applyReply">;
  readonly client: Pick<NodeClient, "offerEndpoint">;
  readonly known: Pick<KnownLeases, "of">;
  readonly log: Logger;
}

/** A pod that lives and has no lease: its port stays, and has no flows. */
interface Refused {
  readonly attachment: Attachment;
  readonly endpoint: EndpointRecord | undefined;
  readonly reason: string;
}

type OpenLeases = Pick<LeaseDifferences, "unleased" | "underWayCount">;

type Answer = { readonly is: "taken" | "unanswered" } | { readonly is: "refused"; readonly reason: string };

const NOT_KNOWN = "what was leased to it is not known on this node any more";

/**
 * Offers the attachments that the store lacks because it was restored or replaced. What is taken back goes on; what is refused stays closed,
 * is told, and is offered again now and then. What the store lacks and had before in this same epoch was taken away on purpose.
 */
export class LeaseOffers {
  readonly #options: LeaseOffersOptions;
  /** By endpoint key. */
  #refused: ReadonlyMap<string, Refused> = new Map();
  #settledEpoch: string | undefined;

  constructor(options: LeaseOffersOptions) {
    this.#options = options;
  }

  /** The last epoch of the store in which everything was offered and answered. */
  get settledEpoch(): string | undefined {
    return this.#settledEpoch;
  }

  /** Is there something to offer, or to say, in this epoch? */
  get isOpen(): boolean {
    return this.#settledEpoch !== this.#options.holder.view().epoch;
  }

  /** Offers what can be. The result are those whose leases have ended on purpose. */
  async settle({ unleased, underWayCount }: OpenLeases, signal: AbortSignal): Promise<readonly Attachment[]> {
    const { holder, known } = this.#options;
    const { complete, epoch } = holder.view();
    if (!complete || epoch === undefined) return unleased;
    const [ended, refused] = [[] as Attachment[], new Map<string, Refused>()];
    let [isAnswered, takenCount] = [underWayCount === 0, 0];
    for (const attachment of unleased) {
      const lease = known.of(attachment);
      if (lease?.storeEpoch === epoch) {
        ended.push(attachment);
        continue;
      }
      const answer = await this.#offer(lease, signal);
      if (answer.is === "taken") takenCount += 1;
      if (answer.is === "unanswered") isAnswered = false;
      if (answer.is === "refused") {
        refused.set(attachment.endpointKey, { attachment, endpoint: lease?.endpoint, reason: answer.reason });
      }
    }
    this.#tell(refused, takenCount);
    this.#refused = refused;
    if (isAnswered && holder.view().epoch === epoch) this.#settledEpoch = epoch;
    return ended;
  }

  conditions(): readonly NodeCondition[] {
    const [first] = this.#refused.values();
    if (first === undefined) return [];
    const message = `${this.#refused.size} pods are closed: the store was restored or replaced, does not have their leases and refuses them, the first is ${describe(first)}; delete these pods so that they are attached again, or correct the cause`;
    return [{ type: "leases", status: "failed", message }];
  }

  async #offer(lease: KnownLease | undefined, signal: AbortSignal): Promise<Answer> {
    if (lease === undefined) return { is: "refused", reason: NOT_KNOWN };
    const { endpoint, given } = lease;
    const offer = { endpoint, ...(given === undefined ? {} : { given }) };
    try {
      this.#options.holder.applyReply(await this.#options.client.offerEndpoint(offer, signal));
      return { is: "taken" };
    } catch (thrown) {
      signal.throwIfAborted();
      const error = asNetError(thrown, `offer ${endpoint.key}`);
      return mayChange(error) ? { is: "unanswered" } : { is: "refused", reason: error.message };
    }
  }

  #tell(refused: ReadonlyMap<string, Refused>, takenCount: number): void {
    const { log } = this.#options;
    if (takenCount > 0) log.info({ count: takenCount }, "The store had lost leases of living pods; it has them again");
    for (const [key, each] of refused) {
      if (this.#refused.get(key)?.reason === each.reason) continue;
      const { port, reason } = { port: each.attachment.portName, reason: each.reason };
      const address = each.endpoint?.ipv4;
      log.error({ endpoint: key, port, address, reason }, "A living pod is cut off: the store refuses its lease");
    }
  }
}

function describe({ attachment, endpoint, reason }: Refused): string {
  if (endpoint === undefined) return `${attachment.endpointKey}: ${reason}`;
  const { podNamespace, podName, key, ipv4, ipv6, tenantName, networkName } = endpoint;
  const name = podName === "" ? key : `${podNamespace}/${podName} (${key})`;
  const addresses = [ipv4, ...(ipv6 === undefined ? [] : [ipv6])].join(" and ");
  return `${name} with ${addresses} in ${tenantName}:${networkName}: ${reason}`;
}

/** Netmaster is away, or has not registered this node yet. */
function mayChange({ code, reason }: NetError): boolean {
  return code === "UNAVAILABLE" || code === "TIMEOUT" || code === "CLOSED" || reason === "node-not-registered";
}
