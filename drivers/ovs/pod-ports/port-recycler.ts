import { asNetError, type NetError } from "../../../state/errors.ts";
import { createCallQueue } from "../../netlink/call-queue.ts";
import { deleteLink } from "../../netlink/link.ts";
import { openNetlink } from "../../netlink/socket.ts";
import type { PodEnd } from "../../pod-interface.ts";
import type { PortPool } from "../types.ts";

export interface PortRecyclerOptions {
  readonly pool: Pick<PortPool, "hasRoom" | "clean" | "giveBack">;
  /** Unplugs a port that cannot be used again. */
  readonly close: (portName: string) => void;
  /** The port is no attachment any more and may become another. */
  readonly onClean: (portName: string) => void;
  readonly report: (error: NetError) => void;
  /** Deletes a pod's interface; an error unless it was there. */
  readonly deletePodEnd: (podEnd: PodEnd) => Promise<void>;
}

/**
 * Makes ports ready again whose pods have gone: only the pod's interface is deleted. The switch does not notice; plugging in and out
 * would make it look at all its ports, and forward nothing meanwhile where the datapath is its own.
 */
export interface PortRecycler {
  recycle(portName: string, podEnd: PodEnd): void;
  /** Resolves when nothing is under way. */
  idle(): Promise<void>;
}

/** Each deletion holds a thread for a grace period of the kernel, 15 ms. */
const DELETIONS_MAX = 3;
const WAITING_MAX = 1_024;

export function createPortRecycler(options: PortRecyclerOptions): PortRecycler {
  const { pool } = options;
  const deletions = createCallQueue({ runningMax: DELETIONS_MAX, waitingMax: WAITING_MAX });
  const underWay = new Set<Promise<void>>();

  async function makeReady(portName: string, podEnd: PodEnd): Promise<void> {
    await deletions.run(() => options.deletePodEnd(podEnd));
    const port = await pool.clean(portName);
    options.onClean(portName);
    pool.giveBack(port);
  }

  async function attempt(portName: string, podEnd: PodEnd): Promise<void> {
    try {
      await makeReady(portName, podEnd);
    } catch (error) {
      options.report(asNetError(error, `use port "${portName}" again`));
      options.close(portName);
    } finally {
      podEnd.netns[Symbol.dispose]();
    }
  }

  return {
    recycle: (portName, podEnd) => {
      if (!pool.hasRoom(underWay.size)) {
        podEnd.netns[Symbol.dispose]();
        return options.close(portName);
      }
      const work = attempt(portName, podEnd).finally(() => underWay.delete(work));
      underWay.add(work);
    },
    idle: async () => {
      await Promise.all(underWay);
    },
  };
}

/** An interface that is not there any more may have moved on: its port is not known to be free then, so that is an error, too. */
export async function deletePodEnd({ netns, ifindex }: PodEnd): Promise<void> {
  using socket = openNetlink({ netns });
  await socket.execute([deleteLink({ ifindex })]);
}
