import { asNetError, type NetError } from "../../../state/errors.ts";
import { pause } from "../../../state/waiting/pause.ts";
import { dumpLinks } from "../../netlink/link.ts";
import type { LinkDeleter } from "../../netlink/link-deleter.ts";
import type { SocketPool } from "../../netlink/pool.ts";
import type { PortDriver } from "../types.ts";

export interface PortCloserOptions {
  readonly ports: PortDriver;
  readonly netlink: SocketPool;
  readonly deleter: LinkDeleter;
  readonly signal: AbortSignal;
  readonly onClosed: (portName: string) => void;
  readonly report: (error: NetError) => void;
}

/** Unplugs ports and deletes their links, many at a time, outside of anybody's path. */
export interface PortCloser {
  close(portName: string): void;
  readonly waiting: number;
  /** Resolves when nothing waits. */
  idle(): Promise<void>;
}

/**
 * What comes in within this time goes together: deleting 64 links costs hardly more than one, and each round costs the switch a look
 * at all its ports, which whoever adds a pod meanwhile would have to wait for.
 */
const GATHER_MS = 250;
const RETRY_MS = 500;

export function createPortCloser(options: PortCloserOptions): PortCloser {
  const waiting = new Set<string>();
  let pumping: Promise<void> | undefined;

  async function closeAll(names: ReadonlySet<string>): Promise<void> {
    const links = (await options.netlink.dump(dumpLinks({ kind: "veth" }))).filter((link) => names.has(link.name));
    const failures = await options.ports.apply({ put: new Map(), remove: names });
    for (const failure of failures.values()) throw failure;
    const undeleted = await options.deleter.deleteLinks(links.map((link) => link.ifindex));
    for (const failure of undeleted.values()) throw failure;
  }

  async function pump(): Promise<void> {
    while (waiting.size > 0 && !options.signal.aborted) {
      await pause(GATHER_MS);
      const names = new Set(waiting);
      try {
        await closeAll(names);
        for (const name of names) {
          waiting.delete(name);
          options.onClosed(name);
        }
      } catch (error) {
        options.report(asNetError(error, `remove ${names.size} ports`));
        await pause(RETRY_MS, options.signal);
      }
    }
  }

  function start(): void {
    pumping ??= pump().finally(() => {
      pumping = undefined;
    });
  }

  return {
    close: (portName) => {
      waiting.add(portName);
      start();
    },
    get waiting() {
      return waiting.size;
    },
    idle: async () => {
      await pumping;
    },
  };
}
