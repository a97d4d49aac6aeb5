import { cniFault } from "./errors.ts";

export type CniCommand = "ADD" | "DEL" | "CHECK" | "GC" | "STATUS" | "VERSION";
type Variable = "CNI_CONTAINERID" | "CNI_NETNS" | "CNI_IFNAME" | "CNI_PATH";

/** The variables of one call, checked as far as its command needs them; what a command does not need is "". */
export interface CniEnvironment {
  readonly command: CniCommand;
  readonly containerId: string;
  readonly netns: string;
  readonly ifName: string;
  /** CNI_ARGS as it came. */
  readonly args: string;
  /** The caller insists that CNI_NETNS may be the plugin's own (CNI_NETNS_OVERRIDE). */
  readonly mayBeOwnNetns: boolean;
}

/** CNI spec 1.1.0, "CNI operations"; CNI_PATH is asked for only where the specification does. */
const REQUIRED: Readonly<Record<CniCommand, readonly Variable[]>> = {
  ADD: ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"],
  DEL: ["CNI_CONTAINERID", "CNI_IFNAME"],
  CHECK: ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"],
  GC: ["CNI_PATH"],
  STATUS: [],
  VERSION: [],
};

export const CNI_COMMANDS = Object.keys(REQUIRED) as readonly CniCommand[];

/** Container ids and configuration names (CNI spec 1.1.0, "Parameters"). */
const CNI_ID = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;
export const CNI_ID_MAX_LENGTH = 256;
/** IFNAMSIZ - 1 of linux/if.h. */
const IF_NAME_MAX_BYTES = 15;
/** PATH_MAX of linux/limits.h. */
const PATH_MAX_BYTES = 4096;

/** True for what the specification allows as container id or configuration name. */
export function isCniId(text: string): boolean {
  return text.length <= CNI_ID_MAX_LENGTH && CNI_ID.test(text);
}

/** Not names of interfaces: folders of /proc/sys/net that stand for all of them, and the loopback. */
const RESERVED_IF_NAMES: ReadonlySet<string> = new Set([".", "..", "all", "default", "lo"]);

/** True for what can be the name of a pod's interface; the kernel makes a number of "%d". */
export function isIfName(text: string): boolean {
  const isPlain = !/[/:%\s\p{Cc}]/u.test(text) && !RESERVED_IF_NAMES.has(text);
  return text !== "" && Buffer.byteLength(text) <= IF_NAME_MAX_BYTES && isPlain;
}

/** Checks the variables that the command needs. @throws NetError with CNI code 4 that names them */
export function parseEnvironment(env: ReadonlyMap<string, string>): CniEnvironment {
  const command = parseCommand(env.get("CNI_COMMAND") ?? "");
  const missing = REQUIRED[command].filter((name) => (env.get(name) ?? "") === "");
  if (missing.length > 0) {
    const list = missing.join(",");
    throw invalid(list, `required env variables [${list}] missing for CNI_COMMAND=${command}; set them`);
  }
  const override = (env.get("CNI_NETNS_OVERRIDE") ?? "").toLowerCase();
  const environment = {
    command,
    containerId: env.get("CNI_CONTAINERID") ?? "",
    netns: env.get("CNI_NETNS") ?? "",
    ifName: env.get("CNI_IFNAME") ?? "",
    args: env.get("CNI_ARGS") ?? "",
    mayBeOwnNetns: override === "1" || override === "true",
  };
  if (REQUIRED[command].includes("CNI_CONTAINERID")) checkAttachment(environment);
  if (REQUIRED[command].includes("CNI_NETNS")) checkNetnsPath(environment.netns);
  return environment;
}

/** The command of a call, whatever else is wrong with it; undefined for one that there is not. */
export function commandIn(env: ReadonlyMap<string, string>): CniCommand | undefined {
  return CNI_COMMANDS.find((known) => known === env.get("CNI_COMMAND"));
}

function parseCommand(text: string): CniCommand {
  const command = CNI_COMMANDS.find((known) => known === text);
  if (command !== undefined) return command;
  const names = CNI_COMMANDS.join(", ");
  if (text === "")
    throw invalid("CNI_COMMAND", `required env variables [CNI_COMMAND] missing; set it to one of ${names}`);
  throw invalid("CNI_COMMAND", `CNI_COMMAND="${text}" is unknown; use one of ${names}`);
}

function checkAttachment({ containerId, ifName }: CniEnvironment): void {
  if (!isCniId(containerId)) {
    const rule = `letters, digits, "_", "." and "-" only, beginning with a letter or digit, at most ${CNI_ID_MAX_LENGTH}`;
    throw invalid("CNI_CONTAINERID", `CNI_CONTAINERID="${containerId}" is invalid; use ${rule}`);
  }
  if (!isIfName(ifName)) {
    const rule = `1 to ${IF_NAME_MAX_BYTES} bytes without "/", ":", "%" or white space, not ".", "..", "all", "default" or "lo"`;
    throw invalid("CNI_IFNAME", `CNI_IFNAME="${ifName}" is invalid; use ${rule}`);
  }
}

function checkNetnsPath(netns: string): void {
  if (netns.startsWith("/") && Buffer.byteLength(netns) < PATH_MAX_BYTES) return;
  throw invalid("CNI_NETNS", `CNI_NETNS="${netns}" is invalid; use the absolute path of a network namespace`);
}

function invalid(field: string, message: string): Error {
  return cniFault("invalid-environment", message.slice(0, 1_000), { field });
}
