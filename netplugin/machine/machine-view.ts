import { createHash } from "node:crypto";
import type { NetworkDriver } from "../../drivers/driver.ts";
import { Mac } from "../../state/ids.ts";
import type { NodeName } from "../../state/names.ts";
import { type Attachment, attachmentOf } from "./attachment.ts";
import { AttachmentIndex, type ShownPlaces } from "./attachment-index.ts";
import type { LimitMeans } from "./limit-means.ts";
import type { Machine } from "./machine.ts";

/** What is plugged in on this machine, in the form that the flows are computed from. */
export interface MachineView {
  machine(): Machine;
  /**
   * What the drivers show, and what they showed or the kernel shows and the switch has lost: that has no ofport until it is plugged in
   * again. A port becomes an attachment by ADD, and ceases to be one, or to be that of its lease, by `forget` or `remember` only, whatever
   * somebody writes into the switch's database.
   */
  attachments(): ReadonlyMap<string, Attachment>;
  /** The kernel shows whose a port is, and the switch may have lost it or say otherwise. */
  remember(attachment: Attachment): void;
  /** The port has been released: whatever is there later is another attachment. */
  forget(portName: string): void;
}

/** What the flows need to know of the switch itself. */
export interface SwitchFacts {
  readonly datapathType: "system" | "netdev";
  readonly ports: { read(): ReadonlyMap<string, { readonly ofport: number | undefined }> };
  uplinks(): ReadonlyMap<string, { readonly patchOfport: number }>;
  /** Of the flow-keyed tunnel port. */
  tunnelOfport(): number | undefined;
}

/** What a driver says of attachments. */
export type AttachedPlaces = Pick<NetworkDriver, "name" | "read" | "isReleasing">;

export interface MachineOptions {
  readonly ovs: SwitchFacts;
  readonly drivers: readonly AttachedPlaces[];
  /** Has a DEL of its lease been answered? What is left of it is nobody's. */
  readonly isEnded: (attachment: Attachment) => boolean;
  readonly nodeName: NodeName;
  readonly vtepIp: () => string;
  readonly limitMeans: () => LimitMeans | undefined;
  /** How many connections a pod may begin per second, and how many messages to neighbours it may send; 0 = any number. */
  readonly newConnectionsPerSecond: number;
  readonly neighbourMessagesPerSecond: number;
}

/** Source MAC of frames that this node routes onto a VLAN: locally administered, the same after every restart. */
export function routerMacOf(nodeName: string): Mac {
  const digest = createHash("sha256").update(nodeName).digest("hex");
  return Mac.parse(`02:03:${(digest.slice(0, 8).match(/../g) ?? []).join(":")}`);
}

const NONE: readonly string[] = [];

export function createMachineView(options: MachineOptions): MachineView {
  const { ovs, drivers, nodeName, newConnectionsPerSecond, neighbourMessagesPerSecond } = options;
  const routerMac = routerMacOf(nodeName);
  const index = new AttachmentIndex();
  const shown = shownPlaces(options);
  /** What the index has followed: the switch's ports, then what each driver shows. */
  let followed: readonly ReadonlyMap<string, unknown>[] = [];
  let uplinks: ReadonlyMap<string, number> = new Map();

  /** Drivers give the same map until something has changed. */
  function current(): AttachmentIndex {
    const maps = [ovs.ports.read(), ...drivers.map((driver) => driver.read())];
    const places = new Set(maps.flatMap((map, at) => changedKeys(followed[at] ?? new Map(), map)));
    followed = maps;
    if (places.size > 0) index.follow(shown, places);
    return index;
  }

  return {
    attachments: () => current().attachments,
    machine: () => {
      uplinks = keepIfEqual(
        uplinks,
        [...ovs.uplinks()].map(([alias, uplink]) => [alias, uplink.patchOfport]),
      );
      const limitMeans = options.limitMeans();
      return {
        nodeName,
        routerMac,
        vtepIp: options.vtepIp(),
        tunnelOfport: ovs.tunnelOfport(),
        uplinks,
        ports: current().ofports,
        datapathType: ovs.datapathType,
        limitMeans,
        ...(limitMeans?.meters === true && newConnectionsPerSecond > 0 ? { newConnectionsPerSecond } : {}),
        ...(limitMeans?.meters === true && neighbourMessagesPerSecond > 0 ? { neighbourMessagesPerSecond } : {}),
      };
    },
    remember: (attachment) => {
      const elsewhere = current().remember(attachment);
      if (elsewhere !== undefined) index.follow(shown, [elsewhere]);
    },
    forget: (portName) => {
      current().forget(portName);
      index.follow(shown, [portName]); // it may be shown as another attachment's already
    },
  };
}

/** Of what is new, other or gone; the values are replaced when they change. */
function changedKeys(before: ReadonlyMap<string, unknown>, now: ReadonlyMap<string, unknown>): readonly string[] {
  if (before === now) return NONE;
  const changed: string[] = [];
  for (const [key, value] of now) if (before.get(key) !== value) changed.push(key);
  for (const key of before.keys()) if (!now.has(key)) changed.push(key);
  return changed;
}

function shownPlaces({ drivers, ovs, isEnded }: MachineOptions): ShownPlaces {
  const ofportAt = (place: string) => ovs.ports.read().get(place)?.ofport;
  return {
    at: (place) => {
      for (const driver of drivers) {
        const marks = driver.read().get(place)?.marks;
        if (marks !== undefined) {
          const found = attachmentOf({ name: place, ofport: ofportAt(place), externalIds: marks }, driver.name);
          return found === undefined || isEnded(found) ? undefined : found;
        }
      }
      return undefined;
    },
    ofportAt,
  };
}

/** The flow set takes an unchanged object as "nothing has changed". */
function keepIfEqual(
  before: ReadonlyMap<string, number>,
  entries: readonly (readonly [string, number])[],
): ReadonlyMap<string, number> {
  const same = before.size === entries.length && entries.every(([key, value]) => before.get(key) === value);
  return same ? before : new Map(entries);
}
