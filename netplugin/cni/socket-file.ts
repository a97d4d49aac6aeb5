import { chmod, lstat, mkdir, rename, rm, stat } from "node:fs/promises";
import { connect, type Server } from "node:net";
import { dirname } from "node:path";
import { asNetError, NetError } from "../../state/errors.ts";

/** sizeof sun_path - 1 (unix(7)), less the one byte of the temporary name's suffix. */
const SOCKET_PATH_MAX_BYTES = 106;
const PROBE_TIMEOUT_MS = 1_000;

/** A listening socket's file. */
export interface SocketFile {
  /** Takes the file away, after the server has closed; a successor's is left alone. */
  remove(): Promise<void>;
  /** Is it still the one that was made? */
  isThere(): Promise<boolean>;
}

/**
 * Makes `server` listen at `path`: mode 0600, in a directory that only the owner can change (made with 0700 when absent). The
 * file appears by rename, ready and with its mode, in the place of a dead daemon's; a living daemon's is left alone.
 * @throws NetError CONFLICT when another daemon listens there, INVALID for an unfit path, REJECTED by the kernel
 */
export async function listenAt(server: Server, path: string): Promise<SocketFile> {
  if (!path.startsWith("/") || Buffer.byteLength(path) > SOCKET_PATH_MAX_BYTES) {
    throw new NetError(
      "INVALID",
      `CNI socket "${path}" needs an absolute path of at most ${SOCKET_PATH_MAX_BYTES} bytes`,
    );
  }
  try {
    await prepareDirectory(dirname(path));
    await refuseLivingDaemon(path);
    return await bind(server, path);
  } catch (thrown) {
    server.close();
    throw asNetError(thrown, `listen on CNI socket "${path}"`, "REJECTED");
  }
}

async function prepareDirectory(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const { mode, uid } = await stat(directory);
  const isOthersWritable = (mode & 0o022) !== 0;
  if (!isOthersWritable && (uid === process.getuid?.() || uid === 0)) return;
  const rights = `uid ${uid}, mode ${(mode & 0o7777).toString(8)}`;
  throw new NetError(
    "FORBIDDEN",
    `Directory "${directory}" of the CNI socket can be changed by others (${rights}); chmod 0700 it`,
  );
}

async function refuseLivingDaemon(path: string): Promise<void> {
  const present = await lstat(path).catch(() => undefined);
  if (present === undefined) return;
  if (!present.isSocket())
    throw new NetError("CONFLICT", `"${path}" exists and is no socket; remove it or choose another path`);
  if (await isAnswering(path)) {
    throw new NetError("CONFLICT", `Another netplugin listens on "${path}"; stop it or choose another path`);
  }
}

/** Does a daemon listen at that path? */
export function isAnswering(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path);
    const end = (answers: boolean): void => {
      probe.destroy();
      resolve(answers);
    };
    probe.setTimeout(PROBE_TIMEOUT_MS, () => end(true));
    probe.once("connect", () => end(true)).once("error", () => end(false));
  });
}

async function bind(server: Server, path: string): Promise<SocketFile> {
  const temporary = `${path}~`;
  await rm(temporary, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(temporary, () => {
      server.off("error", reject);
      resolve();
    });
  });
  await chmod(temporary, 0o600);
  const own = await lstat(temporary, { bigint: true });
  await rename(temporary, path);
  const isThere = async () => {
    const present = await lstat(path, { bigint: true }).catch(() => undefined);
    return present?.ino === own.ino && present.dev === own.dev && present.isSocket();
  };
  return {
    isThere,
    async remove() {
      if (!(await isThere())) return;
      if (await isAnswering(path)) return; // a successor's file may have got our inode number
      await rm(path, { force: true });
    },
  };
}
