import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Logger } from "pino";
import { z } from "zod";
import { endpointKeyOf } from "../../state/endpoint-key.ts";
import { asNetError, NetError } from "../../state/errors.ts";

const Call = z.object({ containerId: z.string().min(1), ifName: z.string().min(1) });
/** A CNI call, by the container's interface that it names. */
export type Call = Readonly<z.infer<typeof Call>>;

/** Beside the socket of the CNI plugin, in a directory that only root can change. */
export function unfinishedDirectoryOf(cniSocketPath: string): string {
  return join(dirname(cniSocketPath), "unfinished-calls");
}

const FILE_MAX_BYTES = 4_096;
const SUFFIX = ".json";

/**
 * CNI calls that want several attachments, from the first one on until all are there or none is: what a call has left half done when this
 * process is killed is found here by the next one. Files on a file system in memory (/run), beside the CNI socket; a reboot ends all calls.
 */
export class UnfinishedCalls {
  readonly #directory: string;
  readonly #log: Logger;
  /** Files that are there: most calls have none, and end without a look. */
  readonly #noted = new Set<string>();

  constructor(directory: string, log: Logger) {
    this.#directory = directory;
    this.#log = log;
  }

  /** Before the call's first attachment begins. */
  begin(call: Call): void {
    const path = this.#pathOf(call);
    try {
      mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
      const { containerId, ifName } = call;
      this.#noted.add(path);
      writeFileSync(`${path}~`, JSON.stringify({ containerId, ifName }), { mode: 0o600 });
      renameSync(`${path}~`, path);
    } catch (error) {
      throw asNetError(error, `note down the call ${path} before its first attachment`, "REJECTED");
    }
  }

  /** All of the call's attachments are there, or none. A note that cannot be removed is told: the next start would take the pod for half done. */
  end(call: Call): void {
    const path = this.#pathOf(call);
    if (!this.#noted.has(path)) return;
    try {
      rmSync(path, { force: true });
      this.#noted.delete(path);
    } catch (error) {
      const { message } = asNetError(error, "remove it");
      this.#log.error(
        { path, error: message },
        "The file that marks a CNI call as unfinished cannot be removed; remove it before netplugin restarts",
      );
    }
  }

  /** What earlier runs of this process have left. What cannot be read is told and taken away. */
  all(): readonly Call[] {
    return this.#files().flatMap((name) => {
      const path = join(this.#directory, name);
      try {
        const call = read(path);
        this.#noted.add(path);
        return [call];
      } catch (error) {
        this.#log.warn(
          { path, error: asNetError(error, "read it").message },
          "A file beside the CNI socket does not describe an unfinished call; it is removed",
        );
        rmSync(path, { recursive: true, force: true });
        return [];
      }
    });
  }

  #files(): readonly string[] {
    try {
      return readdirSync(this.#directory).filter((name) => name.endsWith(SUFFIX));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
      throw asNetError(error, `list unfinished calls in ${this.#directory}`, "REJECTED");
    }
  }

  /** A container id may be as long as a file's name. */
  #pathOf(call: Call): string {
    return join(this.#directory, `${createHash("sha256").update(endpointKeyOf(call)).digest("hex")}${SUFFIX}`);
  }
}

function read(path: string): Call {
  const found = statSync(path);
  if (!found.isFile() || found.size > FILE_MAX_BYTES) throw new NetError("INVALID", "it is no file of ours");
  return Call.parse(JSON.parse(readFileSync(path, "utf8")));
}
