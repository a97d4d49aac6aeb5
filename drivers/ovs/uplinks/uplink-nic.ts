import { NetError } from "../../../state/errors.ts";
import { dumpLinks } from "../../netlink/link.ts";
import type { LinkRow } from "../../netlink/link-row.ts";
import type { SocketPool } from "../../netlink/pool.ts";
import { findBridge, type SwitchDatabase } from "../database.ts";
import { uplinkBridgeName } from "../names.ts";

/** What was seen of a NIC last. */
export interface SeenNic {
  readonly ifindex: number;
  readonly mac: string;
  readonly mtuBytes: number;
  /** Of its bridge's own port: another number is another device. */
  readonly deviceIfindex: number | undefined;
}

/** By the NIC's name. */
export type SeenNics = Map<string, SeenNic>;

export interface MissingNicParts {
  readonly netlink: SocketPool;
  readonly database: SwitchDatabase;
  readonly seen: { readonly nics: SeenNics };
}

interface Named {
  readonly alias: string;
  readonly nic: string;
}

/** Why there is no such NIC: the link that it may have become is named. */
export async function missingNic({ alias, nic }: Named, parts: MissingNicParts): Promise<NetError> {
  const text = `NIC "${nic}" of physical network "${alias}" does not exist on this node`;
  const renamed = await findRenamed(nic, parts);
  if (renamed === undefined) return new NetError("NOT_FOUND", text);
  const advice = `give it its name back (ip link set ${renamed.name} down name ${nic}), or stop netplugin, run its cleanup and start it with --uplink ${alias}=${renamed.name}`;
  return new NetError("NOT_FOUND", `${text}; it is called "${renamed.name}" now: ${advice}`);
}

/** The link with the number that the NIC had, or with its hardware address, which its bridge's own port has too. */
async function findRenamed(nic: string, { netlink, database, seen }: MissingNicParts): Promise<LinkRow | undefined> {
  const before = seen.nics.get(nic);
  const bridge = uplinkBridgeName(nic);
  const mac = before?.mac ?? findBridge(database, bridge)?.other_config.get("hwaddr");
  const links = (await netlink.dump(dumpLinks())).filter(({ name }) => name !== bridge);
  return links.find(({ ifindex }) => ifindex === before?.ifindex) ?? links.find((link) => link.mac === mac);
}
