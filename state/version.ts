import { readFileSync } from "node:fs";

/** Release of all parts, as package.json names it; shown by `/version`, in logs and in every node's registration. */
export const VERSION = packageVersion();

/** The sources lie one folder below package.json, the compiled files two. */
function packageVersion(): string {
  for (const path of ["../package.json", "../../package.json"]) {
    try {
      const { version } = JSON.parse(readFileSync(new URL(path, import.meta.url), "utf8")) as { version?: unknown };
      if (typeof version === "string") return version;
    } catch {
      // not here
    }
  }
  return "unknown";
}
