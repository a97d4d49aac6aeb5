import { createHash } from "node:crypto";
import { TUNNEL_PORT } from "../../drivers/ovs/names.ts";
import type { OvsDriver, SwitchPort } from "../../drivers/ovs/types.ts";
import { Mac } from "../../state/ids.ts";
import type { NodeName } from "../../state/names.ts";
import { type Attachment, attachmentOf, isSameFacts, POD_ROLE } from "./attachment.ts";
import type { LimitMeans } from "./limit-means.ts";
import type { Machine } from "./machine.ts";

/** What is plugged in on this machine, in the form that the flows are computed from. */
export interface MachineView {
  machine(): Machine;
  /**
   * What the switch shows, and what it showed or the kernel shows and the switch has lost: that has no ofport until it is plugged in
   * again. A port becomes an attachment by ADD, and ceases to be one, or to be that of its lease, by `close` or `remember` only, whatever
   * somebody writes into the switch's database.
   */
  attachments(): ReadonlyMap<string, Attachment>;
  /** The kernel shows whose a port is, and the switch may have lost it or say otherwise. */
  remember(attachment: Attachment): void;
  isClosing(portName: string): boolean;
  /** The port is about to be unplugged or cleaned: it is no attachment any more. False: somebody is at it already. */
  close(portName: string): boolean;
  /** It is unplugged or clean. */
  closed(portName: string): void;
}

export interface MachineOptions {
  readonly driver: OvsDriver;
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
  const { driver, nodeName, newConnectionsPerSecond, neighbourMessagesPerSecond } = options;
  const routerMac = routerMacOf(nodeName);
  const closing = new Set<string>();
  let attachments: ReadonlyMap<string, Attachment> | undefined;
  /** What was attached when it was looked at last, less what has been closed. */
  let remembered: ReadonlyMap<string, Attachment> = new Map();
  /** The ports that `attachments` and `ports` were made from. */
  let seen: ReadonlyMap<string, SwitchPort> | undefined;
  let uplinks: ReadonlyMap<string, number> = new Map();
  let ports: ReadonlyMap<string, number> = new Map();

  /** The driver gives the same map until something has changed. */
  function currentAttachments(): ReadonlyMap<string, Attachment> {
    const all = driver.ports.read();
    if (attachments !== undefined && seen === all) return attachments;
    seen = all;
    attachments = withRemembered({ inSwitch: all, closing, remembered });
    remembered = attachments;
    ports = keepIfEqual(ports, pluggedIn(attachments));
    return attachments;
  }

  return {
    attachments: currentAttachments,
    machine: () => {
      uplinks = keepIfEqual(
        uplinks,
        [...driver.uplinks()].map(([alias, uplink]) => [alias, uplink.patchOfport]),
      );
      currentAttachments();
      const limitMeans = options.limitMeans();
      const tunnelOfport = driver.ports.read().get(TUNNEL_PORT)?.ofport;
      return {
        nodeName,
        routerMac,
        vtepIp: options.vtepIp(),
        tunnelOfport,
        uplinks,
        ports,
        datapathType: driver.datapathType,
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
    isClosing: (portName) => closing.has(portName),
    close: (portName) => {
      if (closing.has(portName)) return false;
      closing.add(portName);
      remembered = new Map([...currentAttachments()].filter(([, attachment]) => attachment.portName !== portName));
      attachments = undefined;
      return true;
    },
    closed: (portName) => {
      closing.delete(portName);
      attachments = undefined;
    },
  };
}

interface Known {
  readonly inSwitch: ReadonlyMap<string, SwitchPort>;
  readonly closing: ReadonlySet<string>;
  readonly remembered: ReadonlyMap<string, Attachment>;
}

/** The node's own ports in infra networks are made anew by their own keeper: of those the switch alone tells. */
function withRemembered({ inSwitch, closing, remembered }: Known): ReadonlyMap<string, Attachment> {
  const kept = [...remembered.values()].filter(({ role }) => role === POD_ROLE);
  const ofPods = new Set(kept.map(({ portName }) => portName));
  const found = new Map<string, Attachment>();
  for (const [name, port] of inSwitch) {
    const attachment = closing.has(name) || ofPods.has(name) ? undefined : attachmentOf(port);
    if (attachment !== undefined) found.set(attachment.endpointKey, attachment);
  }
  for (const each of kept) {
    const port = closing.has(each.portName) ? undefined : inSwitch.get(each.portName);
    found.set(each.endpointKey, asShown(each, port));
  }
  return found;
}

/** The number is the switch's to say; whose the port is, no row can change. */
function asShown(attachment: Attachment, port: SwitchPort | undefined): Attachment {
  const shown = port === undefined ? undefined : attachmentOf(port);
  if (shown !== undefined && isSameFacts(shown, attachment)) return shown;
  return attachment.ofport === port?.ofport ? attachment : { ...attachment, ofport: port?.ofport };
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
