import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { circles, graphOf, type Order, roomGraph, upward } from "./import-graph.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const LAYERS = ["state", "netmaster", "netplugin", "netctl", "drivers", "cni-shim", "deploy", "test"];

/** Which folders each folder may import besides itself; ARCHITECTURE.md holds the same table. */
const MAY_IMPORT: Record<string, readonly string[]> = {
  state: [],
  netmaster: ["state"],
  netplugin: ["state", "drivers"],
  netctl: ["state"],
  drivers: ["state"],
  deploy: ["state", "netmaster", "netplugin", "netctl", "drivers"],
  test: ["state", "netmaster", "netplugin", "netctl", "drivers", "deploy"],
};

/** Packages that only one folder may import. */
const OWNED_PACKAGES: Record<string, string> = {
  etcd3: "state/store",
  cockatiel: "state/store",
  koffi: "drivers/netlink",
  fastify: "netmaster",
};

/** The wire libraries stand alone: they know the project's ids, deltas, errors and ways to wait, not its kinds. */
const DRIVER_MAY_KNOW = new Set([
  "state/errors.ts",
  "state/delta.ts",
  "state/ids.ts",
  "state/address.ts",
  "state/driver-name.ts",
  "state/address-codec.ts",
]);

/** The rooms of each house, from the bottom up: a room imports only from lines above its own here. */
const ROOMS: Readonly<Record<string, Order>> = {
  netplugin: [
    ["view", "machine", "cni"],
    ["node-client"],
    ["desired"],
    ["reconcile"],
    ["attach", "report"],
    ["settings.ts"],
    ["node"],
    ["main.ts"],
  ],
  "netplugin/desired": [
    ["pipeline", "leases.ts"],
    ["known-neighbours.ts", "limits"],
    ["engine"],
    ["policy"],
    ["connections", "forwarding"],
    ["flow-set"],
  ],
  netmaster: [
    ["view", "http", "peers", "store", "duration.ts", "build-info.ts"],
    ["intents", "config.ts"],
    ["node-reports"],
    ["commit", "inspect"],
    ["explain", "leader", "metrics"],
    ["rest", "node-api"],
    ["readiness.ts"],
    ["netmaster.ts"],
    ["main.ts"],
  ],
  drivers: [
    ["netlink"],
    ["tc", "stack-guard", "pod-netns.ts", "pod-settings.ts"],
    ["pod-interface.ts"],
    ["driver.ts"],
    ["contract.ts", "ovs"],
  ],
};

/** Rooms that know network drivers by their contract alone: what they do is the same for all of them. */
const DRIVER_NEUTRAL = [
  "netplugin/attach/",
  "netplugin/machine/",
  "netplugin/reconcile/leases/",
  "netplugin/reconcile/limits/",
];
/** Files there that import one driver still; this list only shrinks. */
const STILL_OF_ONE_DRIVER: readonly string[] = [];

/** Imports that go upward still; this list only shrinks. */
const STILL_UPWARD: readonly string[] = [];

interface Import {
  readonly file: string;
  readonly specifier: string;
}

function sources(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
    .map((entry) => relative(ROOT, join(entry.parentPath, entry.name)))
    .filter((file) => !file.includes("node_modules"));
}

function importsOf(file: string): Import[] {
  const text = readFileSync(join(ROOT, file), "utf8");
  const found = text.matchAll(
    /^\s*(?:import|export)\b[^"']*?from\s+["']([^"']+)["']|import\(\s*["']([^"']+)["']\s*\)/gm,
  );
  return [...found].map((match) => ({ file, specifier: match[1] ?? match[2] ?? "" }));
}

function existingLayers(): string[] {
  const present = new Set(readdirSync(ROOT));
  return LAYERS.filter((layer) => present.has(layer));
}

const all = existingLayers().flatMap(sources).flatMap(importsOf);
const production = all.filter(({ file }) => !file.endsWith(".test.ts") && !file.startsWith("test/"));

function target({ file, specifier }: Import): string {
  return relative(ROOT, join(ROOT, dirname(file), specifier));
}

/** Imports of types count: who needs a file's types cannot be read without it. */
const files = graphOf(
  all
    .filter(({ file, specifier }) => specifier.startsWith(".") && !file.endsWith(".test.ts"))
    .map((each) => [each.file, target(each)] as const),
);

/** Both in one file, whatever lies between them: a variable, a list, a helper; or the class under another name. */
function mayLoseTimeout(text: string): boolean {
  const uses = (member: string) => new RegExp(`AbortSignal\\s*\\??(\\.\\s*|\\.?\\[\\s*["'\`])${member}\\b`).test(text);
  const isAliased = /=\s*(globalThis\s*\.\s*)?AbortSignal\s*[;,)\n]/.test(text);
  return isAliased || (uses("any") && uses("timeout"));
}

describe("layers", () => {
  it("sees the imports at all", () => {
    expect(all.length).toBeGreaterThan(50);
  });

  it("lets every folder import only what the table allows", () => {
    const wrong = production
      .filter(({ specifier }) => specifier.startsWith("."))
      .filter((each) => {
        const from = each.file.split("/")[0] ?? "";
        const to = target(each).split("/")[0] ?? "";
        return from !== to && !(MAY_IMPORT[from] ?? []).includes(to);
      });
    expect(wrong).toEqual([]);
  });

  it("has no circle of files: none can be read, moved or tested without all the others of its circle", () => {
    expect(circles(files)).toEqual([]);
  });

  it.each(["state", "netmaster", "netplugin/desired", "netplugin/reconcile"])(
    "has no circle of rooms in %s",
    (house) => {
      expect(circles(roomGraph(house, files))).toEqual([]);
    },
  );

  it("lets the rooms of a house import only what lies below them", () => {
    const wrong = Object.entries(ROOMS).flatMap(([house, order]) => upward(house, order, files));
    expect(wrong.sort()).toEqual([...STILL_UPWARD].sort());
  });

  it("lets only the owner import a package that is fenced in", () => {
    const wrong = production.filter(({ file, specifier }) => {
      const owner = OWNED_PACKAGES[specifier];
      return owner !== undefined && !file.startsWith(owner);
    });
    expect(wrong).toEqual([]);
  });

  it("keeps the drivers free of tenants and networks", () => {
    const wrong = production.filter((each) => {
      if (!each.file.startsWith("drivers/") || !each.specifier.startsWith(".")) return false;
      const to = target(each);
      return to.startsWith("state/") && !to.startsWith("state/waiting/") && !DRIVER_MAY_KNOW.has(to);
    });
    expect(wrong).toEqual([]);
  });

  it("lets what attaches pods know no network driver but by its contract", () => {
    const knowing = production
      .filter(({ file }) => DRIVER_NEUTRAL.some((room) => file.startsWith(room)))
      .filter((each) => each.specifier.startsWith(".") && target(each).startsWith("drivers/ovs/"));
    expect([...new Set(knowing.map(({ file }) => file))].sort()).toEqual([...STILL_OF_ONE_DRIVER].sort());
  });

  it("ends waits with deadline(): Node 20 forgets an AbortSignal.timeout that AbortSignal.any combines", () => {
    const wrong = existingLayers()
      .flatMap(sources)
      .filter((file) => mayLoseTimeout(readFileSync(join(ROOT, file), "utf8")))
      .filter((file) => file !== "state/waiting/deadline.ts" && file !== "test/layers.test.ts");
    expect(wrong).toEqual([]);
  });

  it.each([
    ["AbortSignal.any([signal, AbortSignal.timeout(5)])", true],
    ["const signals = [AbortSignal.timeout(5), own];\nawait work(AbortSignal.any(signals));", true],
    ["const soon = () => AbortSignal.timeout(5);\nAbortSignal\n  .any([soon()])", true],
    ['AbortSignal["any"]([AbortSignal["timeout"](5)])', true],
    ["const { any, timeout } = AbortSignal;", true],
    ["const Signals = globalThis.AbortSignal;", true],
    ["AbortSignal.any([one, other])", false],
    ["readonly signal?: AbortSignal;\nfetch(url, { signal: AbortSignal.timeout(5) })", false],
  ])("sees a lost timeout in %j: %s", (text, isSeen) => expect(mayLoseTimeout(text)).toBe(isSeen));

  it("lets nobody import a daemon's main", () => {
    expect(all.filter(({ specifier }) => specifier.endsWith("/main.ts"))).toEqual([]);
  });
});
