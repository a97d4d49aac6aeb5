import { dumpLinks } from "../../netlink/link.ts";
import type { LinkRow } from "../../netlink/link-row.ts";
import type { SocketPool } from "../../netlink/pool.ts";
import type { Panel } from "./panel.ts";
import { hostNameOf, isHostName, isOurAlias, peerNameOf } from "./port-pool.ts";

/** The veth pair of a port, as far as it is where we put it. */
export interface LinkPair {
  readonly portName: string;
  /** In the switch's namespace; its name may have been changed. */
  readonly near: LinkRow | undefined;
  /** In the panel. Without macvlan it is in the pod. */
  readonly far: LinkRow | undefined;
}

/** Every veth pair of ours, by the name of the port that it belongs to. An end that was renamed is found by its other end. */
export async function readPairs(
  netlink: SocketPool,
  panel: Pick<Panel, "netlink">,
): Promise<ReadonlyMap<string, LinkPair>> {
  const veths = dumpLinks({ kind: "veth" });
  const [near, far] = await Promise.all([netlink.dump(veths), panel.netlink.dump(veths)]);
  return pairUp(near, far);
}

/** The same of links that have been read. */
export function pairUp(near: readonly LinkRow[], far: readonly LinkRow[]): ReadonlyMap<string, LinkPair> {
  const nearByIndex = new Map(near.map((link) => [link.ifindex, link]));
  const farByIndex = new Map(far.map((link) => [link.ifindex, link]));
  const pairs = new Map<string, LinkPair>();
  for (const link of near) {
    if (!isHostName(link.name)) continue;
    pairs.set(link.name, { portName: link.name, near: link, far: otherEnd(link, farByIndex) });
  }
  for (const link of far) {
    const portName = hostNameOf(link.name);
    if (portName === undefined || pairs.has(portName)) continue;
    const other = otherEnd(link, nearByIndex);
    pairs.set(portName, { portName, near: isOurAlias(other?.alias) ? other : undefined, far: link });
  }
  return pairs;
}

/** Indexes of two namespaces may be alike: both ends must name each other. */
function otherEnd(link: LinkRow, others: ReadonlyMap<number, LinkRow>): LinkRow | undefined {
  const other = others.get(link.peerIfindex ?? 0);
  return other?.peerIfindex === link.ifindex ? other : undefined;
}

/** Are both ends there under their names? */
export function isWhole({ portName, near, far }: LinkPair): boolean {
  return near?.name === portName && far?.name === peerNameOf(portName);
}

/** The kernel's datapath is the master of its ports; a link without kind is one of an old kernel's. */
const DATAPATH_KINDS: readonly (string | undefined)[] = ["openvswitch", undefined];

/** Does the near end hang on somebody else's bridge, bond or VRF? What it carries goes there instead of to the switch alone. */
export function isNearCaptured({ near }: LinkPair): boolean {
  return hasMaster(near) && !DATAPATH_KINDS.includes(near?.masterKind);
}

/** The same of the far end, which hangs on nothing. */
export function isFarCaptured({ far }: LinkPair): boolean {
  return hasMaster(far);
}

function hasMaster(link: LinkRow | undefined): boolean {
  return (link?.masterIfindex ?? 0) !== 0;
}
