import { NetError } from "../../state/errors.ts";
import { isErrno } from "../netlink/errno.ts";
import { addMatchAll, deleteFilters, dumpFilters } from "../netlink/filter.ts";
import { createLink, deleteLink } from "../netlink/link.ts";
import type { SocketPool } from "../netlink/pool.ts";
import { addIngress, deleteIngress } from "../netlink/qdisc.ts";
import type { TbfParameters } from "../netlink/tbf.ts";
import { findLink, putTbf } from "./qdiscs.ts";

export const IFB_PREFIX = "cvi";
const PORT_PREFIX_LENGTH = 3;

/** The ifb that shapes what comes in through a port; one for each such port, named like it. */
export function ifbNameOf(portName: string): string {
  return IFB_PREFIX + portName.slice(PORT_PREFIX_LENGTH);
}

export interface IfbPort {
  readonly portName: string;
  readonly ifindex: number;
}

/** Redirects what comes in through the port to an ifb of its own and shapes it there; what is there already is kept. */
export async function putIfb(netlink: SocketPool, port: IfbPort, wanted: TbfParameters): Promise<void> {
  const name = ifbNameOf(port.portName);
  const toIfindex = (await findLink(netlink, name)) ?? (await makeIfb(netlink, name));
  await putTbf(netlink, toIfindex, wanted);
  if (await isRedirected(netlink, port.ifindex, toIfindex)) return;
  await netlink.use(async (socket) => {
    const [hook] = await socket.settle([addIngress(port.ifindex)]);
    if (hook?.error !== undefined && !isErrno(hook.error, "EEXIST")) throw hook.error;
    const redirect = addMatchAll("u32", { ifindex: port.ifindex }, [{ kind: "redirect", toIfindex }]);
    await socket.settle([deleteFilters({ ifindex: port.ifindex })]);
    await socket.execute([redirect]);
  });
}

async function makeIfb(netlink: SocketPool, name: string): Promise<number> {
  await netlink.execute([createLink("ifb", { name, up: true })]);
  const ifindex = await findLink(netlink, name);
  if (ifindex === undefined) throw new NetError("REJECTED", `Cannot find ifb "${name}" that was just made`);
  return ifindex;
}

export async function isRedirected(netlink: SocketPool, ifindex: number, toIfindex: number): Promise<boolean> {
  const filters = await netlink.dump(dumpFilters({ ifindex })).catch((error: unknown) => {
    if (isErrno(error, "EINVAL", "ENOENT", "ENODEV")) return []; // no ingress qdisc
    throw error;
  });
  return filters.some(({ actions }) =>
    actions.some((each) => each.kind === "redirect" && each.toIfindex === toIfindex),
  );
}

/** Ends the redirect and deletes the ifb; of a port that is gone only the ifb is left. */
export async function removeIfb(netlink: SocketPool, portName: string, ifindex: number | undefined): Promise<void> {
  await netlink.use(async (socket) => {
    const hook = ifindex === undefined ? [] : [deleteIngress(ifindex)];
    for (const { error } of await socket.settle([...hook, deleteLink({ name: ifbNameOf(portName) })])) {
      if (error !== undefined && !isErrno(error, "ENODEV", "ENOENT", "EINVAL")) throw error;
    }
  });
}
