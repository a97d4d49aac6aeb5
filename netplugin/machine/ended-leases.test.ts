import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { EndedLeases } from "./ended-leases.ts";

const LEASE = { key: `${"x".repeat(256)}:eth0`, epoch: "e1" };

let directory: string;

beforeEach(() => {
  directory = join(mkdtempSync(join(tmpdir(), "ended-")), "ended-leases");
});
afterEach(() => rmSync(join(directory, ".."), { recursive: true, force: true }));

const open = () => new EndedLeases(directory, pino({ level: "silent" }));

describe("notes of ended leases", () => {
  it("are what the next run finds, of that epoch only, until they are removed", () => {
    expect(open().add(LEASE)).toBe(true);
    const next = open();
    expect([next.has(LEASE), next.has({ ...LEASE, epoch: "e2" })]).toEqual([true, false]);
    expect(next.all()).toEqual([LEASE]);
    next.remove(LEASE);
    expect([next.has(LEASE), open().all()]).toEqual([false, []]);
    expect(readdirSync(directory)).toEqual([]);
  });

  it("that cannot be written are told, and say so", () => {
    writeFileSync(directory, "no directory");
    const ended = open();
    expect([ended.add(LEASE), ended.has(LEASE)]).toEqual([false, false]);
    ended.remove(LEASE);
  });

  it("that say nothing are taken away", () => {
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, "a.json"), "{");
    mkdirSync(join(directory, "b.json"));
    writeFileSync(join(directory, "c.json"), JSON.stringify({ key: "", epoch: "e" }));
    expect(open().all()).toEqual([]);
    expect(readdirSync(directory)).toEqual([]);
  });
});
