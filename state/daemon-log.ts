/** What the logs of both daemons have in common, as options of pino: time in UTC, ISO 8601 with milliseconds; levels by name. */
export const DAEMON_LOG = {
  timestamp: (): string => `,"time":"${new Date().toISOString()}"`,
  formatters: { level: (label: string) => ({ level: label }) },
} as const;

/** As much of a logger as a part needs that is told it. */
export interface LineLog {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}
