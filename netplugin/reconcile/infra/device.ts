import { type AddressRow, addAddress, dumpAddresses } from "../../../drivers/netlink/address.ts";
import { getLink, setLink } from "../../../drivers/netlink/link.ts";
import type { LinkRow } from "../../../drivers/netlink/link-row.ts";
import type { Message } from "../../../drivers/netlink/message.ts";
import type { SocketPool } from "../../../drivers/netlink/pool.ts";
import { addRoute, dumpRoutes, type RouteRow, RT_TABLE_MAIN } from "../../../drivers/netlink/route.ts";
import { formatAddress, type Subnet } from "../../../state/address.ts";
import type { EndpointRecord } from "../../../state/kinds/endpoint.ts";
import type { NetworkRecord } from "../../../state/kinds/network.ts";
import type { NodeRegistration } from "../../../state/kinds/node.ts";
import { podMtuBytes } from "../../../state/mtu.ts";
import { networkRanges } from "../../../state/network-ranges.ts";
import { canonicalIpv6 } from "../../desired/pipeline/actions.ts";

/** What an infra port's device is to look like. There is no default route: the node has its own. */
export interface InfraDevice {
  readonly mac: string;
  readonly mtuBytes: number;
  readonly addresses: readonly { readonly prefix: string; readonly onLink: string }[];
}

/** What it looks like. */
export interface DeviceState {
  readonly link: LinkRow;
  readonly addresses: readonly AddressRow[];
  readonly routes: readonly RouteRow[];
}

export function infraDevice(network: NetworkRecord, lease: EndpointRecord, node: NodeRegistration): InfraDevice {
  const { ipv4, ipv6 } = networkRanges(network.config);
  const { underlayMtuBytes, vtepIp } = node;
  const { encap, mtuBytes: configuredMtuBytes } = network.config;
  return {
    mac: lease.mac,
    mtuBytes: podMtuBytes({ encap, underlayMtuBytes, vtepIp, configuredMtuBytes }),
    addresses: [
      addressIn(ipv4.subnet, lease.ipv4),
      ...(lease.ipv6 === undefined || ipv6 === undefined ? [] : [addressIn(ipv6.subnet, canonicalIpv6(lease.ipv6))]),
    ],
  };
}

function addressIn({ family, first, prefixLength }: Subnet, address: string) {
  const onLink = `${formatAddress(family, first)}/${prefixLength}`;
  return { prefix: `${address}/${prefixLength}`, onLink };
}

/** What the switch must be told anew: a value set by netlink alone is gone after its next reconfiguration. */
export function differsInSwitch(wanted: InfraDevice, { link }: DeviceState): boolean {
  return link.mac !== wanted.mac || link.mtuBytes !== wanted.mtuBytes;
}

/** What is to be changed, in this order; nothing when the device is as it should be. Addresses of others stay. */
export function deviceRepairs(wanted: InfraDevice, { link, addresses, routes }: DeviceState): readonly Message[] {
  const { ifindex } = link;
  const changes = {
    ...(link.mac === wanted.mac ? {} : { mac: wanted.mac }),
    ...(link.mtuBytes === wanted.mtuBytes ? {} : { mtuBytes: wanted.mtuBytes }),
    ...(link.up ? {} : { up: true }),
  };
  const present = new Set(addresses.map((row) => `${row.address}/${row.prefixLengthBits}`));
  const onLink = new Set(routes.filter(({ table }) => table === RT_TABLE_MAIN).map((row) => row.destination));
  const missing = wanted.addresses.filter(({ prefix }) => !present.has(prefix));
  const cut = wanted.addresses.filter((address) => present.has(address.prefix) && !onLink.has(address.onLink));
  return [
    ...(Object.keys(changes).length === 0 ? [] : [setLink({ ifindex }, changes)]),
    ...missing.map(({ prefix }) => addAddress({ ifindex, prefix, skipDuplicateDetection: prefix.includes(":") })),
    ...(link.up ? cut.map((address) => addRoute({ destination: address.onLink, ifindex })) : []),
  ];
}

/** ENODEV when there is no such device. */
export async function readDevice(netlink: SocketPool, name: string, signal: AbortSignal): Promise<DeviceState> {
  const link = await netlink.get(getLink({ name }), { signal });
  const filter = { ifindex: link.ifindex };
  const [addresses, routes] = await Promise.all([
    netlink.dump(dumpAddresses(filter), { signal }),
    netlink.dump(dumpRoutes(filter), { signal }),
  ]);
  return { link, addresses: addresses.filter((row) => row.ifindex === link.ifindex), routes };
}
