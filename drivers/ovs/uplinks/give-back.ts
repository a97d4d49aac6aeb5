import { NetError } from "../../../state/errors.ts";
import type { NetnsHandle } from "../../netlink/netns.ts";
import { openSocketPool } from "../../netlink/pool.ts";
import { findBridge, openDatabase, type SwitchDatabase } from "../database.ts";
import { uplinkBridgeName } from "../names.ts";
import { openGuard } from "../switch-guard.ts";
import { answerTo, ask, giveBack, notLeftOver, withdraw } from "./left-over.ts";
import { savedStateOrNone } from "./uplink-memory.ts";
import { findLink, readDeviceState } from "./uplink-state.ts";

export interface GiveBackOptions {
  readonly runDirectory: string;
  readonly vxlanUdpPort: number;
  /** A daemon that runs does it itself. */
  readonly isDaemonRunning: boolean;
  /** The switch's network namespace; this process's own when absent. */
  readonly netns?: NetnsHandle | undefined;
  /** How long the daemon may take, in milliseconds; half a minute unless given. */
  readonly timeoutMs?: number;
}

const START_TIMEOUT_MS = 30_000;
const ANSWER_TIMEOUT_MS = 30_000;

/**
 * Gives one NIC back that an earlier configuration had named, and touches nothing else. The result says what has become of its addresses.
 * @throws NetError when there is no such bridge, or the daemon refuses or does not answer
 */
export async function giveBackUplink(nic: string, options: GiveBackOptions): Promise<string> {
  const { runDirectory, netns, vxlanUdpPort, isDaemonRunning } = options;
  await using database = await openDatabase(runDirectory, { timeoutMs: START_TIMEOUT_MS });
  using netlink = openSocketPool({ netns });
  const lacking = notLeftOver(nic, database);
  if (lacking !== undefined) throw refused(nic, lacking, "NOT_FOUND");
  const { addresses: remembered } = savedStateOrNone(nic, database);
  if (isDaemonRunning) await askDaemon(nic, database, options.timeoutMs ?? ANSWER_TIMEOUT_MS);
  else await giveBack(nic, { database, netlink, guard: openGuard({ database, netlink, netns, vxlanUdpPort }) });
  const link = await findLink(netlink, nic);
  if (link === undefined) return `NIC ${nic} is not there; it had ${remembered.join(", ") || "no addresses"}`;
  const { addresses } = await readDeviceState(netlink, link.ifindex);
  return `NIC ${nic} has ${addresses.join(", ") || "no addresses"}`;
}

async function askDaemon(nic: string, database: SwitchDatabase, timeoutMs: number): Promise<void> {
  await ask(nic, database);
  const isAnswered = () => answerTo(nic, database) !== "open";
  await database.waitFor(isAnswered, { timeoutMs, deed: `give NIC "${nic}" back` }).catch(async (cause: unknown) => {
    throw await unanswered(nic, database, cause);
  });
  const answer = answerTo(nic, database);
  if (answer === undefined || answer === "open") return;
  await withdraw(nic, database);
  throw refused(nic, answer.refusal, "CONFLICT");
}

/** What has begun is not taken back: the NIC is bare then. */
async function unanswered(nic: string, database: SwitchDatabase, cause: unknown): Promise<NetError> {
  const advice = "see its log and /readyz on this node";
  if (findBridge(database, uplinkBridgeName(nic)) === undefined) {
    const text = `NIC "${nic}" has left its bridge, but netplugin has not finished; it goes on trying: ${advice}`;
    return new NetError("TIMEOUT", text, { cause });
  }
  await withdraw(nic, database);
  const text = `Cannot give NIC "${nic}" back: netplugin runs and has not done it in time; the request is withdrawn. Stop netplugin and run this again, or ${advice}`;
  return new NetError("TIMEOUT", text, { cause });
}

function refused(nic: string, reason: string, code: "CONFLICT" | "NOT_FOUND"): NetError {
  return new NetError(code, `Cannot give NIC "${nic}" back: ${reason}; nothing was changed`);
}
