import { defineConfig } from "vitest/config";

/** System tests that measure times, rates or lost packets, or load the machine: nothing else runs beside them. */
const ALONE = [
  ...["announce", "bandwidth", "ceilings", "chaos", "connection-log", "connections", "explain", "masters"].map(cluster),
  ...["mixed-releases", "netmasters", "policy", "rest-abuse", "restarts", "store-full"].map(cluster),
  ...["test/guests/**/*.system.test.ts", "state/**/*.system.test.ts"],
];
const NEVER = ["**/node_modules/**", "dist/**"];

function cluster(name: string): string {
  return `test/system/${name}.system.test.ts`;
}

/** `test/run` runs the others two at a time, then these; by hand all of them run one after the other. */
function systemFiles() {
  switch (process.env.CONTIV_TEST_GROUP) {
    case "alone":
      return { include: ALONE, exclude: NEVER, fileParallelism: false };
    case "shared":
      return { include: ["**/*.system.test.ts"], exclude: [...NEVER, ...ALONE], fileParallelism: true, maxWorkers: 2 };
    default:
      return { include: ["**/*.system.test.ts"], exclude: NEVER, fileParallelism: false };
  }
}

/** `unit` needs no privilege beyond loopback; `system` needs root, network namespaces, etcd and Open vSwitch. */
export default defineConfig({
  test: {
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
