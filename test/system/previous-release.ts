import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { projectRoot } from "../../deploy/cluster/components.ts";
import { run } from "../../deploy/cluster/exec.ts";

/** The last commit before schemas named drivers: what this release must get on with. */
const COMMIT = "50c543a9b088f59954c39b60e0abb57e627fdd21";
const PARTS = ["state", "netmaster", "netplugin", "drivers", "deploy", "package.json", "tsconfig.json"];
const BUILD_TIMEOUT_MS = 120_000;

/** Why the release before cannot be built here; undefined: it can. A shallow clone has no history. */
export async function whyNoPreviousRelease(): Promise<string | undefined> {
  const argv = ["git", "-C", projectRoot(), "cat-file", "-e", `${COMMIT}^{commit}`];
  const { exitCode } = await run(argv, { allowFailure: true }).catch(() => ({ exitCode: 1 }));
  return exitCode === 0 ? undefined : `this clone lacks commit ${COMMIT}; git fetch --unshallow`;
}

/** The programs of the release before, compiled from this repository's history. */
export interface PreviousRelease extends Disposable {
  readonly compiledRoot: string;
}

/** Compiles it with the packages that are installed here, in a folder of its own. */
export async function buildPreviousRelease(): Promise<PreviousRelease> {
  const root = projectRoot();
  const directory = mkdtempSync(join(tmpdir(), "contiv-previous-"));
  const archive = join(directory, "sources.tar");
  const paths = [...PARTS, "tsconfig.build.json"];
  await run(["git", "-C", root, "archive", `--output=${archive}`, COMMIT, ...paths]);
  const sources = join(directory, "sources");
  mkdirSync(sources);
  await run(["tar", "-x", "-f", archive, "-C", sources]);
  symlinkSync(join(root, "node_modules"), join(sources, "node_modules"));
  const compiler = join(root, "node_modules/.bin/tsc");
  await run([compiler, "-p", join(sources, "tsconfig.build.json"), "--noCheck"], { timeoutMs: BUILD_TIMEOUT_MS });
  return {
    compiledRoot: join(sources, "dist"),
    [Symbol.dispose]: () => rmSync(directory, { recursive: true, force: true }),
  };
}
