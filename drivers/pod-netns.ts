import { NetError } from "../state/errors.ts";
import { type NetnsHandle, type NetnsIdentity, openNetns, sameNetns } from "./netlink/netns.ts";

/** A namespace that is the node's and never a pod's. */
export type NodesNetns = "panel" | "node";

/** Where netplugin itself runs, and the machine's first process. */
const NODE_PATHS = ["/proc/self/ns/net", "/proc/1/ns/net"];

/** Which of the node's own namespaces this is; undefined for every other. `panel` is undefined before there is one. */
export function nodesNetns(netns: NetnsHandle, panel: NetnsHandle | undefined): NodesNetns | undefined {
  if (panel !== undefined && sameNetns(netns, panel)) return "panel";
  nodeNamespaces ??= NODE_PATHS.flatMap((path) => identityOf(path) ?? []);
  return nodeNamespaces.some((one) => sameNetns(netns, one)) ? "node" : undefined;
}

/** Looked up once: neither process leaves its namespace. */
let nodeNamespaces: readonly NetnsIdentity[] | undefined;

/** A path that may not be opened (without CAP_SYS_PTRACE: the first process's) is not compared. */
function identityOf(path: string): NetnsIdentity | undefined {
  try {
    using netns = openNetns(path);
    return { inode: netns.inode, device: netns.device };
  } catch (error) {
    if (error instanceof NetError) return undefined;
    throw error;
  }
}

/**
 * The pod's namespace at that path; undefined when there is none. A path that leads to the node's own namespace or to the panel is not
 * the pod's (any more): the process number in it was given to another process.
 */
export function openPodNetns(path: string, panel: NetnsHandle): NetnsHandle | undefined {
  const netns = openIfThere(path);
  if (netns === undefined || nodesNetns(netns, panel) === undefined) return netns;
  netns[Symbol.dispose]();
  return undefined;
}

function openIfThere(path: string): NetnsHandle | undefined {
  try {
    return openNetns(path);
  } catch (error) {
    if (error instanceof NetError && (error.code === "NOT_FOUND" || error.code === "INVALID")) return undefined;
    throw error;
  }
}
