import { overlaps, type Subnet } from "../../../state/address.ts";
import { isInfraEndpoint } from "../../../state/infra.ts";
import type { EndpointRecord } from "../../../state/kinds/endpoint.ts";
import type { NetworkRecord } from "../../../state/kinds/network.ts";
import { networkRanges } from "../../../state/network-ranges.ts";
import { type Attachment, INFRA_ROLE } from "../../machine/attachment.ts";
import type { NodeView } from "../../view/node-view.ts";
import { endpointsOfNode, recordsOf } from "../../view/query.ts";
import { infraDeviceName } from "./names.ts";

/** Addresses that this node needs for itself. */
export interface Reserved {
  readonly subnet: Subnet;
  /** For people: `10.0.0.5/24 of eth0`. */
  readonly what: string;
}

export interface InfraInput {
  readonly view: NodeView;
  readonly nodeName: string;
  readonly attachments: ReadonlyMap<string, Attachment>;
  /** Names of devices and ports that are not infra ports. */
  readonly takenNames: ReadonlySet<string>;
  readonly reserved: readonly Reserved[];
}

/** One internal port that this node should have. */
export interface InfraPort {
  readonly network: NetworkRecord;
  readonly deviceName: string;
  /** Undefined until the node has asked for it. */
  readonly lease: EndpointRecord | undefined;
  /** There is a port with the marks of this lease. */
  readonly isPlugged: boolean;
}

/** What should be, and what should not. */
export interface InfraPlan {
  readonly ports: readonly InfraPort[];
  /** Network → why this node has no port in it. */
  readonly refused: ReadonlyMap<string, string>;
  readonly surplusPorts: readonly string[];
  readonly surplusLeases: readonly EndpointRecord[];
}

const NOTHING: InfraPlan = { ports: [], refused: new Map(), surplusPorts: [], surplusLeases: [] };

/** Which infra ports this node should have. Before the first complete view nothing is known, so everything stays. */
export function planInfra(input: InfraInput): InfraPlan {
  const { view, nodeName, attachments } = input;
  if (!view.complete) return NOTHING;
  const leases = [...endpointsOfNode(view, nodeName)].filter(isInfraEndpoint);
  const candidates = inOrder([...recordsOf(view, "network")].filter(isInfra), leases, attachments);
  const refused = refusals(candidates, input.reserved);
  const ports = named(
    candidates.filter(({ network }) => !refused.has(network.key)),
    input.takenNames,
  );
  const kept = new Set(ports.flatMap(({ lease }) => lease?.key ?? []));
  const plugged = new Set(ports.filter(({ isPlugged }) => isPlugged).map(({ lease }) => lease?.key));
  return {
    ports,
    refused,
    surplusPorts: [...attachments.values()]
      .filter(({ role, endpointKey }) => role === INFRA_ROLE && !plugged.has(endpointKey))
      .map(({ portName }) => portName),
    surplusLeases: leases.filter(({ key }) => !kept.has(key)),
  };
}

function isInfra({ config }: NetworkRecord): boolean {
  return config.nwType === "infra";
}

type Candidate = Omit<InfraPort, "deviceName">;

/** Who is plugged in comes first, then who has a lease, then the older: a newcomer never drives out what works. */
function inOrder(
  networks: readonly NetworkRecord[],
  leases: readonly EndpointRecord[],
  attachments: ReadonlyMap<string, Attachment>,
): readonly Candidate[] {
  const isHolder = ({ key, epoch }: EndpointRecord) => attachments.get(key)?.epoch === epoch;
  const candidates = networks.map((network): Candidate => {
    const own = leases.filter((lease) => lease.networkId === network.networkId);
    const lease = own.find(isHolder) ?? own[0];
    return { network, lease, isPlugged: lease !== undefined && isHolder(lease) };
  });
  const rank = ({ lease, isPlugged }: Candidate) => (isPlugged ? 0 : lease === undefined ? 2 : 1);
  return candidates.sort((a, b) => rank(a) - rank(b) || a.network.networkId - b.network.networkId);
}

/** Two ways to one subnet would make the node's own routes a matter of luck: the second is not made. */
function refusals(candidates: readonly Candidate[], reserved: readonly Reserved[]): ReadonlyMap<string, string> {
  const refused = new Map<string, string>();
  const routed: Reserved[] = [...reserved];
  for (const { network } of candidates) {
    const own = subnetsOf(network);
    const clash = routed.find((other) => own.some((mine) => isSameFamilyOverlap(mine.subnet, other.subnet)));
    if (clash === undefined) routed.push(...own);
    else
      refused.set(network.key, `its subnet overlaps ${clash.what} on this node; choose another subnet for one of them`);
  }
  return refused;
}

function isSameFamilyOverlap(left: Subnet, right: Subnet): boolean {
  return left.family === right.family && overlaps(left, right);
}

function subnetsOf({ key, config }: NetworkRecord): readonly Reserved[] {
  const { ipv4, ipv6 } = networkRanges(config);
  return [ipv4, ipv6].flatMap((ranges) =>
    ranges === undefined ? [] : [{ subnet: ranges.subnet, what: `infra network ${key}` }],
  );
}

function named(candidates: readonly Candidate[], takenNames: ReadonlySet<string>): readonly InfraPort[] {
  const assigned = new Set<string>();
  return candidates.map((candidate) => {
    const deviceName = nameOf(candidate, assigned, takenNames);
    assigned.add(deviceName);
    const isSame = candidate.lease?.ifName === deviceName;
    return isSame ? { ...candidate, deviceName } : { ...candidate, deviceName, lease: undefined, isPlugged: false };
  });
}

/** A lease names its device. That of the lease may stand in `takenNames` while an old device of ours is being removed. */
function nameOf({ network, lease }: Candidate, assigned: Set<string>, takenNames: ReadonlySet<string>): string {
  if (lease !== undefined && !assigned.has(lease.ifName)) return lease.ifName;
  return infraDeviceName(network, (name) => assigned.has(name) || takenNames.has(name));
}
