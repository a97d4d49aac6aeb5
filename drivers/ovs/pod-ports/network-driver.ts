import { NetError } from "../../../state/errors.ts";
import type { Attached, DriverCapabilities, Marks, NetworkDriver, Slot, StrayWish, Wanted } from "../../driver.ts";
import { ROLE_MARK } from "../../driver.ts";
import { isErrno } from "../../netlink/errno.ts";
import { getLink } from "../../netlink/link.ts";
import { createLinkDeleter, type LinkDeleter } from "../../netlink/link-deleter.ts";
import { type NetnsHandle, openNetns } from "../../netlink/netns.ts";
import type { SocketPool } from "../../netlink/pool.ts";
import { checkPod, type LowerLink, type PodEnd, type PodLink, putPodInterfaceAside } from "../../pod-interface.ts";
import type { OpenOvsDriver } from "../switch.ts";
import type { PortPool, ReadyPort, SwitchPort } from "../types.ts";
import type { Panel } from "./panel.ts";
import { makePodInterface } from "./pod-end.ts";
import { createPortCloser, type PortCloser } from "./port-closer.ts";
import { PortLimiter } from "./port-limiter.ts";
import { openPortPool, peerNameOf, WARM_ROLE } from "./port-pool.ts";
import { createPortRecycler, deletePodEnd, type PortRecycler } from "./port-recycler.ts";
import type { PortState } from "./port-state.ts";
import { deleteStray } from "./stray.ts";

export interface OvsNetworkOptions {
  readonly ovs: OpenOvsDriver;
  readonly panel: Panel;
  readonly readyPortCount: number;
  /** Writes a port's marks wherever they are kept. */
  readonly mark: (portName: string, marks: Marks) => Promise<void>;
  /** The port is no attachment any more, from now on. */
  readonly onRelease: (portName: string) => void;
  /** What the kernel is to remember of an attachment with its far end. */
  readonly aliasOf: (marks: Marks) => string | undefined;
  /** The switch's network namespace; this process's own when absent. */
  readonly netns?: NetnsHandle | undefined;
  readonly signal: AbortSignal;
  readonly report: (error: NetError) => void;
}

/** A port whose attachment has begun. */
interface Begun {
  readonly port: ReadyPort;
  readonly marks: Marks;
}

/** What is under way at a port. A release ends it: whoever has it in hand finds another one then, or none. */
interface Place {
  /** The attachment has begun, and the pod's interface is not there yet. */
  begun?: Begun | undefined;
  /** The pod's interface has been put aside; the port is still an attachment. */
  aside?: PodEnd | undefined;
}

/** Places that are nobody's: ready ports, and the switch's own. */
const OWN_ROLES: readonly (string | undefined)[] = [undefined, WARM_ROLE, "tunnel"];
const OWN_NETNS = "/proc/self/ns/net";

/** With or without a switch at hand. */
export const OVS_CAPABILITIES: DriverCapabilities = {
  encaps: ["vxlan", "vlan"],
  enforcesPolicies: true,
  setsMac: true,
};
const DEFAULT_MTU_BYTES = 1_500;

/** Ready ports of the integration bridge as places of pods; a key is the port's name. */
export class OvsNetworkDriver implements NetworkDriver<PortState> {
  readonly name = "ovs";
  readonly pool: PortPool;
  readonly limits: PortLimiter;
  readonly #options: OvsNetworkOptions;
  readonly #switchNetns: NetnsHandle;
  readonly #deleter: LinkDeleter;
  readonly #closer: PortCloser;
  readonly #recycler: PortRecycler;
  /** Ports on their way to be closed or cleaned. */
  readonly #releasing = new Set<string>();
  readonly #places = new Map<string, Place>();
  #shown:
    | { readonly ports: ReadonlyMap<string, SwitchPort>; readonly attached: ReadonlyMap<string, Attached> }
    | undefined;

  private constructor(options: OvsNetworkOptions, pool: PortPool) {
    const { ovs, signal, report } = options;
    this.#options = options;
    this.pool = pool;
    this.limits = new PortLimiter({ ports: ovs.ports, netlink: ovs.netlink, panel: options.panel });
    this.#switchNetns = options.netns ?? openNetns(OWN_NETNS);
    this.#deleter = createLinkDeleter({ netns: options.netns });
    const onClean = (portName: string) => this.#settled(portName);
    const { ports, netlink } = ovs;
    this.#closer = createPortCloser({ ports, netlink, deleter: this.#deleter, signal, onClosed: onClean, report });
    const { close } = this.#closer;
    this.#recycler = createPortRecycler({ pool, close, onClean, report, deletePodEnd });
  }

  /** Fills the pool; what an earlier run left ready is taken over. */
  static async open(options: OvsNetworkOptions): Promise<OvsNetworkDriver> {
    const { ovs, panel, readyPortCount, netns, report } = options;
    const pool = await openPortPool({
      ...{ ports: ovs.ports, netlink: ovs.netlink, netns, panel, report },
      target: readyPortCount,
      mtuBytes: portMtuBytes(ovs),
      finishChecksums: ovs.datapathType === "netdev",
      closeNearEnds: (near) => ovs.guard.closeNearEnds(near),
    });
    return new OvsNetworkDriver(options, pool);
  }

  fault(): string | undefined {
    return this.#options.ovs.fault();
  }

  capabilities(): DriverCapabilities {
    return OVS_CAPABILITIES;
  }

  read(): ReadonlyMap<string, Attached> {
    const ports = this.#options.ovs.ports.read();
    if (this.#shown?.ports === ports) return this.#shown.attached;
    const attached = new Map<string, Attached>();
    for (const [portName, port] of ports) {
      const shown = attachedOf(port);
      if (shown !== undefined && !this.#releasing.has(portName)) attached.set(portName, shown);
    }
    this.#shown = { ports, attached };
    return attached;
  }

  onChange(listener: (change: { readonly resync: boolean }) => void): () => void {
    return this.#options.ovs.onChange(listener);
  }

  async reserve(_wish: unknown, signal: AbortSignal): Promise<Slot> {
    const port = await this.pool.take({ signal });
    return new PortSlot(port, (unused) => {
      if (!this.#releasing.has(unused.name)) this.pool.giveBack(unused);
    });
  }

  async begin(slot: Slot, marks: Marks): Promise<void> {
    if (!(slot instanceof PortSlot)) throw new NetError("INVALID", `Slot ${slot.key} is no port of Open vSwitch`);
    const { key, port } = slot;
    this.#refuseReleased(key);
    await this.#options.mark(key, marks);
    this.#refuseReleased(key);
    slot.use();
    this.#places.set(key, { begun: { port, marks } });
  }

  async attach(key: string, { netns, link }: Wanted, signal: AbortSignal): Promise<void> {
    const place = this.#places.get(key);
    if (place?.begun === undefined) throw new NetError("INVALID", `No attachment has begun on port ${key}`);
    const { ovs, panel, aliasOf } = this.#options;
    const { port, marks } = place.begun;
    await makePodInterface({ netlink: ovs.netlink, panel, port, netns, link, alias: aliasOf(marks) }, signal);
    if (this.#places.get(key) !== place) throw released(key);
    place.begun = undefined;
    this.#tidy(key, place);
  }

  async check(key: string, netnsPath: string, link: PodLink): Promise<void> {
    const port = this.#options.ovs.ports.read().get(key);
    if (port?.ofport === undefined) throw new NetError("CONFLICT", port?.error ?? "it is not plugged in");
    await checkPod(netnsPath, link, await this.#lowerLink(key));
  }

  async detach(
    key: string,
    { netnsPaths, ifName }: { readonly netnsPaths: readonly string[]; readonly ifName: string },
    signal: AbortSignal,
  ): Promise<void> {
    const forbidden = this.#options.panel.netns;
    const place = this.#places.get(key) ?? {};
    this.#places.set(key, place);
    try {
      const lower = await this.#lowerLink(key);
      const target = { netnsPaths, forbidden, ifName, lower, spareName: peerNameOf(key) };
      const podEnd = await putPodInterfaceAside(target, signal);
      if (podEnd === undefined) return; // gone, or put aside by an earlier call
      const isOver = this.#places.get(key) !== place; // then the interface goes with the port
      (isOver ? podEnd : place.aside)?.netns[Symbol.dispose]();
      if (!isOver) place.aside = podEnd;
    } finally {
      this.#tidy(key, place);
    }
  }

  /** With the pod's interface in hand the port is made ready for another pod; otherwise it is unplugged and its links are deleted. */
  release(key: string): void {
    const podEnd = this.#places.get(key)?.aside;
    this.#places.delete(key);
    const isNew = !this.#releasing.has(key);
    if (isNew) {
      this.pool.withdraw(key); // there when it was released and is clean already, or its marks came late
      this.#releasing.add(key);
      this.#showAnew(key);
      this.#options.onRelease(key);
      // Without macvlan the pod's interface is the far end itself, and goes with the port.
      if (podEnd !== undefined && this.#options.panel.podEnd === "macvlan") {
        this.#recycler.recycle(key, podEnd);
        return;
      }
      this.#closer.close(key);
    }
    podEnd?.netns[Symbol.dispose]();
  }

  isReleasing(key: string): boolean {
    return this.#releasing.has(key);
  }

  async removeStray(pod: StrayWish, signal: AbortSignal): Promise<boolean> {
    const { ovs, panel } = this.#options;
    const isUsed = (portName: string) =>
      this.read().has(portName) || this.#releasing.has(portName) || pod.isTaken(portName);
    const parts = { netlink: ovs.netlink, switchNetns: this.#switchNetns, panel, isUsed, signal };
    const portName = await deleteStray(pod, parts);
    if (portName === undefined) return false;
    const isReady = ovs.ports.read().get(portName)?.externalIds[ROLE_MARK] === WARM_ROLE;
    if (!isReady && !isUsed(portName)) this.release(portName); // an ADD may have come meanwhile
    return true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#recycler.idle();
    await this.#closer.idle();
    for (const { aside } of this.#places.values()) aside?.netns[Symbol.dispose]();
    this.#places.clear();
    this.#deleter[Symbol.dispose]();
    if (this.#options.netns === undefined) this.#switchNetns[Symbol.dispose]();
    await this.pool[Symbol.asyncDispose]();
  }

  #refuseReleased(key: string): void {
    if (this.#releasing.has(key)) throw released(key);
  }

  /** Nothing is under way any more. */
  #tidy(key: string, place: Place): void {
    const isOver = place.begun === undefined && place.aside === undefined;
    if (isOver && this.#places.get(key) === place) this.#places.delete(key);
  }

  #settled(portName: string): void {
    this.#releasing.delete(portName);
    this.#showAnew(portName);
  }

  /** The port has been released, or is clean again. */
  #showAnew(portName: string): void {
    if (this.#shown === undefined) return;
    const { ports, attached: before } = this.#shown;
    const port = ports.get(portName);
    const shown = port === undefined || this.#releasing.has(portName) ? undefined : attachedOf(port);
    if (before.get(portName) === shown) return;
    const attached = new Map(before);
    if (shown === undefined) attached.delete(portName);
    else attached.set(portName, shown);
    this.#shown = { ports, attached };
  }

  /** The link that the pod's interface hangs on: the far end in the panel, or without macvlan the near end. */
  async #lowerLink(portName: string): Promise<LowerLink | undefined> {
    const { ovs, panel } = this.#options;
    const isFar = panel.podEnd === "macvlan";
    const ifindex = await (isFar ? ifIndexOf(panel.netlink, peerNameOf(portName)) : ifIndexOf(ovs.netlink, portName));
    return ifindex === undefined ? undefined : { ifindex, netns: isFar ? panel.netns : this.#switchNetns };
  }
}

class PortSlot implements Slot {
  readonly key: string;
  readonly hostDevice: string;
  readonly #giveBack: (port: ReadyPort) => void;
  #port: ReadyPort | undefined;

  constructor(port: ReadyPort, giveBack: (port: ReadyPort) => void) {
    this.key = port.name;
    this.hostDevice = port.name;
    this.#port = port;
    this.#giveBack = giveBack;
  }

  get port(): ReadyPort {
    if (this.#port === undefined) throw new NetError("INVALID", `Port ${this.key} has been given back or used already`);
    return this.#port;
  }

  /** The port is an attachment's from now on. */
  use(): void {
    this.#port = undefined;
  }

  [Symbol.dispose](): void {
    if (this.#port !== undefined) this.#giveBack(this.#port);
    this.#port = undefined;
  }
}

function released(key: string): NetError {
  return new NetError("CONFLICT", `Port ${key} has been released meanwhile`);
}

/** What the switch shows does not change: the same object for the same row. */
const known = new WeakMap<SwitchPort, Attached | "nobody's">();

/** Undefined for a port that is no pod's. */
function attachedOf(port: SwitchPort): Attached | undefined {
  const before = known.get(port);
  if (before !== undefined) return before === "nobody's" ? undefined : before;
  const { name, externalIds, error, ofport } = port;
  const fault = error ?? (ofport === undefined ? "it is not plugged in" : undefined);
  const isOwn = OWN_ROLES.includes(externalIds[ROLE_MARK]);
  const attached = isOwn ? undefined : { key: name, marks: externalIds, hostDevice: name, fault };
  known.set(port, attached ?? "nobody's");
  return attached;
}

async function ifIndexOf(netlink: SocketPool, name: string): Promise<number | undefined> {
  try {
    return (await netlink.get(getLink({ name }))).ifindex;
  } catch (error) {
    if (isErrno(error, "ENODEV")) return undefined;
    throw error;
  }
}

/** Ethernet header and a VLAN tag. */
const HEADER_BYTES = 18;

/** What limits depend on besides what kernel and switch can do. */
export function limitSurroundings(
  ovs: Pick<OpenOvsDriver, "uplinks" | "datapathType">,
  { podEnd }: Pick<Panel, "podEnd">,
) {
  return { datapathType: ovs.datapathType, podEnd, frameBytes: portMtuBytes(ovs) + HEADER_BYTES };
}

/** No network of this node carries more than its uplinks do. */
export function portMtuBytes(ovs: Pick<OpenOvsDriver, "uplinks">): number {
  return Math.max(DEFAULT_MTU_BYTES, ...[...ovs.uplinks().values()].map((uplink) => uplink.mtuBytes));
}
