import { NetError } from "../../state/errors.ts";
import { repeat } from "../../state/waiting/repeat.ts";
import { connectOvsdb } from "./ovsdb-client/connection.ts";

/** Of the switch's database (RFC 7047 §4.1.8): the server frees it when the connection of its holder ends, however that ends. */
const LOCK = "contiv_netplugin";
const PAUSE_MS = 500;
/** Another who only asks has it for some milliseconds. */
const ASK_TIMEOUT_MS = 1_000;

export interface DaemonLockOptions {
  readonly runDirectory: string;
  readonly signal: AbortSignal;
  readonly report: (error: NetError) => void;
}

/** Says to who asks (`isDaemonRunning`) that a daemon works on this switch: until the signal, also after restarts of the switch. */
export async function holdDaemonLock({ runDirectory, signal, report }: DaemonLockOptions): Promise<void> {
  const hold = async () => {
    await using connection = await connectOvsdb(socketOf(runDirectory), { signal });
    await connection.lock(LOCK, { signal });
    await connection.closed;
  };
  await repeat(hold, {
    everyMs: PAUSE_MS,
    doing: "hold the lock of the switch's database",
    signal,
    report: (error) => (error.code === "UNAVAILABLE" ? undefined : report(error)),
  });
}

/** Does a daemon work on this switch? @throws NetError when its database does not answer */
export async function isDaemonRunning(runDirectory: string): Promise<boolean> {
  await using connection = await connectOvsdb(socketOf(runDirectory));
  try {
    await connection.lock(LOCK, { timeoutMs: ASK_TIMEOUT_MS });
    return false;
  } catch (error) {
    if (error instanceof NetError && error.code === "TIMEOUT") return true;
    throw error;
  }
}

function socketOf(runDirectory: string): string {
  return `${runDirectory}/db.sock`;
}
