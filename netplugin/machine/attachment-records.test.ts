import { execFileSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pino from "pino";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Attachment, attachmentMarks, POD_ROLE } from "./attachment.ts";
import { AttachmentRecords } from "./attachment-records.ts";

const EPOCHS = ["3f1c8e52-8a5b-4f5e-9c0d-000000000001", "3f1c8e52-8a5b-4f5e-9c0d-000000000002"] as const;

let parent: string;
let directory: string;
let lines: string[];

beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), "records-"));
  directory = join(parent, "attachments");
  lines = [];
});

afterEach(() => rmSync(parent, { recursive: true }));

function open(): AttachmentRecords {
  return new AttachmentRecords(directory, pino({}, { write: (line: string) => lines.push(line) }));
}

function attachment(portName: string, epoch: string = EPOCHS[0]): Attachment {
  const containerId = `c-${portName}`;
  return {
    ...{ endpointKey: `${containerId}:eth0`, epoch, role: POD_ROLE, portName, ofport: undefined, containerId },
    ...{ ifName: "eth0", configName: "contiv", netnsPath: `/run/netns/${portName}` },
  };
}

function kept(...attachments: readonly Attachment[]) {
  const byKey = new Map(attachments.map((each) => [each.endpointKey, each]));
  return { attachments: byKey, ports: new Map(), isPending: () => false };
}

describe("records of attachments", () => {
  it("say after a restart what was written, and nothing of what was forgotten", () => {
    const records = open();
    records.write("cvh1", { ...attachmentMarks(attachment("cvh1")), "contiv-lease": "{}" });
    records.write("cvh2", attachmentMarks(attachment("cvh2")));
    records.forget("cvh2");
    const later = open();
    expect(later.all()).toEqual([attachment("cvh1")]);
    expect(later.marksOf("cvh1")).toHaveProperty("contiv-lease", "{}");
    expect(later.marksOf("cvh2")).toEqual({});
    expect(lines).toEqual([]);
  });

  it("can be read by their owner only", () => {
    open().write("cvh1", attachmentMarks(attachment("cvh1")));
    expect(statSync(directory).mode & 0o777).toBe(0o700);
    expect(statSync(join(directory, "cvh1.json")).mode & 0o777).toBe(0o600);
  });

  it("follow the attachments: missing and outdated ones are written, others taken away", () => {
    const records = open();
    records.write("cvh1", attachmentMarks(attachment("cvh1")));
    records.write("cvh2", attachmentMarks(attachment("cvh2")));
    rmSync(join(directory, "cvh1.json"));
    const renewed = attachment("cvh3", EPOCHS[1]);
    records.write("cvh3", attachmentMarks(attachment("cvh3")));
    records.keep(kept(attachment("cvh1"), renewed));
    expect(open().all()).toEqual(expect.arrayContaining([attachment("cvh1"), renewed]));
    expect(readdirSync(directory).sort()).toEqual(["cvh1.json", "cvh3.json"]);
  });

  it("are not written again while they are right", () => {
    const records = open();
    const one = attachment("cvh1");
    records.write("cvh1", { ...attachmentMarks(one), "contiv-lease": "kept" });
    const { ino } = statSync(join(directory, "cvh1.json"));
    records.keep(kept(one));
    expect(statSync(join(directory, "cvh1.json")).ino).toBe(ino);
    expect(records.marksOf("cvh1")).toHaveProperty("contiv-lease", "kept");
  });

  it("take all that the port itself says of the same lease", () => {
    const one = attachment("cvh1");
    const ports = new Map([["cvh1", { externalIds: { ...attachmentMarks(one), "contiv-lease": "its" } }]]);
    open().keep({ ...kept(one), ports });
    expect(open().marksOf("cvh1")).toHaveProperty("contiv-lease", "its");
  });

  it("of an ADD under way stay", () => {
    const records = open();
    const one = attachment("cvh1");
    records.write("cvh1", attachmentMarks(one));
    records.keep({ ...kept(), isPending: (key) => key === one.endpointKey });
    expect(open().all()).toEqual([one]);
  });

  it("come back when somebody has deleted their directory", () => {
    const records = open();
    records.write("cvh1", attachmentMarks(attachment("cvh1")));
    rmSync(directory, { recursive: true });
    records.keep(kept(attachment("cvh1")));
    expect(open().all()).toEqual([attachment("cvh1")]);
  });

  it.each([
    ["nothing", ""],
    ["half of it", '{"contiv-endpoint":'],
    ["something else", "[1]"],
    ["too much", JSON.stringify({ a: "x".repeat(70_000) })],
  ])("that hold %s are told and cost the others nothing", (_what, text) => {
    open().write("cvh1", attachmentMarks(attachment("cvh1")));
    writeFileSync(join(directory, "cvh2.json"), text);
    const records = open();
    expect(records.all()).toEqual([attachment("cvh1")]);
    expect(lines.join("")).toMatch(/Records of pods' attachments cannot be read or written/);
    expect(readdirSync(directory).sort()).toEqual(["cvh1.json", "cvh2.json"]);
    records.keep(kept(attachment("cvh1"), attachment("cvh2")));
    expect(JSON.parse(readFileSync(join(directory, "cvh2.json"), "utf8"))).toEqual(attachmentMarks(attachment("cvh2")));
  });

  it("that somebody has truncated, or put something else in their place, are written again", () => {
    const records = open();
    const [one, two, three] = ["cvh1", "cvh2", "cvh3"].map((portName) => attachment(portName)) as [
      Attachment,
      Attachment,
      Attachment,
    ];
    for (const each of [one, two, three]) records.write(each.portName, attachmentMarks(each));
    const elsewhere = join(parent, "elsewhere");
    writeFileSync(join(directory, "cvh1.json"), "");
    rmSync(join(directory, "cvh2.json"));
    symlinkSync(elsewhere, join(directory, "cvh2.json"));
    rmSync(join(directory, "cvh3.json"));
    execFileSync("mkfifo", [join(directory, "cvh3.json")]);
    records.keep(kept(one, two, three));
    expect(existsSync(elsewhere)).toBe(false);
    expect(open().all()).toEqual(expect.arrayContaining([one, two, three]));
  });

  it("are read from files alone: a pipe would never answer", () => {
    open();
    execFileSync("mkfifo", [join(directory, "cvh1.json")]);
    expect(open().all()).toEqual([]);
    expect(lines.join("")).toMatch(/cvh1.json.*it is no file/);
  });

  it("of many pods that fail alike are told in one line, and in one when all is well again", () => {
    const records = open();
    const many = Array.from({ length: 20 }, (_, index) => attachment(`cvh${index}`));
    for (const { portName } of many) mkdirSync(join(directory, `${portName}.json`, "in the way"), { recursive: true });
    for (let round = 0; round < 3; round += 1) records.keep(kept(...many));
    expect(lines).toHaveLength(1);
    rmSync(directory, { recursive: true });
    records.keep(kept(...many));
    expect(lines).toHaveLength(2);
    expect(lines[1]).toMatch(/written again/);
    expect(open().all()).toHaveLength(20);
  });

  it("that cannot be written are told once, and tried again", () => {
    writeFileSync(directory, "a file stands in the way");
    const records = open();
    for (let round = 0; round < 3; round += 1) records.keep(kept(attachment("cvh1")));
    expect(lines.length).toBeLessThanOrEqual(2); // reading, and comparing
    rmSync(directory);
    records.keep(kept(attachment("cvh1")));
    expect(open().all()).toEqual([attachment("cvh1")]);
    chmodSync(directory, 0o700);
  });
});
