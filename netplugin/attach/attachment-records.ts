import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Logger } from "pino";
import { z } from "zod";
import type { SwitchPort } from "../../drivers/ovs/types.ts";
import { asNetError, NetError } from "../../state/errors.ts";
import { type Attachment, attachmentFromMarks, attachmentMarks, isOneLease, POD_ROLE } from "./attachment.ts";

const Marks = z.record(z.string(), z.string());
type Marks = Readonly<z.infer<typeof Marks>>;

export interface KeepOptions {
  readonly attachments: ReadonlyMap<string, Attachment>;
  readonly ports: ReadonlyMap<string, Pick<SwitchPort, "externalIds">>;
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

/**
 * The marks of pods' ports in files, one for each port: what is left of an attachment when its port and its links have both been deleted
 * while netplugin was away. Switch and kernel are believed first. The files are few and small, and belong on a file system in memory
 * (/run), so they are written without waiting, in one piece; half a file is read as none. One that cannot be written is told, and costs its pod nothing but this third witness.
 */
export class AttachmentRecords {
  readonly #directory: string;
  readonly #log: Logger;
  /** What the files say, by port. */
  readonly #byPort = new Map<string, Marks>();
  #failure: string | undefined;

  constructor(directory: string, log: Logger) {
    this.#directory = directory;
    this.#log = log;
    this.#attempt("read", () => {
      mkdirSync(directory, { recursive: true, mode: 0o700 });
      for (const portName of this.#written()) this.#attempt("read", () => this.#read(portName));
    });
  }

  /** The attachments that were written down. */
  all(): readonly Attachment[] {
    return [...this.#byPort.keys()].flatMap((portName) => this.#attachmentOn(portName) ?? []);
  }

  /** Empty when nothing is known of the port. */
  marksOf(portName: string): Marks {
    return this.#byPort.get(portName) ?? {};
  }

  write(portName: string, marks: Marks): void {
    this.#attempt("write", () => {
      writeFileSync(this.#pathOf(portName), JSON.stringify(marks), { mode: 0o600 });
      this.#byPort.set(portName, marks);
    });
  }

  /** The port is no pod's any more. */
  forget(portName: string): void {
    this.#byPort.delete(portName);
    this.#attempt("remove", () => rmSync(this.#pathOf(portName), { force: true }));
  }

  /** Writes what is missing, and takes away what is no attachment any more. */
  keep({ attachments, ports, isPending }: KeepOptions): void {
    this.#attempt("compare", () => {
      mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
      const written = new Set(this.#written());
      const ofPods = [...attachments.values()].filter(({ role }) => role === POD_ROLE);
      for (const attachment of ofPods) {
        const { portName } = attachment;
        const shown = ports.get(portName)?.externalIds ?? {};
        if (written.delete(portName) && isOf(attachment, this.marksOf(portName))) continue;
        this.write(portName, isOf(attachment, shown) ? shown : attachmentMarks(attachment));
      }
      for (const portName of written) {
        const { endpointKey } = this.#attachmentOn(portName) ?? {};
        if (endpointKey === undefined || !isPending(endpointKey)) this.forget(portName);
      }
    });
  }

  #attachmentOn(portName: string): Attachment | undefined {
    return attachmentFromMarks({ name: portName, ofport: undefined, externalIds: this.marksOf(portName) });
  }

  /** Ports with a file. */
  #written(): readonly string[] {
    return readdirSync(this.#directory).flatMap((name) => NAME.exec(name)?.groups?.port ?? []);
  }

  #read(portName: string): void {
    const path = this.#pathOf(portName);
    if (statSync(path).size > RECORD_MAX_BYTES) throw new NetError("INVALID", `${path} is too large`);
    const marks = Marks.safeParse(JSON.parse(readFileSync(path, "utf8")));
    if (!marks.success) throw new NetError("INVALID", `${path} holds no marks of a port`);
    this.#byPort.set(portName, marks.data);
  }

  #pathOf(portName: string): string {
    return join(this.#directory, `${portName}.json`);
  }

  /** What fails is told once, for as long as it fails in the same way. */
  #attempt(what: string, deed: () => void): void {
    try {
      deed();
      if (what === "compare") this.#failure = undefined;
    } catch (thrown) {
      const { message } = asNetError(thrown, `${what} records of attachments in ${this.#directory}`, "REJECTED");
      if (message === this.#failure) return;
      this.#failure = message;
      this.#log.warn(
        { error: message },
        "records of pods' attachments fail; pods go on, and are found by switch and kernel alone",
      );
    }
  }
}

function isOf(attachment: Attachment, externalIds: Marks): boolean {
  const found = attachmentFromMarks({ name: attachment.portName, ofport: undefined, externalIds });
  return found !== undefined && isOneLease(found, attachment);
}
