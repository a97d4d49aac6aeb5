import { NetError } from "../state/errors.ts";

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

/** Reads `500ms`, `15s`, `10m`, `1h`; a bare number means seconds. Throws INVALID. The result is in milliseconds. */
export function parseDurationMs(text: string): number {
  const [, digits, unit = "s"] = /^(\d{1,9})(ms|s|m|h)?$/.exec(text) ?? [];
  const valueMs = Number(digits) * (UNIT_MS[unit] ?? 0);
  if (digits === undefined || valueMs === 0) {
    throw new NetError("INVALID", `"${text}" is not a duration such as 500ms, 15s, 10m or 1h`);
  }
  return valueMs;
}
