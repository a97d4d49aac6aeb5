import type { Logger } from "pino";
import type { Counter } from "prom-client";
import type { SocketPool } from "../../../drivers/netlink/pool.ts";
import { type LinkPair, readPairs } from "../../../drivers/ovs/pod-ports/link-pairs.ts";
import { asNetError } from "../../../state/errors.ts";
import type { NodeCondition } from "../../../state/kinds/node.ts";
import { type Attachment, POD_ROLE } from "../../machine/attachment.ts";
import type { MachineView } from "../../machine/machine-view.ts";
import { recordOf } from "../../view/query.ts";
import type { LeaseKeeper } from "../leases/lease-keeper.ts";
import { giveNewInterface, type NewInterfaceParts } from "./new-interface.ts";
import { farEndsInUse, isPairThere, type PodEndFault, podEndFault } from "./pod-ends.ts";

export interface PodEndKeeperOptions extends NewInterfaceParts {
  /** Sockets in the node's namespace. */
  readonly netlink: SocketPool;
  readonly machine: Pick<MachineView, "attachments">;
  readonly leases: () => Pick<LeaseKeeper, "pending" | "isPending">;
  /** The host has started anew since the ports were plugged in. */
  readonly hasRebooted: boolean;
  /** A pod has another port: what hangs on its number wants a look. */
  readonly onPluggedIn: () => void;
  /** Counts what had to be repaired. */
  readonly repairs: Pick<Counter<"kind">, "inc">;
  readonly log: Logger;
}

interface Suspicion {
  readonly attachment: Attachment;
  readonly sinceMs: number;
  readonly fault: PodEndFault | undefined;
  /** Why the pod could not be given a new interface. */
  readonly failure?: string;
}

/** An ADD or DEL that is under way looks like a fault for a moment. */
const SUSPECT_MS = 3_000;
/** What is gone stays gone for so long before its lease ends. */
const GONE_MS = 15_000;
const NAMED_MAX = 5;

/**
 * Looks after the pods' ends of ports. A lease ends when the pod's namespace and its interface have both been gone for a while; a pod
 * that lives and has lost the links below its interface gets a new one; everything else is told.
 */
export class PodEndKeeper {
  readonly #options: PodEndKeeperOptions;
  /** By port. */
  #suspicions: ReadonlyMap<string, Suspicion> = new Map();

  constructor(options: PodEndKeeperOptions) {
    this.#options = options;
  }

  async settle(pairs: ReadonlyMap<string, LinkPair>, signal: AbortSignal): Promise<void> {
    const suspicions = await this.#examine(pairs);
    this.#tellNew(suspicions);
    this.#suspicions = suspicions;
    this.#closeGone([...suspicions.values()].filter((each) => this.#isDue(each)));
    const cut = [...suspicions.values()].filter(({ fault }) => fault === "cut");
    await this.#replace(cut, signal);
  }

  conditions(): readonly NodeCondition[] {
    const all = [...this.#suspicions.values()];
    const stripped = all.filter(({ fault }) => fault === "stripped");
    const failed = all.filter(({ failure }) => failure !== undefined);
    const [one] = [...stripped, ...failed];
    if (one === undefined) return [];
    const { endpointKey, ifName } = one.attachment;
    const reason = one.failure ?? `interface "${ifName}" was deleted in its namespace`;
    const message = `${stripped.length + failed.length} pods have lost their interface, first ${endpointKey}: ${reason}; their addresses stay leased; delete these pods and add them again`;
    return [{ type: "pod-interfaces", status: "degraded", message }];
  }

  async #examine(seen: ReadonlyMap<string, LinkPair>): Promise<ReadonlyMap<string, Suspicion>> {
    const { panel, netlink } = this.#options;
    const inUse = await farEndsInUse(panel);
    const found = new Map<string, Suspicion>();
    // Infra ports are made by their own keeper.
    const attachments = [...this.#options.machine.attachments().values()].filter(({ role }) => role === POD_ROLE);
    // Ports that were made after the pairs had been listed are not missing.
    const areAllThere = attachments.every(({ portName }) => isPairThere(seen.get(portName), panel));
    const pairs = areAllThere ? seen : await readPairs(netlink, panel);
    for (const attachment of attachments) {
      const pair = pairs.get(attachment.portName);
      if (isPairThere(pair, panel) && (panel.podEnd === "veth" || inUse.has(pair?.far?.ifindex ?? 0))) continue;
      if (this.#isBusy(attachment)) continue;
      const before = this.#suspicions.get(attachment.portName);
      const isSame = before?.attachment.epoch === attachment.epoch;
      const sinceMs = isSame ? before.sinceMs : performance.now();
      const isRipe = !isPairThere(pair, panel) || performance.now() - sinceMs >= SUSPECT_MS;
      const fault = isRipe ? await podEndFault(attachment, pair, panel) : undefined;
      if (isRipe && fault === undefined) continue;
      const failure = isSame && fault === "cut" && before.failure !== undefined ? { failure: before.failure } : {};
      found.set(attachment.portName, { attachment, sinceMs, fault, ...failure });
    }
    return found;
  }

  /** A port without path was attached by hand. */
  #isBusy({ netnsPath, portName, endpointKey }: Attachment): boolean {
    if (netnsPath === "") return true;
    return this.#options.network.isReleasing(portName) || this.#options.leases().isPending(endpointKey);
  }

  #isDue({ fault, sinceMs }: Suspicion): boolean {
    if (fault !== "gone") return false;
    return this.#options.hasRebooted || performance.now() - sinceMs >= GONE_MS;
  }

  #closeGone(gone: readonly Suspicion[]): void {
    const { network, repairs, log } = this.#options;
    if (gone.length === 0) return;
    for (const { attachment } of gone) network.release(attachment.portName);
    repairs.inc({ kind: "gone" }, gone.length);
    log.warn(
      { count: gone.length, endpoints: namesOf(gone) },
      "Pods are gone without DEL: their namespaces and interfaces do not exist; their ports are removed, then their leases are released",
    );
  }

  #tellNew(suspicions: ReadonlyMap<string, Suspicion>): void {
    const isNew = ({ fault, attachment }: Suspicion) =>
      fault === "stripped" && this.#suspicions.get(attachment.portName)?.fault !== "stripped";
    const stripped = [...suspicions.values()].filter(isNew);
    if (stripped.length === 0) return;
    this.#options.log.warn(
      { count: stripped.length, endpoints: namesOf(stripped) },
      "Interfaces of living pods were deleted in their namespaces; their leases are kept; delete these pods and add them again",
    );
  }

  async #replace(cut: readonly Suspicion[], signal: AbortSignal): Promise<void> {
    const replaced: Suspicion[] = [];
    for (const suspicion of cut) {
      if (!this.#isLeased(suspicion.attachment)) continue;
      const failure = await this.#replaceOne(suspicion, signal);
      if (failure === undefined) replaced.push(suspicion);
      this.#note(suspicion, failure);
    }
    if (replaced.length === 0) return;
    this.#options.repairs.inc({ kind: "interface" }, replaced.length);
    this.#options.log.warn(
      { count: replaced.length, endpoints: namesOf(replaced) },
      "Links of living pods are gone from this node (deleted, or moved to another namespace); the pods have new interfaces with the same addresses, their leases are kept",
    );
    this.#options.onPluggedIn();
  }

  async #replaceOne({ attachment }: Suspicion, signal: AbortSignal): Promise<string | undefined> {
    using _pending = this.#options.leases().pending(attachment.endpointKey);
    try {
      await giveNewInterface(this.#options, attachment, signal);
      return undefined;
    } catch (error) {
      signal.throwIfAborted();
      return asNetError(error, "give it a new interface").message;
    }
  }

  #note(suspicion: Suspicion, failure: string | undefined): void {
    const { endpointKey, portName } = suspicion.attachment;
    const suspicions = new Map(this.#suspicions);
    if (failure === undefined) suspicions.delete(portName);
    else suspicions.set(portName, { ...suspicion, failure });
    this.#suspicions = suspicions;
    if (failure === undefined || failure === suspicion.failure) return;
    this.#options.log.error(
      { endpoint: endpointKey, port: portName, error: failure },
      "A living pod has lost its links and cannot get a new interface; its lease is kept; netplugin tries again",
    );
  }

  #isLeased({ endpointKey, epoch }: Attachment): boolean {
    return recordOf(this.#options.view(), "endpoint", endpointKey)?.epoch === epoch;
  }
}

function namesOf(suspicions: readonly Suspicion[]): readonly string[] {
  return suspicions.slice(0, NAMED_MAX).map(({ attachment }) => attachment.endpointKey);
}
