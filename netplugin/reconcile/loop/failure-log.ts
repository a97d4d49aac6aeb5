import type { LineLog } from "../../../state/daemon-log.ts";
import type { NetError } from "../../../state/errors.ts";

export interface FailureLogOptions {
  readonly log: LineLog;
  readonly sentence: string;
  /** While the switch is away, which has a line of its own, failures are debug lines. */
  readonly isConnected: () => boolean;
  readonly nowMs?: () => number;
}

/** The same failure is not told again for so long. */
const SILENT_MS = 60_000;

/** Logs failures of what is tried again and again: each once a minute at most. */
export function failureLog({
  log,
  sentence,
  isConnected,
  nowMs = performance.now.bind(performance),
}: FailureLogOptions) {
  let told = "";
  let toldAtMs = Number.NEGATIVE_INFINITY;
  return ({ code, message }: NetError): void => {
    const fields = { code, error: message };
    if (!isConnected() || (told === message && nowMs() - toldAtMs < SILENT_MS)) {
      log.debug(fields, sentence);
      return;
    }
    told = message;
    toldAtMs = nowMs();
    log.warn(fields, sentence);
  };
}
