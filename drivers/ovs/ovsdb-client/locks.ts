import * as z from "zod";
import { NetError } from "../../../state/errors.ts";
import { type CallOptions, waitFor } from "../../../state/waiting/limit.ts";
import { ovsdbLimit } from "./limit.ts";
import type { Session } from "./session.ts";
import { identifier } from "./transact.ts";

const LockReply = z.object({ locked: z.boolean() });

/** The locks that one connection waits for (RFC 7047 §4.1.8). */
export interface Locks {
  acquire(name: string, options: CallOptions): Promise<void>;
  release(name: string, options: CallOptions): Promise<void>;
  /** The server says that a lock is ours now (RFC 7047 §4.1.9). */
  granted(name: unknown): void;
}

export function createLocks(session: () => Session): Locks {
  const waiting = new Map<unknown, () => void>();

  async function acquire(name: string, options: CallOptions): Promise<void> {
    if (waiting.has(name)) throw new NetError("CONFLICT", `Lock "${name}" is being waited for already`);
    try {
      await waitFor<void>(ovsdbLimit(`get lock "${name}"`, options), (resolve, reject) => {
        waiting.set(name, resolve);
        session()
          .call("lock", [identifier(name, "lock")], { accept: (reply) => LockReply.parse(reply).locked })
          .then((locked) => (locked ? resolve() : session().closed.then(() => reject(lost(name)))))
          .catch(reject);
      });
    } catch (thrown) {
      if (session().isOpen) await release(name, {}).catch(() => {}); // the reason to give up matters more
      throw thrown;
    } finally {
      waiting.delete(name);
    }
  }

  async function release(name: string, options: CallOptions): Promise<void> {
    await session().call("unlock", [identifier(name, "lock")], { ...options, accept: () => undefined });
  }

  return { acquire, release, granted: (name) => waiting.get(name)?.() };
}

function lost(name: string): NetError {
  return new NetError("UNAVAILABLE", `Cannot get lock "${name}": the connection ended`);
}
