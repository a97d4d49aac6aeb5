import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { z } from "zod";
import { asNetError, NetError } from "../../state/errors.ts";

export interface NoteFilesOptions<T> {
  readonly directory: string;
  readonly schema: z.ZodType<T>;
  /** What a note says, for errors: completes "Cannot write the note of …". */
  readonly noun: string;
  /** What tells one note from another. */
  readonly nameOf: (note: T) => string;
  /** A file that holds no note; it is removed. */
  readonly onUnreadable: (path: string, error: NetError) => void;
}

const FILE_MAX_BYTES = 4_096;
const SUFFIX = ".json";

/**
 * Small notes that outlive this process, a file each, on a file system in memory (/run) beside the CNI socket: written and removed without
 * waiting, and gone after a reboot, as the pods are.
 */
export class NoteFiles<T> {
  readonly #options: NoteFilesOptions<T>;

  constructor(options: NoteFilesOptions<T>) {
    this.#options = options;
  }

  /** Whole or not at all. @throws NetError REJECTED */
  write(note: T): void {
    const path = this.pathOf(note);
    try {
      mkdirSync(this.#options.directory, { recursive: true, mode: 0o700 });
      writeFileSync(`${path}~`, JSON.stringify(note), { mode: 0o600 });
      renameSync(`${path}~`, path);
    } catch (error) {
      throw asNetError(error, `write the note of ${this.#options.noun} to ${path}`, "REJECTED");
    }
  }

  /** @throws NetError REJECTED */
  remove(note: T): void {
    const path = this.pathOf(note);
    try {
      rmSync(path, { force: true });
    } catch (error) {
      throw asNetError(error, `remove the note of ${this.#options.noun} at ${path}`, "REJECTED");
    }
  }

  /** What earlier runs of this process have left. */
  all(): readonly T[] {
    return this.#files().flatMap((name) => {
      const path = join(this.#options.directory, name);
      try {
        return [this.#options.schema.parse(JSON.parse(textOf(path)))];
      } catch (error) {
        this.#options.onUnreadable(path, asNetError(error, "read it"));
        rmSync(path, { recursive: true, force: true });
        return [];
      }
    });
  }

  /** What a note is called may be as long as a file's name. */
  pathOf(note: T): string {
    const name = createHash("sha256").update(this.#options.nameOf(note)).digest("hex");
    return join(this.#options.directory, `${name}${SUFFIX}`);
  }

  #files(): readonly string[] {
    const { directory, noun } = this.#options;
    try {
      return readdirSync(directory).filter((name) => name.endsWith(SUFFIX));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
      throw asNetError(error, `list the notes of ${noun} in ${directory}`, "REJECTED");
    }
  }
}

/** Opening something else than a file might wait for ever. */
function textOf(path: string): string {
  const found = statSync(path);
  if (!found.isFile() || found.size > FILE_MAX_BYTES) throw new NetError("INVALID", "it is no file of ours");
  return readFileSync(path, "utf8");
}
