import type {
  Attached,
  DriverCapabilities,
  LimitDriver,
  Marks,
  NetworkDriver,
  PlaceWish,
  Slot,
  StrayWish,
  Wanted,
} from "../../drivers/driver.ts";
import type { NetnsHandle } from "../../drivers/netlink/netns.ts";
import type { PodLink } from "../../drivers/pod-interface.ts";
import type { DriverName } from "../../state/driver-name.ts";
import { NetError } from "../../state/errors.ts";

/** An interface in a pod; `place` is what it hangs on, undefined for somebody else's. */
export interface FakeLink extends PodLink {
  readonly place: string | undefined;
  readonly up: boolean;
}

type Links = Map<string, FakeLink>;

/** What outlives a process: places with their marks, and pods' namespaces with their interfaces. */
export class FakeMachine {
  readonly places = new Map<string, Marks>();
  /** By the path of the namespace. */
  readonly pods = new Map<string, Links>();
  placesMax = Number.POSITIVE_INFINITY;
  /** Places that are in somebody's hands and no attachments yet. */
  readonly reserved = new Set<string>();
  /** Counts changes of what drivers show. */
  version = 0;
  #made = 0;

  newPod(): NetnsHandle {
    const path = `/run/netns/pod${++this.#made}`;
    this.pods.set(path, new Map());
    return { path, fd: -1, inode: this.#made, device: 0, [Symbol.dispose]: () => {} };
  }

  newPlace(): string {
    return `place${++this.#made}`;
  }

  mark(key: string, marks: Marks | undefined): void {
    if (marks === undefined) this.places.delete(key);
    else this.places.set(key, marks);
    this.version++;
  }
}

/** What fails next, or what is waited for first: the deed, and the place or the interface that it is done to. */
export type Refusal = (
  deed: "reserve" | "begin" | "attach" | "detach",
  what: string,
) => Error | Promise<unknown> | undefined;

/** Of a driver that limits nothing. */
const NO_LIMITS: LimitDriver<unknown> = {
  bare: undefined,
  isSame: () => true,
  isInDatabase: () => false,
  isForeign: () => false,
  read: async () => new Map(),
  change: async () => {},
  spare: () => [],
  watched: [],
  placesOf: () => [],
  note: async () => {},
  forget: async () => {},
};

/** A driver whose machine is in memory. It refuses what a real one refuses. */
export class FakeNetworkDriver implements NetworkDriver {
  readonly name: DriverName;
  refusal: Refusal = () => undefined;
  faultNow: string | undefined;
  /** Deeds, in their order. */
  readonly log: string[] = [];
  /** Places that have been released and are not clean yet stay so until `clean`, when this is false. */
  cleansAtOnce = true;
  readonly limits = NO_LIMITS;
  readonly #machine: FakeMachine;
  readonly #releasing = new Set<string>();
  readonly #begun = new Set<string>();
  readonly #onRelease: (key: string) => void;
  readonly #listeners = new Set<(change: { readonly resync: boolean }) => void>();
  #shown: { readonly version: number; readonly attached: ReadonlyMap<string, Attached> } | undefined;

  constructor(machine: FakeMachine, options: { name?: DriverName; onRelease?: (key: string) => void } = {}) {
    this.#machine = machine;
    this.name = options.name ?? "ovs";
    this.#onRelease = options.onRelease ?? (() => {});
  }

  fault(): string | undefined {
    return this.faultNow;
  }

  capabilities(): DriverCapabilities {
    return { encaps: ["vxlan"], enforcesPolicies: true, setsMac: true };
  }

  read(): ReadonlyMap<string, Attached> {
    const { places, version } = this.#machine;
    if (this.#shown?.version === version) return this.#shown.attached;
    const shown = [...places].filter(([key]) => !this.#releasing.has(key));
    const attached = new Map(shown.map(([key, marks]) => [key, { key, marks, hostDevice: key, fault: undefined }]));
    this.#shown = { version, attached };
    return attached;
  }

  onChange(listener: (change: { readonly resync: boolean }) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  async reserve(_wish: PlaceWish, signal: AbortSignal): Promise<Slot> {
    signal.throwIfAborted();
    await this.#do("reserve", "");
    const machine = this.#machine;
    if (machine.places.size + machine.reserved.size >= machine.placesMax) {
      throw new NetError("EXHAUSTED", "No place is left");
    }
    const key = machine.newPlace();
    machine.reserved.add(key);
    return { key, hostDevice: key, [Symbol.dispose]: () => void machine.reserved.delete(key) };
  }

  async begin({ key }: Slot, marks: Marks): Promise<void> {
    if (!this.#machine.reserved.has(key)) throw new NetError("INVALID", `Place ${key} was given back or used already`);
    await this.#do("begin", marks["contiv-ifname"] ?? key);
    this.#machine.reserved.delete(key);
    this.#machine.mark(key, marks);
    this.#begun.add(key);
    this.#tell();
  }

  async attach(key: string, { netns, link }: Wanted, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (!this.#begun.has(key)) throw new NetError("INVALID", `No attachment has begun at ${key}`);
    await this.#do("attach", link.ifName);
    const links = this.#linksAt(netns.path);
    if (links.has(link.ifName)) throw new NetError("CONFLICT", `Interface "${link.ifName}" exists already`);
    links.set(link.ifName, { ...link, place: key, up: true });
    this.#begun.delete(key);
  }

  async check(key: string, netnsPath: string, wanted: PodLink): Promise<void> {
    if (!this.read().has(key)) throw new NetError("CONFLICT", "it is not plugged in");
    const found = this.#linksAt(netnsPath).get(wanted.ifName);
    const difference = differenceOf(found, wanted, key);
    if (difference === undefined) return;
    throw new NetError("CONFLICT", `Interface "${wanted.ifName}" of the pod is not as ADD left it: ${difference}`);
  }

  async detach(
    key: string,
    { netnsPaths, ifName }: { readonly netnsPaths: readonly string[]; readonly ifName: string },
    signal: AbortSignal,
  ): Promise<void> {
    signal.throwIfAborted();
    await this.#do("detach", ifName);
    const path = netnsPaths.find((each) => this.#machine.pods.has(each));
    const links = this.#machine.pods.get(path ?? "");
    if (links?.get(ifName)?.place === key) links.delete(ifName);
  }

  release(key: string): void {
    this.log.push(`release ${key}`);
    if (this.#releasing.has(key)) return;
    this.#begun.delete(key);
    this.#releasing.add(key);
    this.#machine.version++;
    this.#onRelease(key);
    if (this.cleansAtOnce) setImmediate(() => this.clean(key));
  }

  /** The place is nobody's; what still hangs on it goes with it. */
  clean(key: string): void {
    for (const links of this.#machine.pods.values()) {
      for (const [ifName, { place }] of links) if (place === key) links.delete(ifName);
    }
    this.#releasing.delete(key);
    this.#machine.mark(key, undefined);
  }

  isReleasing(key: string): boolean {
    return this.#releasing.has(key);
  }

  async removeStray({ netnsPath, ifName, isTaken }: StrayWish): Promise<boolean> {
    const links = this.#machine.pods.get(netnsPath);
    const place = links?.get(ifName)?.place;
    if (links === undefined || place === undefined) return false;
    if (this.#machine.places.has(place) || this.#releasing.has(place) || isTaken(place)) return false;
    this.log.push(`stray ${ifName}`);
    return links.delete(ifName);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    while (this.cleansAtOnce && this.#releasing.size > 0) await new Promise((resolve) => setImmediate(resolve));
    this.#listeners.clear();
  }

  #tell(): void {
    for (const listener of this.#listeners) listener({ resync: false });
  }

  #linksAt(path: string): Links {
    const links = this.#machine.pods.get(path);
    if (links === undefined) throw new NetError("NOT_FOUND", `There is no network namespace at ${path}`);
    return links;
  }

  /** Fails a moment later, as what waits for a kernel does. */
  async #do(deed: Parameters<Refusal>[0], what: string): Promise<void> {
    this.log.push(`${deed} ${what}`.trimEnd());
    await new Promise((resolve) => setImmediate(resolve));
    const refusal = this.refusal(deed, what);
    if (refusal instanceof Promise) await refusal;
    else if (refusal !== undefined) throw refusal;
  }
}

function differenceOf(found: FakeLink | undefined, wanted: PodLink, key: string): string | undefined {
  if (found === undefined) return "it does not exist";
  if (!found.up) return "it is down";
  if (found.mac !== wanted.mac) return `its MAC is ${found.mac}, not ${wanted.mac}`;
  if (found.place !== key) return "it is not connected to this node's switch";
  const address = wanted.addresses.find((each) => !found.addresses.includes(each));
  if (address !== undefined) return `address ${address} is missing`;
  const route = wanted.routes.find(({ destination }) => !found.routes.some((each) => each.destination === destination));
  return route === undefined ? undefined : `the route to ${route.destination} is missing`;
}
