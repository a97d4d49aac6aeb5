import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
/** Made by tools, or no part of the project. */
const NOT_OURS = new Set(["node_modules", "dist", "dist-bench", ".git"]);
/** Their README says of each room what it does; a room is a folder with a README of its own. */
const HOUSES = ["netmaster", "netplugin"];
const FOLDERS = [
  ...["state", "state/store", "state/policy", "state/waiting"],
  ...["drivers", "drivers/ovs", "drivers/ovs/pod-ports", "drivers/tc", "drivers/stack-guard"],
  ...["netplugin/desired/flow-set", "netplugin/reconcile/attachments", "netplugin/reconcile/leases"],
];
/** The wire libraries stand alone: their pages are manuals, too. */
const MANUALS = ["drivers/netlink", "drivers/ovs/openflow", "drivers/ovs/ovsdb-client"];
/** Folders that hold what the tests of a house share. */
const TESTING = "testing";

const topEntries = readdirSync(ROOT).filter((name) => !NOT_OURS.has(name));
const rooms = HOUSES.flatMap((house) => [house, ...foldersIn(house).filter((name) => !name.endsWith(TESTING))]);
const pages = topEntries.flatMap((name) => (name.endsWith(".md") ? [name] : pagesIn(name)));
const fileNames = new Set(topEntries.flatMap((name) => (isFolder(name) ? namesIn(name) : [name])));
const decisions = pages.filter((page) => page.startsWith("docs/decisions/"));

function foldersIn(folder: string): string[] {
  const entries = readdirSync(join(ROOT, folder), { withFileTypes: true });
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => `${folder}/${name}`);
}

function pagesIn(folder: string): string[] {
  if (!isFolder(folder)) return [];
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".md"))
    .map((name) => `${folder}/${name}`);
}

function namesIn(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" }).map((path) => basename(path));
}

function isFolder(path: string): boolean {
  return readdirSync(ROOT, { withFileTypes: true }).some((entry) => entry.isDirectory() && entry.name === path);
}

function textOf(page: string): string {
  return readFileSync(join(ROOT, page), "utf8");
}

function lineCount(text: string): number {
  return text.trimEnd().split("\n").length;
}

/** What a page names in backticks that can only be a file or folder of this repository. */
function linkedHeadings(text: string): readonly { readonly file: string; readonly heading: string }[] {
  const links = [...text.matchAll(/\]\(([^)#\s:]*)#([^)\s]+)\)/g)];
  return links.map(([, file = "", heading = ""]) => ({ file, heading }));
}

/** As GitHub names them. */
function headingsOf(text: string): readonly string[] {
  const prose = text.replaceAll(/^```[\s\S]*?^```/gm, "");
  return [...prose.matchAll(/^#+ (.+)$/gm)].map(([, heading = ""]) => {
    return heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\- ]/gu, "")
      .replaceAll(" ", "-");
  });
}

function namedPaths(text: string): string[] {
  const prose = text.replaceAll(/^```[\s\S]*?^```/gm, "");
  const quoted = [...prose.matchAll(/`([^`\n]+)`/g)].map((match) => match[1] ?? "");
  return quoted.filter((name) => {
    if (!/^[\w.@-]+(\/[\w.@-]+)*\/?$/.test(name)) return false;
    const isBelowTop = name.includes("/") && topEntries.includes(name.split("/")[0] ?? "");
    return isBelowTop || /\w\.(ts|md|py|c|mjs)$/.test(name);
  });
}

/** Pages name files from the root, from their own folder, or, where it is clear which one is meant, by the last part of the path alone. */
function isThere(page: string, name: string): boolean {
  if (existsSync(join(ROOT, name)) || existsSync(join(ROOT, dirname(page), name))) return true;
  return !name.includes("/") && fileNames.has(name);
}

function linkedFiles(text: string): string[] {
  const targets = [...text.matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)].map((match) => match[1] ?? "");
  return targets.filter((target) => !/^[a-z]+:/.test(target));
}

describe("pages", () => {
  it.each([...rooms, ...FOLDERS, "deploy", "test", "cni-shim"])("says in 10 to 30 lines what %s is for", (folder) => {
    const length = lineCount(textOf(`${folder}/README.md`));
    expect(length).toBeGreaterThanOrEqual(10);
    expect(length).toBeLessThanOrEqual(30);
  });

  it.each(MANUALS)("has a manual of %s", (folder) => {
    expect(lineCount(textOf(`${folder}/README.md`))).toBeGreaterThanOrEqual(10);
  });

  it.each(pages)("names only files that exist: %s", (page) => {
    expect(namedPaths(textOf(page)).filter((name) => !isThere(page, name))).toEqual([]);
  });

  it.each(pages)("links only to files that exist: %s", (page) => {
    const missing = linkedFiles(textOf(page)).filter((target) => !existsSync(join(ROOT, dirname(page), target)));
    expect(missing).toEqual([]);
  });

  it.each(pages)("links only to headings that exist: %s", (page) => {
    const wrong = linkedHeadings(textOf(page)).filter(({ file, heading }) => {
      const target = file === "" ? page : join(dirname(page), file);
      return !existsSync(join(ROOT, target)) || !headingsOf(textOf(target)).includes(heading);
    });
    expect(wrong).toEqual([]);
  });

  it.each(decisions)("says whether the decision holds, and since when: %s", (page) => {
    const [title, , status, date] = textOf(page).split("\n");
    expect(title).toMatch(/^# \S/);
    expect(status).toMatch(/^Status: (proposed|accepted|superseded by \[.+\]\(.+\))$/);
    expect(date).toMatch(/^Date: 20\d\d-\d\d-\d\d$/);
  });

  it("sees links to headings at all", () => {
    expect(linkedHeadings("[a](b.md#c-d), [e](#f), [g](https://h.org/i#j)")).toEqual([
      { file: "b.md", heading: "c-d" },
      { file: "", heading: "f" },
    ]);
    expect(headingsOf("# A `b`: it's c\n\n```\n# no\n```\n## D-e")).toEqual(["a-b-its-c", "d-e"]);
  });

  it("sees pages, rooms and paths at all", () => {
    expect(pages.length).toBeGreaterThan(30);
    expect(decisions.length).toBeGreaterThan(10);
    expect(rooms.map((room) => relative("netplugin", room))).toContain("attach");
    expect(namedPaths("see `state/ids.ts`, `objects/barrier`, `main.js --help` and `apply.ts`")).toEqual([
      "state/ids.ts",
      "apply.ts",
    ]);
  });
});
