import { createHash } from "node:crypto";
import type { Attached, NetworkDriver } from "../../drivers/driver.ts";
import type { DriverName } from "../../state/driver-name.ts";
import { Mac } from "../../state/ids.ts";
import type { NodeName } from "../../state/names.ts";
import { type Attachment, attachmentFromMarks, isSameFacts, POD_ROLE } from "./attachment.ts";
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

export function createMachineView(options: MachineOptions): MachineView {
  const { ovs, drivers, nodeName, newConnectionsPerSecond, neighbourMessagesPerSecond } = options;
  const routerMac = routerMacOf(nodeName);
  let attachments: ReadonlyMap<string, Attachment> | undefined;
  /** What was attached when it was looked at last, less what has been released. */
  let remembered: ReadonlyMap<string, Attachment> = new Map();
  /** What `attachments` and `ports` were made from: the switch's ports, then what each driver shows. */
  let seen: readonly ReadonlyMap<string, unknown>[] = [];
  let uplinks: ReadonlyMap<string, number> = new Map();
  let ports: ReadonlyMap<string, number> = new Map();

  /** Drivers give the same map until something has changed. */
  function currentAttachments(): ReadonlyMap<string, Attachment> {
    const shown = [ovs.ports.read(), ...drivers.map((driver) => driver.read())];
    if (attachments !== undefined && shown.every((map, index) => seen[index] === map)) return attachments;
    seen = shown;
    attachments = withRemembered({ shown: places(drivers, ovs), remembered, ovs });
    remembered = attachments;
    ports = keepIfEqual(ports, pluggedIn(attachments));
    return attachments;
  }

  return {
    attachments: currentAttachments,
    machine: () => {
      uplinks = keepIfEqual(
        uplinks,
        [...ovs.uplinks()].map(([alias, uplink]) => [alias, uplink.patchOfport]),
      );
      currentAttachments();
      const limitMeans = options.limitMeans();
      return {
        nodeName,
        routerMac,
        vtepIp: options.vtepIp(),
        tunnelOfport: ovs.tunnelOfport(),
        uplinks,
        ports,
        datapathType: ovs.datapathType,
        limitMeans,
        ...(limitMeans?.meters === true && newConnectionsPerSecond > 0 ? { newConnectionsPerSecond } : {}),
        ...(limitMeans?.meters === true && neighbourMessagesPerSecond > 0 ? { neighbourMessagesPerSecond } : {}),
      };
    },
    remember: (attachment) => {
      const others = [...currentAttachments()].filter(([, { portName }]) => portName !== attachment.portName);
      remembered = new Map([...others, [attachment.endpointKey, attachment]]);
      attachments = undefined;
    },
    forget: (portName) => {
      remembered = new Map([...currentAttachments()].filter(([, attachment]) => attachment.portName !== portName));
      attachments = undefined;
    },
  };
}

/** Every place that a driver shows, by its name. */
function places(drivers: readonly AttachedPlaces[], { ports }: SwitchFacts): ReadonlyMap<string, Attachment> {
  const found = new Map<string, Attachment>();
  for (const driver of drivers) {
    for (const [key, attached] of driver.read()) {
      const attachment = attachmentAt(driver.name, attached, ports.read().get(key)?.ofport);
      if (attachment !== undefined) found.set(key, attachment);
    }
  }
  return found;
}

/** What drivers give does not change; of a node's places few are new each time. */
const known = new WeakMap<Attached, Attachment | undefined>();

function attachmentAt(name: DriverName, attached: Attached, ofport: number | undefined): Attachment | undefined {
  const before = known.get(attached);
  if (before !== undefined && before.ofport === ofport) return before;
  const found = attachmentFromMarks({ name: attached.key, ofport, externalIds: attached.marks });
  const attachment = found === undefined || name === "ovs" ? found : { ...found, driver: name };
  known.set(attached, attachment);
  return attachment;
}

interface Known {
  /** By place. */
  readonly shown: ReadonlyMap<string, Attachment>;
  /** By endpoint. */
  readonly remembered: ReadonlyMap<string, Attachment>;
  readonly ovs: SwitchFacts;
}

/** The node's own ports in infra networks are made anew by their own keeper: of those the switch alone tells. */
function withRemembered({ shown, remembered, ovs }: Known): ReadonlyMap<string, Attachment> {
  const kept = [...remembered.values()].filter(({ role }) => role === POD_ROLE);
  const ofPods = new Set(kept.map(({ portName }) => portName));
  const found = new Map<string, Attachment>();
  for (const [name, attachment] of shown) if (!ofPods.has(name)) found.set(attachment.endpointKey, attachment);
  for (const each of kept) {
    const ofport = ovs.ports.read().get(each.portName)?.ofport;
    found.set(each.endpointKey, asShown(each, shown.get(each.portName), ofport));
  }
  return found;
}

/** The number is the switch's to say; whose the port is, no row can change. */
function asShown(attachment: Attachment, shown: Attachment | undefined, ofport: number | undefined): Attachment {
  if (shown !== undefined && isSameFacts(shown, attachment)) return shown;
  return attachment.ofport === ofport ? attachment : { ...attachment, ofport };
}

function pluggedIn(attachments: ReadonlyMap<string, Attachment>): [string, number][] {
  return [...attachments].flatMap(([key, { ofport }]) => (ofport === undefined ? [] : [[key, ofport]]));
}

/** The flow set takes an unchanged object as "nothing has changed". */
function keepIfEqual(
  before: ReadonlyMap<string, number>,
  entries: readonly (readonly [string, number])[],
): ReadonlyMap<string, number> {
  const same = before.size === entries.length && entries.every(([key, value]) => before.get(key) === value);
  return same ? before : new Map(entries);
}
