/** What became of a packet that a log rule matches. */
export type SampledVerdict = "allowed" | "denied";

/** "log" in ASCII. */
const MAGIC = [0x6c, 0x6f, 0x67] as const;
const VERDICT_CODES: Readonly<Record<SampledVerdict, number>> = { denied: 0, allowed: 1 };

/** What the switch tells with a sample, besides the packet and its registers. */
export function sampleNote(verdict: SampledVerdict): Uint8Array {
  return Uint8Array.of(...MAGIC, VERDICT_CODES[verdict]);
}

/** Undefined: the packet was sent here for another reason. */
export function readSampleNote(note: Uint8Array): SampledVerdict | undefined {
  if (note.length !== MAGIC.length + 1 || MAGIC.some((byte, index) => note[index] !== byte)) return undefined;
  const code = note[MAGIC.length];
  return (["allowed", "denied"] as const).find((verdict) => VERDICT_CODES[verdict] === code);
}
