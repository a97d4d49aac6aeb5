import type { Meter } from "../../../drivers/ovs/openflow/meter.ts";
import { MeterUse, meterId } from "./meter-ids.ts";
import type { SampledVerdict } from "./sample-note.ts";

/** Each verdict has a meter of its own: a flood of what is denied must not hide what is allowed. */
const NUMBERS: Readonly<Record<SampledVerdict, number>> = { denied: 0, allowed: 1 };
/** About 2 % of one core of netplugin. What is beyond is counted by the rule's hits alone. */
const SAMPLES_PER_SECOND = 200;

export function sampleMeterId(verdict: SampledVerdict): number {
  return meterId(MeterUse.sample, NUMBERS[verdict]);
}

/** The meter of that number; undefined when it holds back no samples. */
export function sampleMeter(id: number): Meter | undefined {
  if (!Object.values(NUMBERS).some((number) => meterId(MeterUse.sample, number) === id)) return undefined;
  const band = { kind: "drop", rate: SAMPLES_PER_SECOND, burst: SAMPLES_PER_SECOND } as const;
  return { id, rateUnit: "packet/s", hasBurst: true, keepsStats: true, bands: [band] };
}
