import { type Marks, ROLE_MARK } from "../../drivers/driver.ts";
import { type DriverName, namedDriver } from "../../state/driver-name.ts";
import type { ContainerInterface } from "../../state/endpoint-key.ts";
import { Epoch } from "../../state/ids.ts";

/** Role of a port that a pod uses. */
export const POD_ROLE = "pod";
/** Role of an internal port that an infra network has on this node. */
export const INFRA_ROLE = "infra";

/** One attached endpoint, as its marks on the machine remember it: nothing else survives a restart of this process. */
export interface Attachment {
  readonly endpointKey: string;
  readonly epoch: string;
  readonly role: typeof POD_ROLE | typeof INFRA_ROLE;
  /** What its driver calls the place. */
  readonly portName: string;
  /** Its number in the switch's flows; undefined while the switch has not plugged it in, and for drivers without flows. */
  readonly ofport: number | undefined;
  /** `ovs` when absent. */
  readonly driver?: DriverName;
  readonly containerId: string;
  readonly ifName: string;
  /** Interface name of the CNI call that made it, one call may make several; `ifName` when absent. */
  readonly callIfName?: string;
  /** `name` of the CNI configuration, for GC. */
  readonly configName: string;
  /** Path of the pod's namespace at ADD; empty for infra ports. */
  readonly netnsPath: string;
}

const ENDPOINT_KEY = "contiv-endpoint";
const EPOCH_KEY = "contiv-epoch";
const CONTAINER_KEY = "contiv-container";
const IF_NAME_KEY = "contiv-ifname";
const CALL_KEY = "contiv-call";
const CONFIG_KEY = "contiv-config";
const NETNS_KEY = "contiv-netns";

/** What makes a place a pod's, whatever place that is. */
export type AttachmentFacts = Omit<Attachment, "portName" | "ofport" | "driver">;

/** Did a call for another interface of the container make it? */
export function isOfOtherCall(facts: AttachmentFacts): facts is AttachmentFacts & { readonly callIfName: string } {
  return facts.callIfName !== undefined && facts.callIfName !== facts.ifName;
}

/** The lease that it was made for. */
export function leaseOf({ endpointKey, epoch }: AttachmentFacts): { readonly key: string; readonly epoch: string } {
  return { key: endpointKey, epoch };
}

/** The CNI call that made it. */
export function callOf({ containerId, ifName, callIfName = ifName }: AttachmentFacts): ContainerInterface {
  return { containerId, ifName: callIfName };
}

/** The marks that make a place an attachment. */
export function attachmentMarks(attachment: AttachmentFacts): Record<string, string> {
  return {
    [ROLE_MARK]: attachment.role,
    [ENDPOINT_KEY]: attachment.endpointKey,
    [EPOCH_KEY]: attachment.epoch,
    [CONTAINER_KEY]: attachment.containerId,
    [IF_NAME_KEY]: attachment.ifName,
    ...(isOfOtherCall(attachment) ? { [CALL_KEY]: attachment.callIfName } : {}),
    [CONFIG_KEY]: attachment.configName,
    [NETNS_KEY]: attachment.netnsPath,
  };
}

const FACTS = [
  "endpointKey",
  "epoch",
  "role",
  "containerId",
  "ifName",
  "callIfName",
  "configName",
  "netnsPath",
] as const;

type LeaseFacts = Pick<Attachment, "endpointKey" | "epoch">;

/** Do both speak of one lease of one endpoint? */
export function isOneLease(left: LeaseFacts, right: LeaseFacts): boolean {
  return left.endpointKey === right.endpointKey && left.epoch === right.epoch;
}

/** Do both say the same of an attachment, wherever it is plugged in? */
export function isSameFacts(left: AttachmentFacts, right: AttachmentFacts): boolean {
  return left === right || FACTS.every((fact) => left[fact] === right[fact]);
}

/** A port of the switch as far as its marks go. */
export interface MarkedPort {
  readonly name: string;
  readonly ofport: number | undefined;
  readonly externalIds: Marks;
}

interface KnownMarks {
  readonly name: string;
  readonly ofport: number | undefined;
  readonly attachment: Attachment | undefined;
}

/** Marks that a driver gives do not change; of a node's places few are new each time. */
const known = new WeakMap<Marks, KnownMarks>();

/** Reads the marks of a place, the same attachment for the same marks; undefined for places that nobody uses. */
export function attachmentOf(port: MarkedPort, driver: DriverName = "ovs"): Attachment | undefined {
  const { name, ofport, externalIds } = port;
  const before = known.get(externalIds);
  if (before?.name === name && before.ofport === ofport) return before.attachment;
  const found = attachmentFromMarks(port);
  const attachment = found === undefined ? undefined : { ...found, ...namedDriver(driver) };
  known.set(externalIds, { name, ofport, attachment });
  return attachment;
}

/** Reads the marks of a port, wherever they stand. */
export function attachmentFromMarks(port: MarkedPort): Attachment | undefined {
  const marks = port.externalIds;
  const role = marks[ROLE_MARK];
  const endpointKey = marks[ENDPOINT_KEY];
  const epoch = marks[EPOCH_KEY];
  const callIfName = marks[CALL_KEY];
  if (endpointKey === undefined || epoch === undefined) return undefined;
  if (role !== POD_ROLE && role !== INFRA_ROLE) return undefined;
  return {
    endpointKey,
    epoch,
    role,
    portName: port.name,
    ofport: port.ofport,
    containerId: marks[CONTAINER_KEY] ?? "",
    ifName: marks[IF_NAME_KEY] ?? "",
    ...(callIfName === undefined ? {} : { callIfName }),
    configName: marks[CONFIG_KEY] ?? "",
    netnsPath: marks[NETNS_KEY] ?? "",
  };
}

/** The epoch as the node API wants it; marks are ours, so a wrong one is a defect. */
export function parseEpoch(text: string): Epoch {
  return Epoch.parse(text);
}
