import { lstatSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Logger } from "pino";
import { z } from "zod";
import { asNetError, NetError } from "../../state/errors.ts";
import {
  type Attachment,
  attachmentFromMarks,
  attachmentMarks,
  isOneLease,
  type MarkedPort,
  POD_ROLE,
} from "./attachment.ts";

const Marks = z.record(z.string(), z.string());
type Marks = Readonly<z.infer<typeof Marks>>;

export interface KeepOptions {
  readonly attachments: ReadonlyMap<string, Attachment>;
  readonly ports: ReadonlyMap<string, Pick<MarkedPort, "externalIds">>;
  /** An ADD under way writes its record before the switch shows the attachment. */
  readonly isPending: (endpointKey: string) => boolean;
}

/** ADD writes two or three kilobytes; a larger file is not ours. */
const RECORD_MAX_BYTES = 65_536;
const NAME = /^(?<port>[0-9A-Za-z][\w.-]{0,14})\.json$/;

/** Beside the socket of the CNI plugin, in a directory that only root can change. */
export function recordsDirectoryOf(cniSocketPath: string): string {
  return join(dirname(cniSocketPath), "attachments");
}

interface FileOfPort {
  readonly marks: Marks;
  readonly sizeBytes: number;
}

/**
 * The marks of pods' ports in files, one for each port: what is left of an attachment when its port and its links have both been deleted
 * while netplugin was away. Switch and kernel are believed first. The files are few and small, and belong on a file system in memory
 * (/run), so they are written without waiting. One that cannot be written is told, and costs its pod nothing but this third witness.
 */
export class AttachmentRecords {
  readonly #directory: string;
  readonly #log: Logger;
  readonly #byPort = new Map<string, FileOfPort>();
  /** What failed last, without the file's name: of many that fail alike one is told. */
  #failure: string | undefined;

  constructor(directory: string, log: Logger) {
    this.#directory = directory;
    this.#log = log;
    this.#attempt("read", directory, () => {
      mkdirSync(directory, { recursive: true, mode: 0o700 });
      for (const portName of this.#named()) this.#attempt("read", this.#pathOf(portName), () => this.#read(portName));
    });
  }

  /** The attachments that were written down. */
  all(): readonly Attachment[] {
    return [...this.#byPort.keys()].flatMap((portName) => this.#attachmentOn(portName) ?? []);
  }

  /** Empty when nothing is known of the port. */
  marksOf(portName: string): Marks {
    return this.#byPort.get(portName)?.marks ?? {};
  }

  /** Whole or not at all; whatever has that name is replaced. False: it was told why not. */
  write(portName: string, marks: Marks): boolean {
    const path = this.#pathOf(portName);
    return this.#attempt("write", path, () => {
      const [text, temporary] = [JSON.stringify(marks), `${path}~`];
      rmSync(temporary, { force: true });
      writeFileSync(temporary, text, { mode: 0o600, flag: "wx" });
      renameSync(temporary, path);
      this.#byPort.set(portName, { marks, sizeBytes: Buffer.byteLength(text) });
    });
  }

  /** The port is no pod's any more. */
  forget(portName: string): boolean {
    this.#byPort.delete(portName);
    const path = this.#pathOf(portName);
    return this.#attempt("remove", path, () => rmSync(path, { force: true }));
  }

  /** Writes what is missing or damaged, and takes away what is no attachment any more. */
  keep(options: KeepOptions): void {
    let isWell = true;
    const isListed = this.#attempt("list", this.#directory, () => {
      mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
      isWell = this.#follow(new Set(this.#named()), options);
    });
    if (!isListed || !isWell || this.#failure === undefined) return;
    this.#failure = undefined;
    this.#log.info({ directory: this.#directory }, "Records of pods' attachments can be written again");
  }

  /** False: something failed. */
  #follow(surplus: Set<string>, { attachments, ports, isPending }: KeepOptions): boolean {
    let isWell = true;
    for (const attachment of attachments.values()) {
      const { portName, role } = attachment;
      if (role !== POD_ROLE) continue;
      surplus.delete(portName);
      if (isOf(attachment, this.marksOf(portName)) && this.#isWhole(portName)) continue;
      const shown = ports.get(portName)?.externalIds ?? {};
      isWell = this.write(portName, isOf(attachment, shown) ? shown : attachmentMarks(attachment)) && isWell;
    }
    for (const portName of surplus) {
      const { endpointKey } = this.#attachmentOn(portName) ?? {};
      if (endpointKey === undefined || !isPending(endpointKey)) isWell = this.forget(portName) && isWell;
    }
    return isWell;
  }

  #attachmentOn(portName: string): Attachment | undefined {
    return attachmentFromMarks({ name: portName, ofport: undefined, externalIds: this.marksOf(portName) });
  }

  /** Ports by whose names something is there. */
  #named(): readonly string[] {
    return readdirSync(this.#directory).flatMap((name) => NAME.exec(name)?.groups?.port ?? []);
  }

  #isWhole(portName: string): boolean {
    const found = lstatSync(this.#pathOf(portName), { throwIfNoEntry: false });
    return found?.isFile() === true && found.size === this.#byPort.get(portName)?.sizeBytes;
  }

  /** Opening something else than a file might wait for ever. */
  #read(portName: string): void {
    const path = this.#pathOf(portName);
    const found = lstatSync(path);
    if (!found.isFile()) throw new NetError("INVALID", "it is no file");
    if (found.size > RECORD_MAX_BYTES) throw new NetError("INVALID", `it has more than ${RECORD_MAX_BYTES} bytes`);
    const marks = Marks.safeParse(JSON.parse(readFileSync(path, "utf8")));
    if (!marks.success) throw new NetError("INVALID", "it holds no marks of a port");
    this.#byPort.set(portName, { marks: marks.data, sizeBytes: found.size });
  }

  #pathOf(portName: string): string {
    return join(this.#directory, `${portName}.json`);
  }

  /** What fails is told once, for as long as it fails in the same way. */
  #attempt(what: string, path: string, deed: () => void): boolean {
    try {
      deed();
      return true;
    } catch (thrown) {
      const { code, message } = asNetError(thrown, `${what} the record ${path}`, "REJECTED");
      const failure = `${what}: ${(thrown as NodeJS.ErrnoException).code ?? code}`;
      if (failure !== this.#failure) {
        const advice = "pods go on, and are found by switch and kernel alone";
        this.#log.warn({ path, error: message }, `Records of pods' attachments cannot be read or written; ${advice}`);
      }
      this.#failure = failure;
      return false;
    }
  }
}

function isOf(attachment: Attachment, externalIds: Marks): boolean {
  const found = attachmentFromMarks({ name: attachment.portName, ofport: undefined, externalIds });
  return found !== undefined && isOneLease(found, attachment);
}
