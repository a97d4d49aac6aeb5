import { NetError } from "./errors.ts";

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

export interface DurationBounds {
  /** Default 1. */
  readonly minMs?: number;
  readonly maxMs?: number;
}

/** Reads `500ms`, `15s`, `10m`, `1h`; a bare number means seconds. Throws INVALID. The result is in milliseconds. */
export function parseDurationMs(text: string, { minMs = 1, maxMs = Number.MAX_SAFE_INTEGER }: DurationBounds = {}) {
  const [, digits, unit = "s"] = /^(\d{1,9})(ms|s|m|h)?$/.exec(text) ?? [];
  const valueMs = Number(digits) * (UNIT_MS[unit] ?? 0);
  if (digits === undefined || (valueMs === 0 && minMs > 0)) {
    throw new NetError("INVALID", `"${text}" is not a duration such as 500ms, 15s, 10m or 1h`);
  }
  if (valueMs >= minMs && valueMs <= maxMs) return valueMs;
  throw new NetError("INVALID", `"${text}" is not within ${durationText(minMs)} to ${durationText(maxMs)}`);
}

/** In the largest unit that makes it a whole number. */
export function durationText(valueMs: number): string {
  const units = Object.entries(UNIT_MS).reverse();
  const [unit, unitMs] = units.find(([, each]) => valueMs !== 0 && valueMs % each === 0) ?? ["s", 1_000];
  return `${valueMs / unitMs}${unit}`;
}
