import { type AddressRow, dumpAddresses } from "../../../drivers/netlink/address.ts";
import { dumpLinks } from "../../../drivers/netlink/link.ts";
import type { LinkRow } from "../../../drivers/netlink/link-row.ts";
import type { SocketPool } from "../../../drivers/netlink/pool.ts";
import { type AddressFamily, parseAddress, subnetOf } from "../../../state/address.ts";
import type { NodeView } from "../../view/node-view.ts";
import { recordsOf } from "../../view/query.ts";
import type { Reserved } from "./plan.ts";

/** What of this machine and its neighbours infra ports must leave alone. */
export interface Surroundings {
  readonly takenNames: ReadonlySet<string>;
  readonly reserved: readonly Reserved[];
}

export interface SurroundingsInput {
  readonly links: readonly LinkRow[];
  readonly addresses: readonly AddressRow[];
  /** Ports of the integration bridge, with or without a device. */
  readonly portNames: Iterable<string>;
  /** Those of them that are infra ports. */
  readonly infraNames: ReadonlySet<string>;
  readonly view: NodeView;
}

/** RT_SCOPE_LINK, linux/rtnetlink.h: such addresses say nothing about where packets go. */
const SCOPE_LINK = 253;
const ADDRESS_BITS = { 4: 32, 6: 128 } as const;

/** The node's own subnets, and the tunnel addresses of every node: a route that hides one of those would cut its tunnels. */
export function surroundingsOf(input: SurroundingsInput): Surroundings {
  const { links, addresses, infraNames, view } = input;
  const names = new Map(links.map((link) => [link.ifindex, link.name]));
  const foreign = addresses.filter((row) => !infraNames.has(names.get(row.ifindex) ?? "") && row.scope !== SCOPE_LINK);
  const own = foreign.flatMap((row) => reservedOf(row.address, row.prefixLengthBits, `of ${names.get(row.ifindex)}`));
  const tunnels = [...recordsOf(view, "node")].flatMap(({ key, registration: { vtepIp } }) =>
    vtepIp === undefined ? [] : reservedOf(vtepIp, undefined, `the tunnel address of node ${key}`),
  );
  const takenNames = [...names.values(), ...input.portNames].filter((name) => !infraNames.has(name));
  return { takenNames: new Set(takenNames), reserved: [...own, ...tunnels] };
}

function reservedOf(text: string, prefixLengthBits: number | undefined, whose: string): readonly Reserved[] {
  const family: AddressFamily = text.includes(":") ? 6 : 4;
  const address = parseAddress(family, text);
  if (address === undefined) return [];
  const length = prefixLengthBits ?? ADDRESS_BITS[family];
  const what = prefixLengthBits === undefined ? `${text}, ${whose},` : `${text}/${length} ${whose}`;
  return [{ subnet: subnetOf(family, address, length), what }];
}

export async function readSurroundings(
  netlink: SocketPool,
  input: Omit<SurroundingsInput, "links" | "addresses">,
  signal: AbortSignal,
): Promise<Surroundings> {
  const [links, addresses] = await Promise.all([
    netlink.dump(dumpLinks(), { signal }),
    netlink.dump(dumpAddresses(), { signal }),
  ]);
  return surroundingsOf({ ...input, links, addresses });
}
