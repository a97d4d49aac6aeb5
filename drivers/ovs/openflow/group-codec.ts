import { getActions } from "./action-decode.ts";
import { putActions } from "./action-encode.ts";
import { checked } from "./action-wire.ts";
import {
  createWriter,
  getBytes,
  getDurationMs,
  getU8,
  getU16,
  getU32,
  getU64,
  nested,
  patchU16,
  protocolError,
  putBytes,
  putU8,
  putU16,
  putU32,
  putU64,
  putZeros,
  type Reader,
  remaining,
  skip,
  type Writer,
  written,
} from "./bytes.ts";
import type { Bucket, BucketPlace, Group, GroupMod, GroupStats, Selection } from "./group.ts";
import { formatPort, portNumber } from "./port-number.ts";
import { getProperty } from "./property.ts";

/** openflow-1.5.h, enum ofp15_group_mod_command; 0x8000 is Open vSwitch's own (openflow-1.1.h, OFPGC11_ADD_OR_MOD). */
const COMMAND = { add: 0, modify: 1, delete: 2, insertBucket: 3, removeBucket: 5, addOrModify: 0x8000 } as const;
/** openflow-1.1.h, enum ofp11_group_type. */
const TYPES: readonly Group["type"][] = ["all", "select", "indirect", "fastFailover"];
/** openflow-1.1.h, OFPG_ALL. */
const ALL_GROUPS = 0xfffffffc;
/** openflow-1.5.h, enum ofp15_group_bucket. */
const PLACE = { first: 0xfffffffd, last: 0xfffffffe, all: 0xffffffff } as const;
/** openflow-1.5.h, enum ofp15_group_bucket_prop_type. */
const BUCKET_PROPERTY = { weight: 0, watchPort: 1, watchGroup: 2 } as const;
/** OFPGPT15_EXPERIMENTER; netronome-ext.h, NTR_VENDOR_ID and NTRT_SELECTION_METHOD. */
const EXPERIMENTER_PROPERTY = 0xffff;
const NTR_VENDOR = 0x0000154d;
const SELECTION_METHOD = 1;
const METHOD_BYTES = 16;
const ANY = 0xffffffff;

/** Body of a group-mod message. */
export function putGroupMod(writer: Writer, mod: GroupMod): void {
  switch (mod.kind) {
    case "group-add":
      putGroup(writer, COMMAND.add, mod.group, PLACE.all);
      break;
    case "group-modify":
      putGroup(writer, COMMAND.modify, mod.group, PLACE.all);
      break;
    case "group-put":
      putGroup(writer, COMMAND.addOrModify, mod.group, PLACE.all);
      break;
    case "group-delete": {
      const id = mod.id === "all" ? ALL_GROUPS : mod.id;
      putGroup(writer, COMMAND.delete, { id, type: "all", buckets: [] }, PLACE.all);
      break;
    }
    case "group-insert-buckets":
      putGroup(writer, COMMAND.insertBucket, mod, placeNumber(mod.place));
      break;
    case "group-remove-bucket": {
      const bucket = mod.bucket === "all" ? PLACE.all : placeNumber(mod.bucket);
      putGroup(writer, COMMAND.removeBucket, { id: mod.id, type: "all", buckets: [] }, bucket);
      break;
    }
  }
}

function placeNumber(place: BucketPlace): number {
  return typeof place === "number" ? checked(place, 32, "bucket id") : PLACE[place];
}

/** openflow-1.5.h, struct ofp15_group_mod. */
function putGroup(writer: Writer, command: number, group: Group, commandBucket: number): void {
  putU16(writer, command);
  putU8(writer, TYPES.indexOf(group.type));
  putU8(writer, 0);
  putU32(writer, checked(group.id, 32, "group id"));
  const lengthAt = writer.length;
  putU16(writer, 0);
  putZeros(writer, 2);
  putU32(writer, commandBucket);
  const start = writer.length;
  for (const bucket of group.buckets) putBucket(writer, group.type, bucket);
  patchU16(writer, lengthAt, checked(writer.length - start, 16, "length of all buckets"));
  if (group.selection !== undefined) putSelection(writer, group.selection);
}

/** openflow-1.5.h, struct ofp15_bucket and its properties; what is default is left out, as Open vSwitch does. */
function putBucket(writer: Writer, type: Group["type"], bucket: Bucket): void {
  const start = writer.length;
  putU16(writer, 0);
  putU16(writer, 0);
  putU32(writer, checked(bucket.id, 32, "bucket id"));
  const actionsAt = writer.length;
  putActions(writer, bucket.actions);
  patchU16(writer, start + 2, checked(writer.length - actionsAt, 16, "length of a bucket's actions"));
  if (type === "select") {
    putU16(writer, BUCKET_PROPERTY.weight);
    putU16(writer, 8);
    putU16(writer, checked(bucket.weight ?? 1, 16, "bucket weight"));
    putZeros(writer, 2);
  }
  putWatch(writer, BUCKET_PROPERTY.watchPort, portNumber(bucket.watchPort ?? "none"));
  putWatch(writer, BUCKET_PROPERTY.watchGroup, bucket.watchGroup ?? ANY);
  patchU16(writer, start, checked(writer.length - start, 16, "length of a bucket"));
}

function putWatch(writer: Writer, type: number, watched: number): void {
  if (watched === ANY) return;
  putU16(writer, type);
  putU16(writer, 8);
  putU32(writer, watched);
}

/** netronome-ext.h, struct ntr_group_prop_selection_method, without fields: all that `hash` uses by default. */
function putSelection(writer: Writer, selection: Selection): void {
  putU16(writer, EXPERIMENTER_PROPERTY);
  putU16(writer, 40);
  putU32(writer, NTR_VENDOR);
  putU32(writer, SELECTION_METHOD);
  putZeros(writer, 4);
  const name = Buffer.alloc(METHOD_BYTES);
  name.write(selection.method, "latin1");
  putBytes(writer, name);
  putU64(writer, selection.param ?? 0n);
}

/** True when two groups of the same id do the same. */
export function groupsEqual(a: Group, b: Group): boolean {
  return encodeGroup(a).equals(encodeGroup(b));
}

function encodeGroup(group: Group): Buffer {
  const writer = createWriter();
  putGroup(writer, COMMAND.add, group, PLACE.all);
  return written(writer);
}

/** One entry of a group description reply (openflow-1.5.h, struct ofp15_group_desc_stats). */
export function getGroup(reader: Reader): Group {
  const length = getU16(reader);
  if (length < 16) throw protocolError(`group entry of length ${length}`);
  const entry = nested(reader, length - 2);
  const type = TYPES[getU8(entry)];
  if (type === undefined) throw protocolError("group of unknown type");
  skip(entry, 1);
  const id = getU32(entry);
  const bucketBytes = getU16(entry);
  skip(entry, 6);
  const inner = nested(entry, bucketBytes);
  const buckets: Bucket[] = [];
  while (remaining(inner) > 0) buckets.push(getBucket(inner, type));
  const selection = getSelection(entry);
  return { id, type, buckets, ...(selection !== undefined && { selection }) };
}

function getBucket(reader: Reader, type: Group["type"]): Bucket {
  const length = getU16(reader);
  if (length < 8) throw protocolError(`bucket of length ${length}`);
  const entry = nested(reader, length - 2);
  const actionBytes = getU16(entry);
  const id = getU32(entry);
  const actions = getActions(nested(entry, actionBytes));
  let bucket: Bucket = { id, actions };
  while (remaining(entry) >= 8) {
    const property = getProperty(entry);
    if (property.type === BUCKET_PROPERTY.weight && type === "select") {
      bucket = { ...bucket, weight: getU16(property.value) };
    } else if (property.type === BUCKET_PROPERTY.watchPort) {
      bucket = { ...bucket, watchPort: formatPort(getU32(property.value)) };
    } else if (property.type === BUCKET_PROPERTY.watchGroup) {
      bucket = { ...bucket, watchGroup: getU32(property.value) };
    }
  }
  return bucket;
}

function getSelection(entry: Reader): Selection | undefined {
  while (remaining(entry) >= 8) {
    const { type, value } = getProperty(entry);
    if (type !== EXPERIMENTER_PROPERTY || getU32(value) !== NTR_VENDOR || getU32(value) !== SELECTION_METHOD) continue;
    skip(value, 4);
    const text = getBytes(value, METHOD_BYTES).toString("latin1").replace(/\0.*$/s, "");
    const param = getU64(value);
    if (text === "hash" || text === "dp_hash") return { method: text, ...(param !== 0n && { param }) };
  }
  return undefined;
}

/** One entry of a group statistics reply (openflow-1.3.h, struct ofp13_group_stats). */
export function getGroupStats(reader: Reader): GroupStats {
  const length = getU16(reader);
  if (length < 40) throw protocolError(`group counters of length ${length}`);
  const entry = nested(reader, length - 2);
  skip(entry, 2);
  const id = getU32(entry);
  const refCount = getU32(entry);
  skip(entry, 4);
  const packetCount = getU64(entry);
  const byteCount = getU64(entry);
  const durationMs = getDurationMs(entry);
  const buckets: { packetCount: bigint; byteCount: bigint }[] = [];
  while (remaining(entry) > 0) buckets.push({ packetCount: getU64(entry), byteCount: getU64(entry) });
  return { id, refCount, packetCount, byteCount, durationMs, buckets };
}

/** Group to ask about; all when absent (openflow-1.5.h, struct ofp15_group_desc_request; openflow-1.1.h for counters). */
export function putGroupRequest(writer: Writer, id: number | undefined): void {
  putU32(writer, id ?? ALL_GROUPS);
  putZeros(writer, 4);
}
