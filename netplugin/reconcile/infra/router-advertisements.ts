import { readFile, writeFile } from "node:fs/promises";
import { asNetError } from "../../../state/errors.ts";

/** Off: no address and, above all, no default route by router advertisement (Documentation/networking/ip-sysctl). */
const SETTINGS = ["accept_ra", "autoconf"] as const;

/** Keeps routers of an infra network from giving this node a default route. Without IPv6 there is nothing to do. */
export async function ignoreRouters(deviceName: string): Promise<void> {
  for (const setting of SETTINGS) {
    const path = `/proc/sys/net/ipv6/conf/${deviceName}/${setting}`;
    try {
      if ((await readFile(path, "utf8")).trim() !== "0") await writeFile(path, "0");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
      throw asNetError(error, `turn off ${setting} of "${deviceName}"`, "REJECTED");
    }
  }
}
