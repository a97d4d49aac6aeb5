import { lstat, rm, rmdir } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { asNetError } from "../../state/errors.ts";
import type { CniLog } from "./serve.ts";
import { listenAt, type SocketFile } from "./socket-file.ts";

export interface SocketKeeperOptions {
  readonly path: string;
  readonly connectionsMax: number;
  readonly onConnection: (socket: Socket) => void;
  readonly log: CniLog;
  /** How often the file is looked at. */
  readonly intervalMs?: number;
}

const INTERVAL_MS = 2_000;

/** Listens at a path, and makes the socket's file again when somebody has removed or replaced it. Connections that are open go on. */
export class SocketKeeper {
  readonly #options: SocketKeeperOptions;
  #server: Server | undefined;
  #file: SocketFile | undefined;
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> | undefined;
  #fault: string | undefined;

  constructor(options: SocketKeeperOptions) {
    this.#options = options;
  }

  /** @throws NetError when the socket cannot be made */
  async open(): Promise<void> {
    await this.#listen();
    this.#timer = setInterval(() => {
      this.#looking ??= this.#look().finally(() => {
        this.#looking = undefined;
      });
    }, this.#options.intervalMs ?? INTERVAL_MS).unref();
  }

  /** Why nobody can connect; undefined when the file is there. */
  get fault(): string | undefined {
    return this.#fault;
  }

  /** Takes the file away; open connections go on. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#looking;
    this.#server?.close();
    await this.#file?.remove();
  }

  async #listen(): Promise<void> {
    const { path, connectionsMax, onConnection, log } = this.#options;
    const server = createServer({ allowHalfOpen: true }, onConnection);
    server.maxConnections = connectionsMax;
    this.#file = await listenAt(server, path);
    server.on("error", (error) => log.warn({ error: error.message }, "The CNI socket could not accept a connection"));
    this.#server?.close();
    this.#server = server;
  }

  async #look(): Promise<void> {
    if (await this.#file?.isThere()) {
      this.#fault = undefined;
      return;
    }
    const { path, log } = this.#options;
    try {
      await clearPath(path);
      await this.#listen();
      this.#fault = undefined;
      log.warn({ path }, "The file of the CNI socket was removed or replaced; it is made again");
    } catch (thrown) {
      const { message } = asNetError(thrown, `make CNI socket "${path}" again`);
      if (this.#fault !== message)
        log.warn({ path, error: message }, "The CNI socket cannot be made again; netplugin tries again");
      this.#fault = message;
    }
  }
}

/** What was put in the place of our file goes, if it is a file or an empty directory; a socket may be another daemon's. */
async function clearPath(path: string): Promise<void> {
  const present = await lstat(path).catch(() => undefined);
  if (present === undefined || present.isSocket()) return;
  if (present.isDirectory()) await rmdir(path);
  else await rm(path, { force: true });
}
