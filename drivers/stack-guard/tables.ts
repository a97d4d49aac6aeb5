import { isDeepStrictEqual } from "node:util";
import { NetError } from "../../state/errors.ts";
import { isErrno } from "../netlink/errno.ts";
import type { NetnsHandle } from "../netlink/netns.ts";
import {
  type ChainRow,
  deleteTable,
  dumpChains,
  dumpRules,
  dumpTables,
  type RuleRow,
  replaceTable,
  type Table,
  type TableAddress,
  transaction,
} from "../netlink/nftables/table.ts";
import { type NetlinkSocket, openNetlink } from "../netlink/socket.ts";

export type TableOutcome = "as wanted" | "repaired" | "absent from this kernel";

/** What the kernel says when it has no nftables, or not this family of it. */
const ABSENT = ["EPROTONOSUPPORT", "EOPNOTSUPP", "EAFNOSUPPORT"];

/** Compares a table with what the kernel has, and puts it in its place when they differ. */
export async function ensureTable(wanted: Table, netns?: NetnsHandle): Promise<TableOutcome> {
  return unlessAbsent(netns, async (socket) => {
    if (isDeepStrictEqual(await readTable(socket, wanted.address), wanted)) return "as wanted";
    await socket.execute(transaction(replaceTable(wanted)));
    return "repaired";
  });
}

/** Removes a table; an absent one counts as removed. */
export async function removeTable(address: TableAddress, netns?: NetnsHandle): Promise<void> {
  await unlessAbsent(netns, async (socket) => {
    if ((await readTable(socket, address)) === undefined) return "as wanted";
    await socket.execute(transaction([deleteTable(address)]));
    return "repaired";
  });
}

/** A table with its base chains and all their rules; undefined when there is none of that name. */
export async function readTable(socket: NetlinkSocket, address: TableAddress): Promise<Table | undefined> {
  const [table] = await socket.dump(dumpTables(address));
  if (table === undefined) return undefined;
  const chains = await socket.dump(dumpChains(address));
  const rules = await socket.dump(dumpRules(address));
  return { address, flags: table.flags, chains: chains.map((chain) => withRules(chain, rules)) };
}

function withRules({ table: _, ...chain }: ChainRow, rules: readonly RuleRow[]): Table["chains"][number] {
  return { ...chain, rules: rules.filter((rule) => rule.chain === chain.name).map((rule) => rule.expressions) };
}

/** A socket of its own each time: after a refused transaction more answers may come than were asked for. */
async function unlessAbsent(
  netns: NetnsHandle | undefined,
  work: (socket: NetlinkSocket) => Promise<TableOutcome>,
): Promise<TableOutcome> {
  try {
    using socket = openNetlink({ netns, family: "netfilter" });
    return await work(socket);
  } catch (error) {
    if (error instanceof NetError && isErrno(error, ...ABSENT)) return "absent from this kernel";
    throw error;
  }
}
