/**
 * Small numbers in place of those above `max`, the lowest number first: its remainder, or the next that no other has. Depends on the
 * numbers alone. More than `max` numbers do not fit: what is left over has 0.
 */
export function fittedNumbers(numbers: Iterable<number>, max: number): ReadonlyMap<number, number> {
  const all = new Set(numbers);
  const taken = new Set([...all].filter((number) => number <= max));
  const fitted = new Map<number, number>();
  for (const number of [...all].filter((each) => each > max).sort((left, right) => left - right)) {
    const free = firstFree(taken, { from: (number % max) + 1, max });
    taken.add(free);
    fitted.set(number, free);
  }
  return fitted;
}

function firstFree(taken: ReadonlySet<number>, { from, max }: { readonly from: number; readonly max: number }): number {
  for (let step = 0; step < max; step += 1) {
    const number = ((from - 1 + step) % max) + 1;
    if (!taken.has(number)) return number;
  }
  return 0;
}
