import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { SwitchPort } from "../../drivers/ovs/types.ts";
import { NetError } from "../../state/errors.ts";
import type { EndpointRecord } from "../../state/kinds/endpoint.ts";
import { worldView } from "../../test/fakes/world.ts";
import { recordOf } from "../view/query.ts";
import { AttachmentRecords } from "./attachment-records.ts";
import { markOf } from "./lease-mark.ts";
import { PortMarks } from "./port-marks.ts";

const VIEW = worldView("network t:a vxlan 1 10.1.1.0/24\nendpoint p t:a n1 10.1.1.1");
const endpoint = recordOf(VIEW, "endpoint", "p") as EndpointRecord;
const OLD = markOf({ storeEpoch: "1-a", endpoint });
const NEW = markOf({ storeEpoch: "2-b", endpoint });

let directory: string;
let shown: Map<string, SwitchPort>;
let failure: NetError | undefined;
let isAway = false;
let records: AttachmentRecords;
let marks: PortMarks;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "contiv-marks-"));
  [shown, failure, isAway] = [new Map(), undefined, false];
  records = new AttachmentRecords(directory, pino({ level: "silent" }));
  marks = new PortMarks({ ports: { read: () => shown, mark }, records });
});
afterEach(() => rmSync(directory, { recursive: true }));

async function mark(wanted: ReadonlyMap<string, Readonly<Record<string, string>>>) {
  if (isAway) throw new NetError("UNAVAILABLE", "the database is away");
  if (failure !== undefined) return new Map([...wanted.keys()].map((name) => [name, failure as NetError]));
  for (const [name, externalIds] of wanted) show(name, externalIds);
  return new Map();
}

function show(name: string, externalIds: Readonly<Record<string, string>>): void {
  shown.set(name, { name, ofport: 1, error: undefined, policing: undefined, externalIds });
}

describe("marks of pods' ports", () => {
  it("are the switch's, and the recorded ones where it has none of a lease, or none that can be read", () => {
    expect(marks.of("a")).toEqual({});
    records.write("a", OLD);
    expect(marks.of("a")).toEqual(OLD);
    show("a", { other: "mark" });
    expect(marks.of("a")).toEqual(OLD);
    show("a", { "contiv-lease": "{" });
    expect(marks.of("a")).toEqual(OLD);
    show("a", NEW);
    expect(marks.of("a")).toEqual(NEW);
  });

  it("are written in both places, so that the next run finds in either what was seen last", async () => {
    for (const name of ["a", "b"]) {
      show(name, OLD);
      records.write(name, OLD);
    }
    expect(await marks.write(new Map([["a", NEW]]))).toEqual(new Map());
    const read = new AttachmentRecords(directory, pino({ level: "silent" }));
    expect([shown.get("a")?.externalIds, read.marksOf("a"), read.marksOf("b")]).toEqual([NEW, NEW, OLD]);
  });

  it("are not recorded of a port that the switch does not mark as a pod's", async () => {
    failure = new NetError("NOT_FOUND", "no such port");
    await expect(marks.begin("a", NEW)).rejects.toThrow("no such port");
    expect(new AttachmentRecords(directory, pino({ level: "silent" })).marksOf("a")).toEqual({});
  });

  it("are not recorded of a port that nobody can mark while the database is away", async () => {
    isAway = true;
    await expect(marks.begin("a", NEW)).rejects.toThrow("the database is away");
    expect(new AttachmentRecords(directory, pino({ level: "silent" })).marksOf("a")).toEqual({});
  });
});
