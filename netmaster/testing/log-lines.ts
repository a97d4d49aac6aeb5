import { type Logger, pino } from "pino";

/** One line of a log, as pino writes it. */
export type LogLine = Readonly<Record<string, unknown>>;

/** A log that a test can read. */
export function logLines(level = "info"): { readonly log: Logger; readonly lines: () => readonly LogLine[] } {
  const written: string[] = [];
  const log = pino({ level }, { write: (line: string) => void written.push(line) });
  return { log, lines: () => written.map((line) => JSON.parse(line) as LogLine) };
}
