import type { Logger } from "pino";
import type { Counter } from "prom-client";
import { setLink } from "../../../drivers/netlink/link.ts";
import type { SocketPool } from "../../../drivers/netlink/pool.ts";
import { isFarCaptured, isNearCaptured, type LinkPair, readPairs } from "../../../drivers/ovs/pod-ports/link-pairs.ts";
import type { Panel } from "../../../drivers/ovs/pod-ports/panel.ts";
import { isHostName, peerNameOf } from "../../../drivers/ovs/pod-ports/port-pool.ts";
import type { PortDriver, PortPool, PortSpec, SwitchPort } from "../../../drivers/ovs/types.ts";
import type { NodeCondition } from "../../../state/kinds/node.ts";
import { type Alarm, createAlarm, every } from "../../../state/waiting/alarm.ts";
import {
  type Attachment,
  attachmentMarks,
  attachmentOf,
  isSameFacts,
  leaseOf,
  POD_ROLE,
} from "../../machine/attachment.ts";
import type { AttachmentRecords } from "../../machine/attachment-records.ts";
import type { EndedLeases } from "../../machine/ended-leases.ts";
import { leaseMarkAmong } from "../../machine/lease-mark.ts";
import { aliasesOf } from "../../machine/link-alias.ts";
import type { MachineView } from "../../machine/machine-view.ts";
import type { NodeView } from "../../view/node-view.ts";
import { recordOf } from "../../view/query.ts";
import type { LeaseKeeper } from "../leases/lease-keeper.ts";
import { failureLog } from "../loop/failure-log.ts";
import { startTicketLoop, type TicketLoop } from "../loop/ticket-loop.ts";
import {
  type AttachmentPlan,
  inBoth,
  isCaptured,
  isDamaged,
  isInAgreement,
  planAttachments,
} from "./attachment-plan.ts";
import { forgettable, placesOfEnded } from "./ended-places.ts";
import type { PodEndKeeper } from "./pod-end-keeper.ts";
import { hasInterface } from "./pod-ends.ts";
import { recalledFrom } from "./recalled.ts";

export interface AttachmentKeeperOptions {
  readonly nodeName: string;
  readonly ports: PortDriver;
  readonly netlink: SocketPool;
  readonly panel: Panel;
  readonly pool: Pick<PortPool, "repair">;
  readonly machine: Pick<MachineView, "attachments" | "remember">;
  /** Has the port been released, and is not clean yet? */
  readonly isReleasing: (portName: string) => boolean;
  readonly leases: () => Pick<LeaseKeeper, "isPending">;
  readonly records: Pick<AttachmentRecords, "all" | "keep" | "marksOf">;
  /** Leases of which a DEL has been answered, by this or an earlier run. */
  readonly ended: Pick<EndedLeases, "has" | "all" | "remove">;
  readonly view: () => NodeView;
  readonly isConnected: () => boolean;
  /** What the links of ports carry at least. */
  readonly mtuBytes: number;
  readonly podEnds: Pick<PodEndKeeper, "settle" | "conditions">;
  readonly closePort: (portName: string) => void;
  /** Ports have been plugged in again: what hangs on their numbers wants a look. */
  readonly onPluggedIn: () => void;
  /** Links of pods' ports have changed, by their indexes in one of the two namespaces. */
  readonly onChangedLinks: (ifindexes: readonly number[]) => void;
  /** Counts what had to be repaired. */
  readonly repairs: Pick<Counter<"kind">, "inc">;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** Keeps the ports of living pods in the switch: the kernel's links say which they are. */
export interface AttachmentKeeper {
  readonly loop: TicketLoop;
  /** The switch's database has changed: looks again when a pod's port is missing in it. */
  onPorts(): void;
  /** Links have changed, by their indexes in one of the two namespaces: looks again when they are a pod's. */
  onLinks(ifindexes: ReadonlySet<number>): void;
  /** The view has changed: the records are asked when it is complete for the first time. */
  onView(): void;
  /** Have switch, kernel and records been compared since the start? Before, an endpoint without port may still have a pod. */
  readonly knowsAll: boolean;
  conditions(): readonly NodeCondition[];
}

const RETRY_MS = 1_000;
/** Nobody tells when a pod's namespace or interface goes. */
const LOOK_MS = 4_000;
const NAMED_MAX = 5;

export function startAttachmentKeeper(options: AttachmentKeeperOptions): AttachmentKeeper {
  return new Keeper(options);
}

class Keeper implements AttachmentKeeper {
  readonly loop: TicketLoop;
  #hasLooked = false;
  #hasRecalled = false;
  readonly #options: AttachmentKeeperOptions;
  /** Whose the links of pods' ports are, by their indexes in both namespaces. */
  #byIfindex: ReadonlyMap<number, Attachment> = new Map();
  /** The switch's ports when they were looked at last for lost ones; the same map means no change. */
  #seenPorts: ReadonlyMap<string, SwitchPort> | undefined;
  /** Port → why it cannot be plugged in. */
  #failures: ReadonlyMap<string, string> = new Map();
  readonly #retry: Alarm;

  constructor(options: AttachmentKeeperOptions) {
    this.#options = options;
    this.loop = startTicketLoop({
      work: (_full, signal) => this.#work(signal),
      signal: options.signal,
      report: failureLog({
        ...{ log: options.log, sentence: "Ports of pods cannot be compared; netplugin tries again" },
        isConnected: options.isConnected,
      }),
    });
    this.#retry = createAlarm(() => this.loop.kick(), options.signal);
    every(LOOK_MS, () => this.loop.kick(), options.signal);
  }

  onPorts(): void {
    const { machine, ports } = this.#options;
    const present = ports.read();
    if (present === this.#seenPorts) return;
    this.#seenPorts = present;
    const isLost = (attachment: Attachment) => {
      const port = present.get(attachment.portName);
      const shown = port === undefined ? undefined : attachmentOf(port);
      return attachment.role === POD_ROLE && (shown === undefined || !isSameFacts(shown, attachment));
    };
    for (const attachment of machine.attachments().values()) {
      if (!isLost(attachment)) continue;
      this.loop.kick();
      return;
    }
  }

  onView(): void {
    if (!this.#hasRecalled && this.#options.view().complete) this.loop.kick();
  }

  get knowsAll(): boolean {
    return this.#hasLooked && this.#hasRecalled;
  }

  onLinks(ifindexes: ReadonlySet<number>): void {
    const settled = [...ifindexes].filter((ifindex) => this.#isSettled(this.#byIfindex.get(ifindex)));
    if (settled.length === 0) return;
    this.loop.kick();
    this.#options.onChangedLinks(settled);
  }

  /** Links that an ADD or DEL changes are no reason to look. */
  #isSettled(attachment: Attachment | undefined): boolean {
    if (attachment === undefined) return false;
    const { machine, leases } = this.#options;
    const { endpointKey, portName } = attachment;
    return machine.attachments().get(endpointKey)?.portName === portName && !leases().isPending(endpointKey);
  }

  conditions(): readonly NodeCondition[] {
    const [[port, reason] = ["", ""]] = this.#failures;
    if (this.#failures.size === 0) return this.#options.podEnds.conditions();
    const message = `${this.#failures.size} pods are cut off: their ports cannot be plugged in, first ${port}: ${reason}; their addresses stay leased; correct the cause, or delete these pods and add them again`;
    return [{ type: "attachments", status: "failed", message }, ...this.#options.podEnds.conditions()];
  }

  async #work(signal: AbortSignal): Promise<void> {
    const { machine, ports, closePort, isConnected, pool, podEnds, view, ended } = this.#options;
    const { pairs, plan } = await this.#look(signal);
    const known = machine.attachments();
    for (const found of [...plan.unplugged, ...plan.broken]) {
      const before = known.get(found.endpointKey);
      if (before?.portName !== found.portName || !isSameFacts(before, found)) machine.remember(found);
    }
    this.#hasLooked = true;
    for (const portName of placesOfEnded(this.#options)) closePort(portName);
    if (!this.#hasRecalled && view().complete) this.#recall(pairs);
    this.#noteIndexes(pairs);
    await this.#label(plan.unlabelled, pairs, signal);
    for (const portName of plan.surplus) closePort(portName);
    if (!isConnected() && ports.read().size === 0) return;
    const used = await this.#settleDoubtful(plan.doubtful, pairs);
    await this.#plugIn([...plan.unplugged, ...used], signal);
    await pool.repair();
    this.#closeDead(pairs);
    await podEnds.settle(pairs, signal);
    if (this.#hasRecalled) this.#keepRecords();
    for (const lease of forgettable({ ...this.#options, view: view(), pairs })) ended.remove(lease);
  }

  /** Once, with the first complete view: pods of which neither the switch nor the kernel knows any more. */
  #recall(pairs: ReadonlyMap<string, LinkPair>): void {
    const { nodeName, machine, ports, leases, records, view, log } = this.#options;
    this.#hasRecalled = true;
    const lost = recalledFrom({
      ...{ nodeName, pairs, records, view: view(), ports: ports.read(), attachments: machine.attachments() },
      isPending: (endpointKey) => leases().isPending(endpointKey),
    });
    if (lost.length === 0) return;
    for (const attachment of lost) machine.remember(attachment);
    log.warn(
      { count: lost.length, endpoints: lost.slice(0, NAMED_MAX).map(({ endpointKey }) => endpointKey) },
      "Switch and kernel do not know these pods any more, but their records exist; those that live are plugged in again, their leases are kept",
    );
    this.loop.kick();
  }

  #keepRecords(): void {
    const { machine, ports, leases, records } = this.#options;
    const isPending = (endpointKey: string) => leases().isPending(endpointKey);
    records.keep({ attachments: machine.attachments(), ports: ports.read(), isPending });
  }

  /** What is found is acted upon when a second look finds it, too. */
  async #look(signal: AbortSignal) {
    const pairs = await this.#readMended(signal);
    const plan = this.#plan(pairs);
    if (isInAgreement(plan)) return { pairs, plan };
    const later = await this.#readMended(signal);
    return { pairs: later, plan: inBoth(plan, this.#plan(later)) };
  }

  #plan(pairs: ReadonlyMap<string, LinkPair>): AttachmentPlan {
    const { machine, isReleasing, ended, ports, panel, view, leases } = this.#options;
    return planAttachments({
      pairs,
      ports: ports.read(),
      known: machine.attachments(),
      isFarInPanel: panel.podEnd === "macvlan",
      isClosing: isReleasing,
      isEnded: (facts) => ended.has(leaseOf(facts)),
      isPending: (endpointKey) => leases().isPending(endpointKey),
      hasLooked: this.#hasLooked,
      isLeased: ({ endpointKey, epoch }) => recordOf(view(), "endpoint", endpointKey)?.epoch === epoch,
    });
  }

  /** The pairs, with names, states and sizes as we gave them, and on nobody else's bridge. */
  async #readMended(signal: AbortSignal): Promise<ReadonlyMap<string, LinkPair>> {
    const { netlink, panel, mtuBytes, machine, log, repairs } = this.#options;
    // Asked before the kernel is: a port that is taken meanwhile may have been on its way up.
    const used = new Set([...machine.attachments().values()].map(({ portName }) => portName));
    const pairs = await readPairs(netlink, panel);
    // Ports that nobody uses may be in the making; on another's bridge they are not.
    const isWrong = (pair: LinkPair) => (used.has(pair.portName) ? isDamaged(pair, mtuBytes) : isCaptured(pair));
    const damaged = [...pairs.values()].filter(isWrong);
    if (damaged.length === 0) return pairs;
    for (const pair of damaged) {
      await this.#release(pair, signal);
      if (used.has(pair.portName)) await this.#mend(pair, signal);
    }
    repairs.inc({ kind: "link" }, damaged.length);
    log.warn(
      { count: damaged.length, ports: damaged.slice(0, NAMED_MAX).map(({ portName }) => portName) },
      "Links of pods' ports were renamed, down, had too small an MTU or were in another bridge; they are repaired",
    );
    return readPairs(netlink, panel);
  }

  async #release(pair: LinkPair, signal: AbortSignal): Promise<void> {
    const { netlink, panel } = this.#options;
    const ends = [
      { link: isNearCaptured(pair) ? pair.near : undefined, sockets: netlink },
      { link: isFarCaptured(pair) ? pair.far : undefined, sockets: panel.netlink },
    ];
    for (const { link, sockets } of ends) {
      if (link === undefined) continue;
      await sockets.execute([setLink({ ifindex: link.ifindex }, { masterIfindex: 0 })], { signal });
    }
  }

  async #mend({ near, far, portName }: LinkPair, signal: AbortSignal): Promise<void> {
    const { netlink, panel, mtuBytes } = this.#options;
    const ends = [
      { link: near, name: portName, sockets: netlink },
      { link: far, name: peerNameOf(portName), sockets: panel.netlink },
    ];
    for (const { link, name, sockets } of ends) {
      if (link === undefined) continue;
      const target = { ifindex: link.ifindex };
      const renaming = link.name === name ? [] : [setLink(target, { up: false }), setLink(target, { name })];
      const widening = link.mtuBytes < mtuBytes ? [setLink(target, { mtuBytes })] : [];
      await sockets.execute([...renaming, ...widening, setLink(target, { up: true })], { signal });
    }
  }

  #noteIndexes(pairs: ReadonlyMap<string, LinkPair>): void {
    const byIfindex = new Map<number, Attachment>();
    for (const attachment of this.#options.machine.attachments().values()) {
      const pair = attachment.role === POD_ROLE ? pairs.get(attachment.portName) : undefined;
      for (const link of [pair?.near, pair?.far]) if (link !== undefined) byIfindex.set(link.ifindex, attachment);
    }
    this.#byIfindex = byIfindex;
  }

  /** Writes down in the kernel whose the ports are. */
  async #label(unlabelled: readonly Attachment[], pairs: ReadonlyMap<string, LinkPair>, signal: AbortSignal) {
    const { netlink, panel, machine, log } = this.#options;
    const ports: string[] = [];
    for (const attachment of unlabelled) {
      const { near, far } = pairs.get(attachment.portName) ?? {};
      const aliases = aliasesOf(attachment);
      const known = machine.attachments().get(attachment.endpointKey);
      const isThere = known?.portName === attachment.portName && known.epoch === attachment.epoch;
      if (aliases === undefined || near === undefined || !isThere) continue;
      const nearAlias = far === undefined ? aliases.far : aliases.near;
      if (near.alias !== nearAlias) {
        await netlink.execute([setLink({ ifindex: near.ifindex }, { alias: nearAlias })], { signal });
      }
      if (far !== undefined) {
        await panel.netlink.execute([setLink({ ifindex: far.ifindex }, { alias: aliases.far })], { signal });
      }
      ports.push(attachment.portName);
    }
    if (ports.length === 0) return;
    const text = "aliases of pods' links did not say whose they are; written down again";
    log.info({ count: ports.length, ports: ports.slice(0, NAMED_MAX) }, text);
  }

  /** Free for the switch, a pod's for the kernel: those on which a pod's interface hangs. The others go. */
  async #settleDoubtful(doubtful: readonly Attachment[], pairs: ReadonlyMap<string, LinkPair>): Promise<Attachment[]> {
    const { panel, closePort, machine } = this.#options;
    const used: Attachment[] = [];
    for (const attachment of doubtful) {
      if (await hasInterface(pairs.get(attachment.portName), panel)) {
        machine.remember(attachment);
        used.push(attachment);
      } else closePort(attachment.portName);
    }
    return used;
  }

  /** Ports without links that are nobody's: free ones, and those whose marks say nothing. */
  #closeDead(pairs: ReadonlyMap<string, LinkPair>): void {
    const { ports, machine, closePort } = this.#options;
    const used = new Set([...machine.attachments().values()].map(({ portName }) => portName));
    for (const { name, error } of ports.read().values()) {
      if (isHostName(name) && !used.has(name) && error !== undefined && !pairs.has(name)) closePort(name);
    }
  }

  async #plugIn(unplugged: readonly Attachment[], signal: AbortSignal): Promise<void> {
    const { ports, isReleasing, records } = this.#options;
    const put = new Map<string, PortSpec>();
    for (const attachment of unplugged) {
      if (isReleasing(attachment.portName)) continue;
      const externalIds = { ...attachmentMarks(attachment), ...leaseMarkAmong(records.marksOf(attachment.portName)) };
      put.set(attachment.portName, { kind: "system", externalIds });
    }
    const startMs = performance.now();
    const failures = put.size === 0 ? new Map() : await ports.apply({ put, remove: new Set() }, { signal });
    const done = [...put.keys()].filter((name) => !failures.has(name));
    this.#tell(done, performance.now() - startMs);
    this.#noteFailures(new Map([...failures].map(([name, { message }]) => [name, message])));
    if (done.length > 0) this.#options.onPluggedIn();
  }

  #tell(done: readonly string[], durationMs: number): void {
    const { log, repairs } = this.#options;
    if (done.length === 0) return;
    repairs.inc({ kind: "port" }, done.length);
    log.warn(
      { count: done.length, ports: done.slice(0, NAMED_MAX), durationMs: Math.round(durationMs) },
      "Ports of living pods were missing in the switch, or had other marks than in the kernel; they are plugged in again, their leases are kept",
    );
  }

  /** What cannot be plugged in is told once, and tried again. */
  #noteFailures(failures: ReadonlyMap<string, string>): void {
    const { log, isReleasing } = this.#options;
    const [[port, error] = ["", ""]] = failures;
    if (failures.size > 0 && [...this.#failures.values()][0] !== error) {
      log.error(
        { count: failures.size, port, error },
        "Ports of living pods cannot be plugged in; their leases are kept; netplugin tries again",
      );
    }
    this.#failures = new Map([...failures].filter(([name]) => !isReleasing(name)));
    if (failures.size > 0) this.#retry.anew(RETRY_MS);
    else this.#retry.cancel();
  }
}
