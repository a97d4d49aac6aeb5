import { defineConfig } from "vitest/config";

/** `unit` needs no privilege beyond loopback; `system` needs root, network namespaces, etcd and Open vSwitch. */
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "unit",
          include: ["**/*.test.ts"],
          exclude: ["**/node_modules/**", "dist/**", "**/*.system.test.ts"],
          testTimeout: 60_000, // properties on two busy cores
        },
      },
      {
        test: {
          name: "system",
          include: ["**/*.system.test.ts"],
          exclude: ["**/node_modules/**", "dist/**"],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
