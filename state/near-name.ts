/** A single letter is near to nothing. */
const MIN_LENGTH = 2;
/** Of names that are shorter only one letter may be wrong. */
const TWO_ERRORS_LENGTH = 4;
/** Longest name that is compared, in letters: no name of ours is longer. */
const COMPARED_MAX_LENGTH = 64;

/**
 * The one of `names` that somebody who wrote `given` may have meant: it differs in case or punctuation, or in at most two letters
 * (wrong, missing, too many, or two that changed places).
 */
export function nearestName(given: string, names: readonly string[]): string | undefined {
  const letters = lettersOf(given);
  const same = names.find((name) => lettersOf(name) === letters);
  if (same !== undefined || letters.length < MIN_LENGTH) return same;
  const errorsMax = letters.length < TWO_ERRORS_LENGTH ? 1 : 2;
  let best: { readonly name: string; readonly distance: number } | undefined;
  for (const name of names) {
    const others = lettersOf(name);
    if (Math.abs(others.length - letters.length) > errorsMax) continue;
    const distance = letterDistance(letters, others);
    if (distance <= errorsMax && distance < (best?.distance ?? Number.POSITIVE_INFINITY)) best = { name, distance };
  }
  return best?.name;
}

/** Ends a message that refuses `given`: "; did you mean x?" (near to it, or ended by it as "net-group" by "group"), or what there is. */
export function nearHint(given: string, names: readonly string[]): string {
  const letters = lettersOf(given);
  const isLongEnough = letters.length >= TWO_ERRORS_LENGTH;
  const meant = nearestName(given, names) ?? names.find((name) => isLongEnough && lettersOf(name).endsWith(letters));
  return meant === undefined ? `; there are: ${names.join(", ")}` : `; did you mean ${meant}?`;
}

function lettersOf(name: string): string {
  return name
    .toLowerCase()
    .replaceAll(/[^a-z0-9]/g, "")
    .slice(0, COMPARED_MAX_LENGTH);
}

/** Damerau's and Levenshtein's distance, where no part is changed twice ("optimal string alignment"). */
export function letterDistance(left: string, right: string): number {
  let beforePrevious: number[] = [];
  let previous = Array.from({ length: right.length + 1 }, (_, column) => column);
  for (let row = 1; row <= left.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= right.length; column += 1) {
      const isSame = left[row - 1] === right[column - 1];
      const replaced = at(previous, column - 1) + (isSame ? 0 : 1);
      const isSwapped = left[row - 1] === right[column - 2] && left[row - 2] === right[column - 1];
      const swapped = row > 1 && column > 1 && isSwapped ? at(beforePrevious, column - 2) + 1 : replaced;
      current.push(Math.min(replaced, swapped, at(previous, column) + 1, at(current, column - 1) + 1));
    }
    beforePrevious = previous;
    previous = current;
  }
  return at(previous, right.length);
}

function at(row: readonly number[], column: number): number {
  return row[column] ?? 0;
}
