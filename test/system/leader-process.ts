import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { Campaign } from "../../state/store/store.ts";
import { compiledRoot } from "./netmaster-process.ts";

export interface LeaderStart {
  readonly endpoints: readonly string[];
  readonly campaign: Pick<Campaign, "key" | "value"> & { readonly ttlS: number };
}

export type LeaderOrder =
  /** The main thread stands still. */
  | { readonly is: "block"; readonly ms: number }
  /** The main thread looks at the clock without pause, until it finds that it was stopped for at least `ms`. */
  | { readonly is: "await-stop"; readonly ms: number }
  /** One commit with the leadership's guard. */
  | { readonly is: "write"; readonly key: string };

export interface LeaderAnswer {
  readonly epoch: string;
  /** In the same turn of the event loop in which the order ended. */
  readonly isValid: boolean;
  readonly committed?: boolean;
  /** Why it was lost, when it is. */
  readonly lost?: string;
}

export interface LeaderProcess extends Disposable {
  readonly epoch: bigint;
  /** Carries out one order; one at a time. */
  order(order: LeaderOrder): Promise<LeaderAnswer>;
  /** SIGSTOP. */
  stop(): void;
  /** SIGCONT. */
  cont(): void;
}

/** Starts a process of its own, of the compiled product, that leads. It ends with this one. */
export async function startLeader(start: LeaderStart): Promise<LeaderProcess> {
  const program = fileURLToPath(new URL("./leader-program.mjs", import.meta.url));
  const child = fork(program, [await compiledRoot()], { execArgv: [] });
  await once(child, "message");
  function order(wanted: LeaderOrder | ({ readonly is: "lead" } & LeaderStart)): Promise<LeaderAnswer> {
    return new Promise((resolve, reject) => {
      const onExit = (code: number | null) => reject(new Error(`the leader's process ended with code ${code}`));
      child.once("exit", onExit);
      child.once("message", (answer) => {
        child.off("exit", onExit);
        resolve(answer as LeaderAnswer);
      });
      child.send(wanted);
    });
  }
  const { epoch } = await order({ is: "lead", ...start });
  return {
    epoch: BigInt(epoch),
    order,
    stop: () => void child.kill("SIGSTOP"),
    cont: () => void child.kill("SIGCONT"),
    [Symbol.dispose]: () => void child.kill("SIGKILL"),
  };
}
