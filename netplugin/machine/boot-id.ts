import { readFileSync } from "node:fs";
import { asNetError } from "../../state/errors.ts";

/** The kernel's boot id: tells a reboot from a restart of the agent. */
export function bootId(): string {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  } catch (error) {
    throw asNetError(error, "read this boot's id");
  }
}
