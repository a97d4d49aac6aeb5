import { LINK_ALIAS } from "../driver.ts";
import type { NetnsHandle } from "../netlink/netns.ts";
import type { SocketPool } from "../netlink/pool.ts";
import { StackGuard } from "../stack-guard/guard.ts";
import type { SwitchDatabase } from "./database.ts";
import { HOST_PREFIX } from "./pod-ports/port-pool.ts";
import { closedLinks } from "./uplinks/uplink-closing.ts";

export interface GuardParts {
  readonly database: SwitchDatabase;
  readonly netlink: SocketPool;
  readonly netns: NetnsHandle | undefined;
  readonly vxlanUdpPort: number;
}

/** Keeps from the node's kernel what belongs to the switch of this database. */
export function openGuard({ database, netlink, netns, vxlanUdpPort }: GuardParts): StackGuard {
  const nearEnds = { prefix: HOST_PREFIX, alias: LINK_ALIAS };
  return new StackGuard({ netlink, netns, nearEnds, closed: () => closedLinks(database, vxlanUdpPort) });
}
