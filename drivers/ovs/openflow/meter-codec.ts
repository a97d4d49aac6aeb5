import { checked } from "./action-wire.ts";
import {
  getDurationMs,
  getU8,
  getU16,
  getU32,
  getU64,
  nested,
  protocolError,
  putU16,
  putU32,
  putZeros,
  type Reader,
  remaining,
  skip,
  type Writer,
} from "./bytes.ts";
import type { DropBand, Meter, MeterFeatures, MeterMod, MeterStats } from "./meter.ts";

/** openflow-1.3.h, enum ofp13_meter_mod_command. */
const COMMAND = { "meter-add": 0, "meter-modify": 1, "meter-delete": 2 } as const;
/** openflow-1.3.h, enum ofp13_meter_flags. */
const FLAG = { kbps: 1, pktps: 2, burst: 4, stats: 8 } as const;
/** openflow-1.3.h, OFPM13_ALL. */
const ALL_METERS = 0xffffffff;
const DROP_BAND = 1;
const DROP_BAND_BYTES = 16;

/** Body of a meter-mod message (openflow-1.3.h, struct ofp13_meter_mod). */
export function putMeterMod(writer: Writer, mod: MeterMod): void {
  putU16(writer, COMMAND[mod.kind]);
  if (mod.kind === "meter-delete") {
    putU16(writer, 0);
    putU32(writer, mod.id === "all" ? ALL_METERS : checked(mod.id, 32, "meter id"));
    return;
  }
  putU16(writer, flagsOf(mod.meter));
  putU32(writer, checked(mod.meter.id, 32, "meter id"));
  for (const band of mod.meter.bands) putBand(writer, band);
}

function flagsOf(meter: Meter): number {
  const unit = meter.rateUnit === "kbit/s" ? FLAG.kbps : FLAG.pktps;
  return unit | (meter.hasBurst ? FLAG.burst : 0) | (meter.keepsStats ? FLAG.stats : 0);
}

/** openflow-1.3.h, struct ofp13_meter_band_drop. */
function putBand(writer: Writer, band: DropBand): void {
  putU16(writer, DROP_BAND);
  putU16(writer, DROP_BAND_BYTES);
  putU32(writer, checked(band.rate, 32, "meter rate"));
  putU32(writer, checked(band.burst, 32, "meter burst"));
  putZeros(writer, 4);
}

/** Meter to ask about; all when absent (openflow-1.3.h, struct ofp13_meter_multipart_request). */
export function putMeterRequest(writer: Writer, id: number | undefined): void {
  putU32(writer, id ?? ALL_METERS);
  putZeros(writer, 4);
}

/** One entry of a meter configuration reply (openflow-1.3.h, struct ofp13_meter_config). */
export function getMeter(reader: Reader): Meter {
  const length = getU16(reader);
  if (length < 8) throw protocolError(`meter entry of length ${length}`);
  const entry = nested(reader, length - 2);
  const flags = getU16(entry);
  const id = getU32(entry);
  const bands: DropBand[] = [];
  while (remaining(entry) > 0) bands.push(getBand(entry));
  return {
    id,
    rateUnit: flags & FLAG.pktps ? "packet/s" : "kbit/s",
    hasBurst: (flags & FLAG.burst) !== 0,
    keepsStats: (flags & FLAG.stats) !== 0,
    bands,
  };
}

function getBand(reader: Reader): DropBand {
  const type = getU16(reader);
  const length = getU16(reader);
  if (type !== DROP_BAND || length !== DROP_BAND_BYTES) {
    throw protocolError(`meter band of type ${type} and length ${length}`);
  }
  const rate = getU32(reader);
  const burst = getU32(reader);
  skip(reader, 4);
  return { kind: "drop", rate, burst };
}

/** True when two meters of the same id limit the same. */
export function metersEqual(a: Meter, b: Meter): boolean {
  if (flagsOf(a) !== flagsOf(b) || a.bands.length !== b.bands.length) return false;
  return a.bands.every((band, index) => band.rate === b.bands[index]?.rate && band.burst === b.bands[index]?.burst);
}

/** One entry of a meter statistics reply (openflow-1.3.h, struct ofp13_meter_stats). */
export function getMeterStats(reader: Reader): MeterStats {
  const id = getU32(reader);
  const length = getU16(reader);
  if (length < 40) throw protocolError(`meter counters of length ${length}`);
  const entry = nested(reader, length - 6);
  skip(entry, 6);
  const flowCount = getU32(entry);
  const packetInCount = getU64(entry);
  const byteInCount = getU64(entry);
  const durationMs = getDurationMs(entry);
  const bands: { packetCount: bigint; byteCount: bigint }[] = [];
  while (remaining(entry) > 0) bands.push({ packetCount: getU64(entry), byteCount: getU64(entry) });
  return { id, flowCount, packetInCount, byteInCount, durationMs, bands };
}

/** openflow-1.3.h, struct ofp13_meter_features. */
export function getMeterFeatures(reader: Reader): MeterFeatures {
  const maxMeters = getU32(reader);
  const bandTypes = getU32(reader);
  const capabilities = getU32(reader);
  const maxBands = getU8(reader);
  skip(reader, 3);
  return {
    maxMeters,
    maxBands,
    canDrop: (bandTypes & (1 << DROP_BAND)) !== 0,
    hasKbps: (capabilities & FLAG.kbps) !== 0,
    hasPktps: (capabilities & FLAG.pktps) !== 0,
    hasBurst: (capabilities & FLAG.burst) !== 0,
    hasStats: (capabilities & FLAG.stats) !== 0,
  };
}
