import { execFile } from "node:child_process";
import { lstatSync, mkdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { promisify } from "node:util";
import { asNetError, NetError } from "../../../state/errors.ts";
import { isErrno } from "../../netlink/errno.ts";
import { createMacvlan, createVeth, deleteLink, getLink } from "../../netlink/link.ts";
import { bindNetns, type NetnsHandle, openNetns, unbindNetns } from "../../netlink/netns.ts";
import { openSocketPool, type SocketPool } from "../../netlink/pool.ts";
import { writeSysctlsNow } from "../../netlink/sysctl.ts";

/**
 * The patch panel: a network namespace of our own where the far ends of ready ports wait. Nothing listens there and it has no
 * address, so a frame that reaches a waiting end goes nowhere. A pod's interface is born in the pod as a macvlan on such an end:
 * moving the end itself would cost a grace period of the kernel, 15 ms, in the pod's path.
 */
export interface Panel extends Disposable {
  readonly netns: NetnsHandle;
  /** Sockets inside the panel. */
  readonly netlink: SocketPool;
  /** Without macvlan in the kernel the waiting end itself moves into the pod. */
  readonly podEnd: "macvlan" | "veth";
  /** Gives the namespace its name again when somebody has removed or replaced it; true when that was so. */
  ensureName(): boolean;
}

const NETNS_DIRECTORY = "/run/netns";
const COMMAND_TIMEOUT_MS = 10_000;
const PROBE = "cprobe";
const PROBE_PEER = "cprobep";
const PROBE_MACVLAN = "cprobem";

/** Opens the panel of that name, and makes it when there is none (the one time that a process is started, at start-up). */
export async function openPanel(name: string): Promise<Panel> {
  const netns = openExisting(name) ?? (await createPanel(name));
  try {
    writeSysctlsNow({ "ipv6/conf/default/disable_ipv6": "1", "ipv4/ip_forward": "0" }, netns);
    const netlink = openSocketPool({ netns });
    const podEnd = (await supportsMacvlan(netlink)) ? "macvlan" : "veth";
    return {
      netns,
      netlink,
      podEnd,
      ensureName: () => ensureName(name, netns),
      [Symbol.dispose]: () => {
        netlink[Symbol.dispose]();
        netns[Symbol.dispose]();
      },
    };
  } catch (error) {
    netns[Symbol.dispose]();
    throw asNetError(error, `open the patch panel "${name}"`);
  }
}

function ensureName(name: string, netns: NetnsHandle): boolean {
  if (isNameOf(name, netns)) return false;
  const path = pathOf(name);
  try {
    mkdirSync(NETNS_DIRECTORY, { recursive: true });
    unbindNetns(path); // another one, or none
    writeFileSync(path, "", { flag: "a", mode: 0o444 }); // what somebody has written there is covered, not lost
    bindNetns(netns, path);
  } catch (error) {
    throw asNetError(error, `give the patch panel its name "${name}" again`, "REJECTED");
  }
  if (!isNameOf(name, netns)) {
    const message = `Cannot give the patch panel its name "${name}" again: what is mounted on ${path} does not show there`;
    throw new NetError("REJECTED", message);
  }
  return true;
}

/** A look at the file alone: its number is the namespace's. */
function isNameOf(name: string, { inode, device }: NetnsHandle): boolean {
  const found = statSync(pathOf(name), { throwIfNoEntry: false });
  return found?.ino === inode && found.dev === device;
}

function pathOf(name: string): string {
  return `${NETNS_DIRECTORY}/${name}`;
}

function openExisting(name: string): NetnsHandle | undefined {
  try {
    removeEmptyFile(pathOf(name));
    return openNetns(pathOf(name));
  } catch (error) {
    if (error instanceof NetError && error.code === "NOT_FOUND") return undefined;
    throw error;
  }
}

/** Whoever unmounts a namespace and does not remove its file leaves this, on which `ip netns add` would fail. */
function removeEmptyFile(path: string): void {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined || !found.isFile() || found.size > 0) return;
  const isMountedOn = found.dev !== statSync(NETNS_DIRECTORY).dev;
  if (!isMountedOn) rmSync(path);
}

async function createPanel(name: string): Promise<NetnsHandle> {
  try {
    await promisify(execFile)("ip", ["netns", "add", name], { timeout: COMMAND_TIMEOUT_MS });
  } catch (error) {
    throw asNetError(error, `make network namespace "${name}"`, "REJECTED");
  }
  return openNetns(pathOf(name));
}

/** Removes the panel with everything in it; an absent one counts as removed. */
export async function removePanel(name: string): Promise<void> {
  const existing = openExisting(name);
  if (existing === undefined) return;
  existing[Symbol.dispose]();
  await promisify(execFile)("ip", ["netns", "delete", name], { timeout: COMMAND_TIMEOUT_MS });
}

async function supportsMacvlan(netlink: SocketPool): Promise<boolean> {
  return netlink.use(async (socket) => {
    await socket.settle([deleteLink({ name: PROBE })]);
    await socket.execute([createVeth({ name: PROBE }, { name: PROBE_PEER })]);
    const { ifindex: lowerIfindex } = await socket.get(getLink({ name: PROBE }));
    const macvlan = createMacvlan({ name: PROBE_MACVLAN }, { lowerIfindex, mode: "private" });
    const [outcome] = await socket.settle([macvlan]);
    await socket.settle([deleteLink({ name: PROBE })]);
    if (outcome?.error === undefined) return true;
    if (isErrno(outcome.error, "EOPNOTSUPP")) return false;
    throw outcome.error;
  });
}
