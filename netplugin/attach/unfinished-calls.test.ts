import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { UnfinishedCalls } from "./unfinished-calls.ts";

let directory: string;

beforeEach(() => {
  directory = join(mkdtempSync(join(tmpdir(), "unfinished-")), "calls");
});

afterEach(() => rmSync(join(directory, ".."), { recursive: true, force: true }));

const open = () => new UnfinishedCalls(directory, pino({ level: "silent" }));
const CALL = { containerId: "c1", ifName: "eth0" };

describe("notes of calls that want several interfaces", () => {
  it("are what the next run finds, until the call has ended", () => {
    const first = open();
    first.begin(CALL);
    const next = open();
    expect(next.all()).toEqual([CALL]);
    next.end(CALL);
    expect(open().all()).toEqual([]);
  });

  it("can be of a container whose id is as long as CNI allows", () => {
    const call = { containerId: "x".repeat(256), ifName: "eth0" };
    const calls = open();
    calls.begin(call);
    expect(open().all()).toEqual([call]);
    calls.end(call);
    expect(readdirSync(directory)).toEqual([]);
  });

  it("cost a call that has none nothing, whatever its name and the directory are", () => {
    const calls = open();
    writeFileSync(directory, "no directory");
    calls.end({ containerId: "x".repeat(256), ifName: "eth0" });
    calls.end(CALL);
  });

  it("that say nothing are taken away", () => {
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, "a.json"), "{");
    writeFileSync(join(directory, "b.json"), JSON.stringify({ containerId: "", ifName: "eth0" }));
    mkdirSync(join(directory, "c.json"));
    open().begin(CALL);
    expect(open().all()).toEqual([CALL]);
    expect(readdirSync(directory)).toHaveLength(1);
  });
});
