import type { NumberRange } from "./allocators/id-pool.ts";

/**
 * Parses `1-10` or `1-10,20-30` (contract §6.7, §13 row 14); a string says what is wrong. Blanks after commas are allowed. Range ends
 * outside of `limits` are let through up to `tolerated`.
 */
export function parseNumberRanges(
  text: string,
  limits: NumberRange,
  tolerated: NumberRange = limits,
): readonly NumberRange[] | string {
  const ranges: NumberRange[] = [];
  for (const part of text.split(/, */)) {
    const match = /^([0-9]{1,8})-([0-9]{1,8})$/.exec(part);
    if (match === null) return "must be like 100-200 or 100-200,300-400";
    const range = { first: Number(match[1]), last: Number(match[2]) };
    if (range.first > range.last) return `has the range ${part}, which ends before it begins`;
    if (range.first < tolerated.first || range.last > tolerated.last) {
      return `has the range ${part}, which is not within ${limits.first}-${limits.last}`;
    }
    ranges.push(range);
  }
  return ranges;
}

export function inRanges(ranges: readonly NumberRange[], value: number): boolean {
  return ranges.some(({ first, last }) => first <= value && value <= last);
}

/** The contract's list form: `1-9, 300`. */
export function formatNumberRanges(ranges: Iterable<NumberRange>): string {
  return Array.from(ranges, ({ first, last }) => (first === last ? `${first}` : `${first}-${last}`)).join(", ");
}
