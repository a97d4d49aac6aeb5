import { ROLE_KEY } from "../../drivers/ovs/names.ts";
import type { SwitchPort } from "../../drivers/ovs/types.ts";
import { Epoch } from "../../state/ids.ts";

/** Role of a port that a pod uses. */
export const POD_ROLE = "pod";
/** Role of an internal port that an infra network has on this node. */
export const INFRA_ROLE = "infra";

/** One attached endpoint, as the switch's database remembers it: nothing else survives a restart of this process. */
export interface Attachment {
  readonly endpointKey: string;
  readonly epoch: string;
  readonly role: typeof POD_ROLE | typeof INFRA_ROLE;
  readonly portName: string;
  readonly ofport: number | undefined;
  readonly containerId: string;
  readonly ifName: string;
  /** `name` of the CNI configuration, for GC. */
  readonly configName: string;
  /** Path of the pod's namespace at ADD; empty for infra ports. */
  readonly netnsPath: string;
}

const ENDPOINT_KEY = "contiv-endpoint";
const EPOCH_KEY = "contiv-epoch";
const CONTAINER_KEY = "contiv-container";
const IF_NAME_KEY = "contiv-ifname";
const CONFIG_KEY = "contiv-config";
const NETNS_KEY = "contiv-netns";

/** The marks that make a port an attachment. */
export function attachmentMarks(attachment: Omit<Attachment, "portName" | "ofport">): Record<string, string> {
  return {
    [ROLE_KEY]: attachment.role,
    [ENDPOINT_KEY]: attachment.endpointKey,
    [EPOCH_KEY]: attachment.epoch,
    [CONTAINER_KEY]: attachment.containerId,
    [IF_NAME_KEY]: attachment.ifName,
    [CONFIG_KEY]: attachment.configName,
    [NETNS_KEY]: attachment.netnsPath,
  };
}

const FACTS = ["endpointKey", "epoch", "role", "containerId", "ifName", "configName", "netnsPath"] as const;

type LeaseFacts = Pick<Attachment, "endpointKey" | "epoch">;

/** Do both speak of one lease of one endpoint? */
export function isOneLease(left: LeaseFacts, right: LeaseFacts): boolean {
  return left.endpointKey === right.endpointKey && left.epoch === right.epoch;
}

/** Do both say the same of an attachment, wherever it is plugged in? */
export function isSameFacts(left: Omit<Attachment, "portName" | "ofport">, right: typeof left): boolean {
  return left === right || FACTS.every((fact) => left[fact] === right[fact]);
}

/** What the driver gives does not change; of a node's ports few are new each time. */
const known = new WeakMap<SwitchPort, Attachment | undefined>();

/** Reads a port's marks; undefined for ports that nobody uses. */
export function attachmentOf(port: SwitchPort): Attachment | undefined {
  if (!known.has(port)) known.set(port, attachmentFromMarks(port));
  return known.get(port);
}

/** Reads the marks of a port, wherever they stand. */
export function attachmentFromMarks(port: Pick<SwitchPort, "name" | "ofport" | "externalIds">): Attachment | undefined {
  const marks = port.externalIds;
  const role = marks[ROLE_KEY];
  const endpointKey = marks[ENDPOINT_KEY];
  const epoch = marks[EPOCH_KEY];
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
    configName: marks[CONFIG_KEY] ?? "",
    netnsPath: marks[NETNS_KEY] ?? "",
  };
}

/** The epoch as the node API wants it; marks are ours, so a wrong one is a defect. */
export function parseEpoch(text: string): Epoch {
  return Epoch.parse(text);
}
