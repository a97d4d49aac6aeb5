import type { Delta, Failures } from "../../state/delta.ts";
import type { NetError } from "../../state/errors.ts";
import type { FlowDeed } from "./openflow/packed-flow.ts";

/**
 * What the OVS driver offers to netplugin. It knows bridges, ports and flows; never tenants, networks or endpoints.
 * Doctrine of every `apply`: applying twice equals once, removing what is absent succeeds, one failure stays one.
 */

/** Marks that we leave in `external_ids`; a port or bridge without `contiv-owner` is never touched. */
export const OWNER_MARK = { key: "contiv-owner", value: "contiv-ts" } as const;

/** A port of the integration bridge that exists, as the database and the switch report it. */
export interface SwitchPort {
  readonly name: string;
  /** Undefined until the switch has plugged it in. */
  readonly ofport: number | undefined;
  readonly externalIds: Readonly<Record<string, string>>;
  /** The switch's own text when it cannot plug the port in (no such device, …). */
  readonly error: string | undefined;
  /** What the switch is told to police of what comes in through the port; undefined: nothing. */
  readonly policing: Policing | undefined;
}

/** What the kernel drops of what comes in through a port, in the database's units: kbit of 1000. */
export interface Policing {
  readonly rateKbitPerSecond: number;
  readonly burstKbit: number;
}

/** A port that should exist. A veth's host end must exist before; internal and tunnel devices are made by the switch. */
export type PortSpec =
  | { readonly kind: "system"; readonly externalIds: Readonly<Record<string, string>> }
  | {
      readonly kind: "internal";
      readonly mac: string;
      readonly mtuBytes: number;
      readonly externalIds: Readonly<Record<string, string>>;
    }
  | { readonly kind: "vxlan"; readonly udpPort: number; readonly externalIds: Readonly<Record<string, string>> };

/** Ports of the integration bridge that carry our mark, by name. */
export interface PortDriver {
  read(): ReadonlyMap<string, SwitchPort>;
  /** One transaction for all; resolves when every new port has its ofport (or is in the failures). */
  apply(delta: Delta<PortSpec>, options?: { readonly signal?: AbortSignal }): Promise<Failures>;
  /** Changes only external_ids of existing ports; needs no reconfiguration of the switch. */
  mark(marks: ReadonlyMap<string, Readonly<Record<string, string>>>): Promise<Failures>;
  /**
   * Tells the switch what to police (undefined: nothing) and waits until it has acted. It does not say whether the kernel took it:
   * see the port's filters. Only for the kernel's datapath; the userspace one reads packets before they are policed.
   */
  police(
    wanted: ReadonlyMap<string, Policing | undefined>,
    options?: { readonly signal?: AbortSignal },
  ): Promise<Failures>;
}

/** Flows to add or replace, and flows to remove, by the keys of packed flows. */
export type FlowDelta = Delta<FlowDeed>;

/**
 * Changes of flows that become effective together, or not at all. What is put or removed goes to the switch while more is being
 * computed; the last word on a key counts. Disposed of without `commit`, it has never been.
 */
export interface FlowBundle extends Disposable {
  put(key: string, deed: FlowDeed): void;
  remove(key: string): void;
  /** `room` should be awaited before much more is added. */
  readonly isFull: boolean;
  /** Sends what has been added, and waits while the switch is too far behind. */
  room(): Promise<void>;
  /**
   * When it resolves with no failures, packets see the new flows. Otherwise nothing has changed, and the failures name flows that the
   * switch refuses, as far as it tells: of those that it cannot carry out, the first.
   */
  commit(): Promise<Failures>;
}

/** All flows of the integration bridge whose cookie carries our magic, packed: key → deed. */
export interface FlowDriver {
  /** The map is the caller's own. */
  read(options?: { readonly signal?: AbortSignal }): Promise<Map<string, FlowDeed>>;
  begin(options?: { readonly signal?: AbortSignal }): FlowBundle;
}

/** A veth pair that is plugged in and whose far end waits in the patch panel. */
export interface ReadyPort {
  /** Host end: the name of the OVS port. */
  readonly name: string;
  readonly ifIndex: number;
  /** Far end, an index in the panel's namespace. */
  readonly peerIfIndex: number;
  /** What both ends carry. */
  readonly mtuBytes: number;
  readonly ofport: number;
}

/** Ready ports, so that an ADD does not wait for the switch. Refills itself in the background; adopts what it left before a restart. */
export interface PortPool extends AsyncDisposable {
  /** Hands out a ready port, or makes one when none is ready. */
  take(options: { readonly signal: AbortSignal }): Promise<ReadyPort>;
  /** Gives back a port on which no pod hangs. */
  giveBack(port: ReadyPort): void;
  /** The port is not ready any more: somebody is about to unplug it. */
  withdraw(portName: string): void;
  /** Marks a port as ready again from which the pod's interface has been deleted; `giveBack` then makes it available. */
  clean(portName: string): Promise<ReadyPort>;
  /** Is a used port worth keeping, with so many others on their way back? */
  hasRoom(comingBack: number): boolean;
  /** Plugs in again what waits and has vanished from the switch; how many. */
  repair(): Promise<number>;
  readonly size: number;
}

/** One NIC that carries VLANs or tunnels; its addresses live on the uplink bridge's own port while we hold it. */
export interface Uplink {
  /** Physical network alias. */
  readonly alias: string;
  readonly nic: string;
  readonly bridge: string;
  /** Port of the integration bridge that leads to it. */
  readonly patchOfport: number;
  readonly mtuBytes: number;
  readonly addresses: readonly string[];
  /** What is wrong although it works, or may work again by itself: cause and next step. */
  readonly warning?: string | undefined;
}

/** A NIC that no setting names any more, and that is still in its uplink bridge. */
export interface LeftOverUplink {
  readonly nic: string;
  readonly bridge: string;
  /** Cause and next step. */
  readonly warning: string;
}

export interface DriverChange {
  /** The switch or its database has started anew: what it had may be gone. */
  readonly resync: boolean;
  /** An uplink's device has changed: bridges and addresses want a look. */
  readonly uplinks: boolean;
  /** A bridge, the tunnel port or a setting of a port of ours is missing, or not as we made it. */
  readonly base: boolean;
}

export interface OvsDriver extends AsyncDisposable {
  readonly ports: PortDriver;
  readonly flows: FlowDriver;
  readonly datapathType: "system" | "netdev";
  readonly ovsVersion: string;
  uplinks(): ReadonlyMap<string, Uplink>;
  /** What is wrong with an uplink (NIC missing, link down, take-over undone), by alias. */
  uplinkFailures(): ReadonlyMap<string, NetError>;
  /** Bridges of uplinks of an earlier configuration. */
  leftOverUplinks(): readonly LeftOverUplink[];
  /** Says "look again". */
  onChange(listener: (change: DriverChange) => void): () => void;
  readonly connected: boolean;
  /** Why not, for people; undefined while it is. */
  fault(): string | undefined;
}
