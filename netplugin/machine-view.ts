import { createHash } from "node:crypto";
import { TUNNEL_PORT } from "../drivers/ovs/names.ts";
import type { OvsDriver, SwitchPort } from "../drivers/ovs/types.ts";
import { Mac } from "../state/ids.ts";
import type { NodeName } from "../state/names.ts";
import { type Attachment, attachmentsOf, POD_ROLE } from "./attach/attachment.ts";
import type { LimitMeans } from "./bandwidth/mechanism.ts";
import type { Machine } from "./desired/machine.ts";

/** What is plugged in on this machine, in the form that the flows are computed from. */
export interface MachineView {
  machine(): Machine;
  /**
   * What the switch shows, and what it showed or the kernel shows and the switch has lost: that has no ofport until it is plugged in
   * again. A port ceases to be an attachment by `close` only.
   */
  attachments(): ReadonlyMap<string, Attachment>;
  /** The kernel shows an attachment that the switch may have lost. */
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
    const inSwitch = attachmentsOf(new Map([...all].filter(([name]) => !closing.has(name))));
    attachments = withLost(inSwitch, remembered);
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
        limitMeans,
        ...(limitMeans?.meters === true && newConnectionsPerSecond > 0 ? { newConnectionsPerSecond } : {}),
      };
    },
    remember: (attachment) => {
      remembered = new Map([...currentAttachments(), [attachment.endpointKey, attachment]]);
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

/** The node's own ports in infra networks are made anew by their own keeper. */
function withLost(
  inSwitch: ReadonlyMap<string, Attachment>,
  remembered: ReadonlyMap<string, Attachment>,
): ReadonlyMap<string, Attachment> {
  const missing = [...remembered.values()].filter(
    ({ role, endpointKey }) => role === POD_ROLE && !inSwitch.has(endpointKey),
  );
  if (missing.length === 0) return inSwitch;
  const taken = new Set([...inSwitch.values()].map(({ portName }) => portName));
  const lost = missing.filter(({ portName }) => !taken.has(portName));
  return new Map([
    ...inSwitch,
    ...lost.map((attachment) => [attachment.endpointKey, { ...attachment, ofport: undefined }] as const),
  ]);
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
