import type { DriverName } from "../state/driver-name.ts";
import type { NetnsHandle } from "./netlink/netns.ts";
import type { PodLink } from "./pod-interface.ts";

/** The mark that says what a place is for; free places have a role of the driver's own. */
export const ROLE_MARK = "contiv-role";
/** Marks our links on the machine itself: `ip link` shows the alias. */
export const LINK_ALIAS = "contiv-ts";

/** Whose a place is, in netplugin's words: in OVSDB's external_ids, or a record under /run for drivers without a database. */
export type Marks = Readonly<Record<string, string>>;

/** One attachment as the machine itself remembers it. A driver knows places, NICs, tags and rates; no tenant, no network, no endpoint. */
export interface Attached {
  /** The driver's own name of the place: no two attachments share it, whatever their marks say. */
  readonly key: string;
  readonly marks: Marks;
  /** OVS port, VF, socket; empty where the host has no device of its own. For people, and for the CNI result. */
  readonly hostDevice: string;
  /** Why it carries nothing now; undefined: it does. */
  readonly fault: string | undefined;
}

/** What a place has to fit. */
export interface PlaceWish {
  /** NIC of the physical network and VLAN tag; undefined: the network is an overlay, or the driver finds the NIC by its flows. */
  readonly underlay: { readonly nic: string; readonly vlan: number | undefined } | undefined;
  /** Device that the kubelet has chosen (PCI address). */
  readonly deviceId: string | undefined;
}

/** What a pod is to get at a place. */
export interface Wanted {
  readonly netns: NetnsHandle;
  readonly link: PodLink;
}

/** Where an interface of ours may be that belongs to no attachment. */
export interface StrayWish {
  readonly netnsPath: string;
  readonly ifName: string;
  /** Does netplugin know an attachment at that place, whatever `read` shows? */
  readonly isTaken: (key: string) => boolean;
}

/** A ready port, a VF, or nothing. Given back when disposed of, unless an attachment has been begun on it. */
export interface Slot extends Disposable {
  readonly key: string;
  readonly hostDevice: string;
}

/** What netmaster must know before it lets a network use this driver here; told with the node's registration. */
export interface DriverCapabilities {
  readonly encaps: readonly ("vxlan" | "vlan" | "none")[];
  /** False: groups with policies, ceilings and services are refused on its networks, never ignored. */
  readonly enforcesPolicies: boolean;
  readonly setsMac: boolean;
  /** How many more pods it can attach; absent: nothing of its own limits them. */
  readonly freeSlots?: number | undefined;
}

/**
 * What netplugin needs of whatever connects pods. Doctrine: doing it twice equals once; removing what is absent succeeds; a crash between
 * two steps leaves what `read` shows. What only Open vSwitch has (flows, meters, connections, packets in and out) stands beside it, not here.
 */
export interface NetworkDriver<L = unknown> extends AsyncDisposable {
  readonly name: DriverName;
  /** Why nothing can be attached now, with the next step; undefined when it can. */
  fault(): string | undefined;
  capabilities(): DriverCapabilities;
  /** Every attachment, whole or broken, by key; the same map until something changes. What is released is left out from then on. */
  read(): ReadonlyMap<string, Attached>;
  /** Says "look again"; `resync`: what was known may be gone. Returns what ends it. */
  onChange(listener: (change: { readonly resync: boolean }) => void): () => void;
  /** Takes a place while the lease is still being asked for. EXHAUSTED: none is left. */
  reserve(wish: PlaceWish, signal: AbortSignal): Promise<Slot>;
  /** Makes the place an attachment: `read` shows it from now on, after a crash, too. When it fails the slot is as before. */
  begin(slot: Slot, marks: Marks): Promise<void>;
  /** Makes the pod's interface at a place whose attachment has begun. CONFLICT: the pod has an interface of that name. */
  attach(key: string, wanted: Wanted, signal: AbortSignal): Promise<void>;
  /** CONFLICT names the first difference between the pod's interface and the wish, or why the attachment carries nothing. */
  check(key: string, netnsPath: string, link: PodLink, signal: AbortSignal): Promise<void>;
  /**
   * Takes the pod's interface out of the way, in the first namespace that is there; the attachment stays in `read` until `release`, so
   * that DEL can be repeated. A namespace or an interface that is gone is fine.
   */
  detach(
    key: string,
    pod: { readonly netnsPaths: readonly string[]; readonly ifName: string },
    signal: AbortSignal,
  ): Promise<void>;
  /** It is no attachment from now on; cleaned up and used again behind the caller's back, many at a time. */
  release(key: string): void;
  /** Has been released and is not clean yet: nobody may touch it. */
  isReleasing(key: string): boolean;
  /** Takes away an interface of ours in the pod that belongs to no attachment. Somebody else's is left alone. True: there was one. */
  removeStray(pod: StrayWish, signal: AbortSignal): Promise<boolean>;
  readonly limits: LimitDriver<L>;
}

/** What is to become of the limits of one place. */
export interface LimitChange<L> {
  readonly key: string;
  readonly before: L;
  readonly after: L;
}

/**
 * Rates of attachments: reads and changes what places carry. Knows places and rates, no endpoints. `L` is what the driver keeps on the
 * machine for one place; netplugin plans it as a value of the desired state (netplugin/desired/limits), and only compares it otherwise.
 */
export interface LimitDriver<L> {
  /** A place without limits. */
  readonly bare: L;
  /** Is a place in the one state as the other one wants it, as far as the machine can tell? */
  isSame(left: L, right: L): boolean;
  /** Does the state stand in the database that `NetworkDriver.onChange` tells of, where somebody may change it? */
  isInDatabase(state: L): boolean;
  /** Has somebody else set limits of his own there? */
  isForeign(state: L): boolean;
  /** What these places really carry now. `wanted` says where to look closer. */
  read(wanted: ReadonlyMap<string, L>, signal: AbortSignal): Promise<ReadonlyMap<string, L>>;
  /** Brings one place from one state to another; resolves when the machine has confirmed it. */
  change(change: LimitChange<L>, signal: AbortSignal): Promise<void>;
  /** Places that wait for a pod: they must be bare. */
  spare(): readonly string[];
  /** Namespaces in which events of links tell that limits may have been changed; undefined: this process's own. */
  readonly watched: readonly (NetnsHandle | undefined)[];
  /** Places that were read or changed whose link it is: indexes of two namespaces may be alike. To recognise events. */
  placesOf(ifindex: number): readonly string[];
  /** The place's events are recognised from now on. */
  note(key: string): Promise<void>;
  /** Forgets places that are gone, and removes what outlived them. */
  forget(keys: Iterable<string>): Promise<void>;
}
