import { performance } from "node:perf_hooks";

/** Longest work at a stretch before others get their turn, in milliseconds. */
const SLICE_MS = 3;
/** Size of the pieces that long replies are sent in, in characters. */
const PIECE_LENGTH = 65_536;

/** Runs a generator to its end, a few milliseconds at a time. */
export async function runInSlices<T>(steps: Generator<unknown, T>): Promise<T> {
  for (;;) {
    const untilMs = performance.now() + SLICE_MS;
    let step = steps.next();
    while (!step.done && performance.now() < untilMs) step = steps.next();
    if (step.done) return step.value;
    await nextTurn();
  }
}

/** Joins small pieces of text to larger ones, a few milliseconds at a time. */
export async function* inPieces(chunks: Iterable<string>): AsyncGenerator<string> {
  let piece = "";
  let untilMs = performance.now() + SLICE_MS;
  let count = 0;
  for (const chunk of chunks) {
    piece += chunk;
    count += 1;
    const isDue = count % 16 === 0 && performance.now() >= untilMs;
    if (!isDue && piece.length < PIECE_LENGTH) continue;
    if (piece !== "") yield piece;
    piece = "";
    if (isDue) await nextTurn();
    if (isDue) untilMs = performance.now() + SLICE_MS;
  }
  if (piece !== "") yield piece;
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
