import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { asNetError, NetError } from "../../state/errors.ts";

const DAEMON = "ovs-vswitchd";
const SOCKET_NAME = /^ovs-vswitchd(?:\.\d+)?\.ctl$/;

/**
 * The control socket of the ovs-vswitchd that uses the run directory: `ovs-vswitchd.<pid>.ctl` of the process in the pid file
 * (ovs-appctl(8)), otherwise the only one that is there.
 */
export async function findControlSocket(runDirectory: string): Promise<string> {
  const names = await readdir(runDirectory).catch((error: unknown) => {
    throw asNetError(error, `look into ${runDirectory}`, "UNAVAILABLE");
  });
  const sockets = names.filter((name) => SOCKET_NAME.test(name));
  const pid = names.includes(`${DAEMON}.pid`) ? await readPid(join(runDirectory, `${DAEMON}.pid`)) : "";
  const own = `${DAEMON}.${pid}.ctl`;
  const found = sockets.includes(own) ? own : sockets[0];
  if (found === undefined || (found !== own && sockets.length > 1)) {
    throw new NetError(
      "UNAVAILABLE",
      `Cannot find the control socket of ${DAEMON} in ${runDirectory}: there are ${sockets.join(", ") || "none"}`,
    );
  }
  return join(runDirectory, found);
}

/** Empty when the daemon has just ended. */
async function readPid(path: string): Promise<string> {
  return (await readFile(path, "utf8").catch(() => "")).trim();
}
