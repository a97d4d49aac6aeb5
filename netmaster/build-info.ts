import { VERSION } from "../state/version.ts";

export interface BuildInfo {
  readonly version: string;
  readonly gitCommit: string;
  readonly buildTime: string;
}

/** What this program was built from, as far as that is known. */
export function readBuildInfo(env: NodeJS.ProcessEnv): BuildInfo {
  return {
    version: VERSION,
    gitCommit: env.CONTIV_GIT_COMMIT ?? "unknown",
    buildTime: env.CONTIV_BUILD_TIME ?? "unknown",
  };
}
