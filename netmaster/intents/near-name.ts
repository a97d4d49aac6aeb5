/** Names shorter than this are near to too many others. */
const MIN_LENGTH = 4;
/** Most letters that may be wrong, missing or too many. */
const MAX_DISTANCE = 2;

/** The name that somebody who wrote `given` may have meant: it differs in case, punctuation or at most two letters. */
export function nearestName(given: string, names: readonly string[]): string | undefined {
  const letters = lettersOf(given);
  const same = names.find((name) => lettersOf(name) === letters);
  if (same !== undefined || letters.length < MIN_LENGTH) return same;
  const distances = names.map((name) => ({ name, distance: editDistance(letters, lettersOf(name)) }));
  const [best] = distances.sort((left, right) => left.distance - right.distance);
  return best !== undefined && best.distance <= MAX_DISTANCE ? best.name : undefined;
}

/** Longest text that is compared, in characters: no name of ours is longer. */
const COMPARED_MAX_LENGTH = 40;

function lettersOf(name: string): string {
  return name
    .slice(0, COMPARED_MAX_LENGTH)
    .toLowerCase()
    .replaceAll(/[^a-z0-9]/g, "");
}

/** Levenshtein's: how many letters must be changed, added or taken away. */
function editDistance(left: string, right: string): number {
  let previous = Array.from({ length: right.length + 1 }, (_, column) => column);
  for (let row = 1; row <= left.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= right.length; column += 1) {
      const replaced = (previous[column - 1] ?? 0) + (left[row - 1] === right[column - 1] ? 0 : 1);
      current.push(Math.min(replaced, (previous[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1));
    }
    previous = current;
  }
  return previous.at(-1) ?? 0;
}
