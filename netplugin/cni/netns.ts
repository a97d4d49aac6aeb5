import { type NetnsHandle, openNetns } from "../../drivers/netlink/netns.ts";
import { nodesNetns } from "../../drivers/pod-netns.ts";
import { asNetError } from "../../state/errors.ts";
import { cniFault } from "./errors.ts";

/** Checks a path from CNI_NETNS; `mayBeOwn` lets the node's own namespace pass, never the panel. @throws NetError with CNI code 4 */
export type NetnsCheck = (path: string, mayBeOwn: boolean) => Promise<void>;

const WANTED = "pass the path of the pod's network namespace, for example /proc/PID/ns/net";

/** Makes sure that no pod's interface is ever made in what is no pod's namespace. `panel` is undefined before there is one. */
export function netnsCheck(panel: () => NetnsHandle | undefined): NetnsCheck {
  return async (path, mayBeOwn) => {
    using netns = open(path);
    switch (nodesNetns(netns, panel())) {
      case "panel":
        throw invalid(
          `CNI_NETNS="${path}" is the patch panel, in which netplugin keeps the ports of all pods; ${WANTED}`,
        );
      case "node":
        if (mayBeOwn) return;
        throw invalid(
          `CNI_NETNS="${path}" is the node's own network namespace; ${WANTED}, or set CNI_NETNS_OVERRIDE=1`,
        );
      case undefined:
        return;
    }
  };
}

function open(path: string): NetnsHandle {
  try {
    return openNetns(path);
  } catch (cause) {
    const { message, cause: deeper } = asNetError(cause, `open ${path}`);
    throw invalid(`CNI_NETNS="${path}" is invalid: ${message}; ${WANTED}`, deeper);
  }
}

function invalid(message: string, cause?: unknown): Error {
  return cniFault("invalid-environment", message, { field: "CNI_NETNS", cause });
}
