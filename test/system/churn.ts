import { type ChildProcess, spawn } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import type { ClusterLayout } from "../../deploy/cluster/components.ts";
import {
  discardPod,
  networkConfiguration,
  type Pod,
  type PodPlacement,
  preparePod,
  shimArgv,
  shimEnvironment,
} from "../../deploy/cluster/pods.ts";
import type { Random } from "./random.ts";

/** Container runtimes of all nodes: they add and delete pods without pause, until they are told to stop. */
export interface Churn {
  /** SIGKILL to the shim of a call under way; false when there is none. */
  killShim(random: Random): boolean;
  /** From now on no pod is added any more, but those that are to remain. */
  windDown(): void;
  /** Resolves, after `windDown`, when every pod is either attached, or detached and gone. */
  readonly ended: Promise<ChurnReport>;
}

export interface ChurnReport {
  readonly added: number;
  readonly deleted: number;
  readonly failedAdds: number;
  readonly failedDeletes: number;
}

export interface ChurnOptions {
  readonly layout: ClusterLayout;
  readonly nodes: readonly number[];
  readonly placements: readonly PodPlacement[];
  /** Pods that live at once, per node; half of them remain at the end. */
  readonly podsPerNode: number;
  readonly random: Random;
}

/** A DEL that fails is repeated for so long, as kubelet does. */
const DELETE_FOR_MS = 60_000;

/** Each slot is a place for one pod at a time. */
export function startChurn(options: ChurnOptions): Churn {
  const counts = { added: 0, deleted: 0, failedAdds: 0, failedDeletes: 0 };
  const calls = new Set<ChildProcess>();
  let isStopping = false;

  async function call(pod: Pod, command: "ADD" | "DEL"): Promise<boolean> {
    const child = spawnShim(options.layout, pod, command);
    calls.add(child);
    const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
    calls.delete(child);
    return code === 0;
  }

  async function remove(pod: Pod): Promise<void> {
    const deadlineMs = Date.now() + DELETE_FOR_MS;
    while (!(await call(pod, "DEL"))) {
      counts.failedDeletes++;
      if (Date.now() > deadlineMs) throw new Error(`DEL of ${pod.name} fails for ${DELETE_FOR_MS} ms`);
      await sleep(100);
    }
    await discardPod(options.layout, pod.name);
    counts.deleted++;
  }

  async function live(slot: number): Promise<void> {
    const { random, nodes, placements } = options;
    const staysAtEnd = slot % 2 === 0;
    while (!isStopping || staysAtEnd) {
      const pod = await preparePod(
        options.layout,
        `s${slot}`,
        nodes[slot % nodes.length] ?? 1,
        random.pick(placements),
      );
      const isAttached = await call(pod, "ADD");
      if (isAttached) counts.added++;
      else counts.failedAdds++;
      if (isAttached && isStopping && staysAtEnd) return;
      // A runtime that was refused may try the very same call again before it gives up.
      if (!isAttached && random.next() < 0.3) await call(pod, "ADD");
      await sleep(random.between(0, 200));
      await remove(pod);
    }
  }

  const slots = Array.from({ length: options.podsPerNode * options.nodes.length }, (_, slot) => live(slot));
  const ended = Promise.all(slots).then(() => counts);
  ended.catch(() => {}); // told to whoever waits for it
  return {
    killShim: (random) => calls.size > 0 && random.pick([...calls]).kill("SIGKILL"),
    windDown: () => {
      isStopping = true;
    },
    ended,
  };
}

function spawnShim(layout: ClusterLayout, pod: Pod, command: string): ChildProcess {
  const [file = "", ...args] = shimArgv(layout, pod.node);
  const env = { ...process.env, ...shimEnvironment(layout, pod, command) };
  const child = spawn(file, args, { env, stdio: ["pipe", "ignore", "ignore"] });
  child.stdin?.on("error", () => {}); // it may be killed before it has read anything
  child.stdin?.end(networkConfiguration(pod));
  return child;
}
