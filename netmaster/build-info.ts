import { readFileSync } from "node:fs";

export interface BuildInfo {
  readonly version: string;
  readonly gitCommit: string;
  readonly buildTime: string;
}

/** What this program was built from, as far as that is known. */
export function readBuildInfo(env: NodeJS.ProcessEnv): BuildInfo {
  return {
    version: packageVersion(),
    gitCommit: env.CONTIV_GIT_COMMIT ?? "unknown",
    buildTime: env.CONTIV_BUILD_TIME ?? "unknown",
  };
}

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
