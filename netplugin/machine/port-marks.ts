import type { Marks } from "../../drivers/driver.ts";
import type { Failures } from "../../state/delta.ts";
import type { MarkedPort } from "./attachment.ts";
import type { AttachmentRecords } from "./attachment-records.ts";
import { markedLease } from "./lease-mark.ts";

/** Where the marks of ports stand. */
export interface MarkedPorts {
  /** By name. */
  read(): ReadonlyMap<string, Pick<MarkedPort, "externalIds">>;
  /** Adds marks to ports that exist; failures by name. */
  mark(marks: ReadonlyMap<string, Marks>): Promise<Failures>;
}

export interface PortMarksOptions {
  readonly ports: MarkedPorts;
  readonly records: Pick<AttachmentRecords, "marksOf" | "write" | "forget">;
}

/** What stands in the switch of pods' ports, and once more in the records. */
export class PortMarks {
  readonly #options: PortMarksOptions;

  constructor(options: PortMarksOptions) {
    this.#options = options;
  }

  /** Those that tell of the port's lease: the switch's, or the recorded ones where it has none that can be read. */
  of(portName: string): Marks {
    const { ports, records } = this.#options;
    const { externalIds = {} } = ports.read().get(portName) ?? {};
    return markedLease(externalIds) === undefined ? records.marksOf(portName) : externalIds;
  }

  /** The records are written while the database is. */
  write(marks: ReadonlyMap<string, Marks>): Promise<Failures> {
    const { ports, records } = this.#options;
    const marking = ports.mark(marks);
    for (const [portName, ofPort] of marks) records.write(portName, ofPort);
    return marking;
  }

  /** Marks a port that has had no marks of a pod. */
  async begin(portName: string, marks: Marks): Promise<void> {
    try {
      for (const failure of (await this.write(new Map([[portName, marks]]))).values()) throw failure;
    } catch (error) {
      this.#options.records.forget(portName);
      throw error;
    }
  }
}
