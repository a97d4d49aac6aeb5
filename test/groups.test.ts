import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { ALONE, BESIDE, GROUPS, LONGEST, PAIRED, RATES } from "./groups.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

describe("groups of system tests", () => {
  const listed = [...PAIRED, ...RATES, ...BESIDE, ...ALONE];

  it("name files that exist, each once", () => {
    expect(listed.filter((file) => !existsSync(join(ROOT, file)))).toEqual([]);
    expect(new Set(listed).size).toBe(listed.length);
    expect(LONGEST.filter((file) => !existsSync(join(ROOT, file)))).toEqual([]);
  });

  it("are all run by test/run, each once", () => {
    const script = readFileSync(join(ROOT, "test/run"), "utf8");
    const run = [...script.matchAll(/^ *system_tests (\w+) /gm)].map(([, group]) => group);
    expect(run.toSorted()).toEqual([...GROUPS].toSorted());
  });

  it.each(["state/store/etcd", "test/guests"])(
    "list every file of %s: faults of etcd and guests are timed",
    (folder) => {
      const files = readdirSync(join(ROOT, folder)).filter((name) => name.endsWith(".system.test.ts"));
      expect(files.map((name) => `${folder}/${name}`).filter((file) => !listed.includes(file))).toEqual([]);
    },
  );
});
