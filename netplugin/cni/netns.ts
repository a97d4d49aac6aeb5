import { stat, statfs } from "node:fs/promises";
import { cniFault } from "./errors.ts";

/** NSFS_MAGIC of linux/magic.h: the file system of namespace files. */
const NSFS_MAGIC = 0x6e736673;
const OWN_NETNS = "/proc/self/ns/net";

/** Checks a path from CNI_NETNS; `mayBeOwn` lets the daemon's own namespace pass. @throws NetError with CNI code 4 or 8 */
export type NetnsCheck = (path: string, mayBeOwn: boolean) => Promise<void>;

/** Remembers which namespace is the daemon's own, so that no pod's interface is ever made in it. */
export async function netnsCheck(): Promise<NetnsCheck> {
  const own = await stat(OWN_NETNS, { bigint: true });
  return async (path, mayBeOwn) => {
    const [file, fileSystem] = await openable(path);
    if (fileSystem.type !== NSFS_MAGIC) {
      throw invalid(`CNI_NETNS="${path}" is no network namespace; pass the path of one, as /proc/PID/ns/net`);
    }
    if (file.dev === own.dev && file.ino === own.ino && !mayBeOwn) {
      throw invalid(
        `CNI_NETNS="${path}" is the plugin's own network namespace; pass the pod's, or set CNI_NETNS_OVERRIDE=1`,
      );
    }
  };
}

async function openable(path: string) {
  try {
    return await Promise.all([stat(path, { bigint: true }), statfs(path)]);
  } catch (cause) {
    const message = `CNI_NETNS="${path}" cannot be opened on this node; pass the path of an existing network namespace`;
    throw cniFault("invalid-environment", message, { field: "CNI_NETNS", cause });
  }
}

function invalid(message: string): Error {
  return cniFault("invalid-netns", message, { field: "CNI_NETNS" });
}
