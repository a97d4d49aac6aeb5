import type { Match } from "../../../drivers/ovs/openflow/match.ts";
import type { PacketIn } from "../../../drivers/ovs/openflow/packet.ts";
import { Flag, LogMark, Register } from "../../desired/pipeline/pipeline.ts";
import { readSampleNote, type SampledVerdict } from "../../desired/pipeline/sample-note.ts";
import { type PacketHeaders, readHeaders } from "./packet-headers.ts";

/** An end of a connection. */
export type End = "source" | "destination";

/** A log rule that matched, by its number (`logNumberOf`), at the end whose rule it is. */
export interface SampledRule {
  readonly end: End;
  readonly number: number;
}

/** What the switch tells of a packet that log rules match. */
export interface ConnectionSample {
  readonly verdict: SampledVerdict;
  /** Ends whose rules have been asked on this node; the last one has denied what is denied. */
  readonly asked: readonly End[];
  readonly rules: readonly SampledRule[];
  readonly networkId: number;
  /** OpenFlow port of the pod that a copy of a flooded packet was for. */
  readonly copyFor: number | undefined;
  readonly headers: PacketHeaders;
}

/** Is it one of our samples at all? Others may be sent by flows that are not ours. */
export function isSample({ userdata }: PacketIn): boolean {
  return readSampleNote(userdata) !== undefined;
}

/** Undefined when it cannot be understood. */
export function readConnectionSample({ userdata, metadata, data }: PacketIn): ConnectionSample | undefined {
  const verdict = readSampleNote(userdata);
  const headers = readHeaders(data);
  if (verdict === undefined || headers === undefined) return undefined;
  const marks = [
    { end: "source", bits: numberIn(metadata, Register.outLog) },
    { end: "destination", bits: numberIn(metadata, Register.inLog) },
  ] as const;
  const isCopy = (numberIn(metadata, Register.flags) & Flag.delivering) !== 0;
  return {
    ...{ verdict, headers },
    asked: marks.filter(({ bits }) => (bits & LogMark.asked) !== 0).map(({ end }) => end),
    rules: marks
      .filter(({ bits }) => (bits & LogMark.logged) !== 0)
      .map(({ end, bits }) => ({ end, number: bits & LogMark.rule })),
    networkId: numberIn(metadata, Register.networkId),
    copyFor: isCopy ? numberIn(metadata, Register.outputPort) : undefined,
  };
}

/** Registers that are 0 are not told. */
function numberIn(metadata: Match, register: (typeof Register)[keyof typeof Register]): number {
  const value = metadata[register as keyof Match];
  return typeof value === "number" ? value : 0;
}
