import { defineConfig } from "vitest/config";
import {
  ALONE,
  BESIDE,
  BESIDE_WORKERS,
  type Group,
  PAIRED,
  PAIRED_WORKERS,
  RATES,
  SHARED_WORKERS,
} from "./test/groups.ts";
import { LongestFirst } from "./test/longest-first.ts";

const NEVER = ["**/node_modules/**", "dist/**"];
const SYSTEM = "**/*.system.test.ts";

/** One group as `test/run` runs it (test/groups.ts); by hand all of them run one after the other. */
function systemFiles() {
  switch (process.env.CONTIV_TEST_GROUP as Group | undefined) {
    case "alone":
      return { include: [...ALONE], exclude: NEVER, fileParallelism: false };
    case "rates":
      return { include: [...RATES], exclude: NEVER, fileParallelism: false };
    case "beside":
      return { include: [...BESIDE], exclude: NEVER, maxWorkers: BESIDE_WORKERS };
    case "paired":
      return { include: [...PAIRED], exclude: NEVER, maxWorkers: PAIRED_WORKERS };
    case "shared":
      return {
        include: [SYSTEM],
        exclude: [...NEVER, ...PAIRED, ...RATES, ...BESIDE, ...ALONE],
        maxWorkers: SHARED_WORKERS,
      };
    default:
      return { include: [SYSTEM], exclude: NEVER, fileParallelism: false };
  }
}

/** `unit` needs no privilege beyond loopback; `system` needs root, network namespaces, etcd and Open vSwitch. */
export default defineConfig({
  test: {
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        test: {
          name: "unit",
          include: ["**/*.test.ts"],
          exclude: [...NEVER, "**/*.system.test.ts"],
          testTimeout: 60_000, // properties on two busy cores
          maxWorkers: 2,
          isolate: false, // modules are loaded once per worker, not once per file: they keep no state
        },
      },
      {
        test: {
          name: "system",
          execArgv: ["--import", new URL("./test/fakes/typescript-loader.mjs", import.meta.url).href],
          setupFiles: ["test/fakes/launcher-setup.ts"],
          ...systemFiles(),
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
});
