import { createHash } from "node:crypto";
import { TUNNEL_PORT } from "../drivers/ovs/names.ts";
import type { OvsDriver, SwitchPort } from "../drivers/ovs/types.ts";
import { Mac } from "../state/ids.ts";
import type { NodeName } from "../state/names.ts";
import { type Attachment, attachmentsOf } from "./attach/attachment.ts";
import type { LimitMeans } from "./bandwidth/mechanism.ts";
import type { Machine } from "./desired/machine.ts";

/** What is plugged in on this machine, in the form that the flows are computed from. */
export interface MachineView {
  machine(): Machine;
  attachments(): ReadonlyMap<string, Attachment>;
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
  /** How many connections a pod may begin per second; 0 = any number. */
  readonly newConnectionsPerSecond: number;
}

/** Source MAC of frames that this node routes onto a VLAN: locally administered, the same after every restart. */
export function routerMacOf(nodeName: string): Mac {
  const digest = createHash("sha256").update(nodeName).digest("hex");
  return Mac.parse(`02:03:${(digest.slice(0, 8).match(/../g) ?? []).join(":")}`);
}

export function createMachineView(options: MachineOptions): MachineView {
  const { driver, nodeName, newConnectionsPerSecond } = options;
  const routerMac = routerMacOf(nodeName);
  const closing = new Set<string>();
  let attachments: ReadonlyMap<string, Attachment> | undefined;
  /** The ports that `attachments` and `ports` were made from. */
  let seen: ReadonlyMap<string, SwitchPort> | undefined;
  let uplinks: ReadonlyMap<string, number> = new Map();
  let ports: ReadonlyMap<string, number> = new Map();

  /** The driver gives the same map until something has changed. */
  function currentAttachments(): ReadonlyMap<string, Attachment> {
    const all = driver.ports.read();
    if (attachments !== undefined && seen === all) return attachments;
    seen = all;
    attachments = attachmentsOf(new Map([...all].filter(([name]) => !closing.has(name))));
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
        limitMeans,
        ...(limitMeans?.meters === true && newConnectionsPerSecond > 0 ? { newConnectionsPerSecond } : {}),
      };
    },
    close: (portName) => {
      if (closing.has(portName)) return false;
      closing.add(portName);
      attachments = undefined;
      return true;
    },
    closed: (portName) => {
      closing.delete(portName);
      attachments = undefined;
    },
  };
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
