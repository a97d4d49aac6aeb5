import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Attachment, INFRA_ROLE, POD_ROLE } from "./attachment.ts";
import { AttachmentIndex } from "./attachment-index.ts";

const PLACES = ["cvh0000000001", "cvh0000000002", "cvh0000000003"] as const;
const ENDPOINTS = ["a:eth0", "b:eth0", "c:eth0"] as const;

interface Row {
  readonly endpointKey: string | undefined;
  readonly epoch: string;
  readonly role: Attachment["role"];
  readonly ofport: number | undefined;
}

function attachmentAt(portName: string, { endpointKey, epoch, role, ofport }: Row): Attachment | undefined {
  if (endpointKey === undefined) return undefined;
  const [containerId = ""] = endpointKey.split(":");
  return { endpointKey, epoch, role, portName, ofport, containerId, ifName: "eth0", configName: "", netnsPath: "" };
}

/** The switch's rows, and what is read from them: the same attachment for the same row. */
class Rows {
  readonly #rows = new Map<string, Row>();
  readonly #read = new WeakMap<Row, { readonly attachment: Attachment | undefined }>();

  write(place: string, row: Row): void {
    this.#rows.set(place, row);
  }

  delete(place: string): void {
    this.#rows.delete(place);
  }

  at(place: string): Attachment | undefined {
    const row = this.#rows.get(place);
    if (row === undefined) return undefined;
    const read = this.#read.get(row) ?? { attachment: attachmentAt(place, row) };
    this.#read.set(row, read);
    return read.attachment;
  }

  ofportAt(place: string): number | undefined {
    return this.#rows.get(place)?.ofport;
  }
}

const place = fc.constantFrom(...PLACES);
const row: fc.Arbitrary<Row> = fc.record({
  endpointKey: fc.option(fc.constantFrom(...ENDPOINTS), { nil: undefined }),
  epoch: fc.constantFrom("1", "2"),
  role: fc.constantFrom(POD_ROLE, POD_ROLE, POD_ROLE, INFRA_ROLE),
  ofport: fc.constantFrom(undefined, 1, 2, 3),
});
const step = fc.oneof(
  fc.record({ deed: fc.constant("write" as const), place, row }),
  fc.record({ deed: fc.constant("delete" as const), place }),
  fc.record({ deed: fc.constant("forget" as const), place }),
  fc.record({
    deed: fc.constant("remember" as const),
    place,
    row: row.map((each) => ({ ...each, endpointKey: each.endpointKey ?? ENDPOINTS[0], role: POD_ROLE }) satisfies Row),
  }),
);

function ofportsOf(attachments: ReadonlyMap<string, Attachment>) {
  const pluggedIn = [...attachments].filter(([, { ofport }]) => ofport !== undefined);
  return new Map(pluggedIn.map(([key, { ofport }]) => [key, ofport]));
}

describe("whose each place is", () => {
  it("follows what is shown, keeps pods' places, and gives every endpoint one place", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const [rows, index] = [new Rows(), new AttachmentIndex()];
        for (const each of steps) {
          const before = index.attachments;
          const touched = { place: "", endpointKey: "" };
          if (each.deed === "write") rows.write(each.place, each.row);
          if (each.deed === "delete") rows.delete(each.place);
          if (each.deed === "forget") index.forget(each.place);
          const looked: string[] = [each.place];
          if (each.deed === "forget" || each.deed === "remember") touched.place = each.place;
          if (each.deed === "remember") {
            touched.endpointKey = each.row.endpointKey;
            const elsewhere = index.remember(attachmentAt(each.place, each.row) as Attachment);
            if (elsewhere !== undefined) looked.push(elsewhere);
            expect(index.attachments.get(each.row.endpointKey)).toMatchObject({ portName: each.place });
          }
          index.follow(rows, looked);
          check(index, rows);
          for (const [key, attachment] of before) {
            const isTouched = attachment.portName === touched.place || key === touched.endpointKey;
            if (attachment.role !== POD_ROLE || isTouched) continue;
            const { ofport: _, ...facts } = attachment;
            expect(index.attachments.get(key)).toMatchObject(facts);
          }
        }
      }),
    );
  });

  function check(index: AttachmentIndex, rows: Rows): void {
    const { attachments, ofports } = index;
    expect(ofports).toEqual(ofportsOf(attachments));
    const places = [...attachments.values()].map(({ portName }) => portName);
    expect(new Set(places).size).toBe(places.length);
    for (const [key, attachment] of attachments) {
      expect(attachment.endpointKey).toBe(key);
      expect(attachment.ofport).toBe(rows.ofportAt(attachment.portName));
    }
    for (const shownAt of PLACES) {
      const shown = rows.at(shownAt);
      const isFree = shown !== undefined && !places.includes(shownAt);
      if (isFree) expect(attachments.has(shown.endpointKey)).toBe(true);
    }
    index.follow(rows, PLACES);
    expect([index.attachments, index.ofports].map((map, at) => map === [attachments, ofports][at])).toEqual([
      true,
      true,
    ]);
  }
});
