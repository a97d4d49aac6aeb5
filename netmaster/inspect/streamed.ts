/**
 * A JSON value whose large parts are made while they are written, so that a list of 100,000 objects neither fills the memory nor
 * holds the event loop. What they read must not change meanwhile: a cluster view does not.
 */
export type Rendered = string | number | boolean | null | undefined | object;

/** A list whose items are rendered one by one. */
export class StreamedList {
  readonly items: Iterable<Rendered>;
  constructor(items: Iterable<Rendered>) {
    this.items = items;
  }
}

/** An object that has streamed members; undefined members are left out. */
export class StreamedObject {
  readonly members: Readonly<Record<string, Rendered>>;
  constructor(members: Readonly<Record<string, Rendered>>) {
    this.members = members;
  }
}

/** A text of parts joined by ", ". The parts must hold nothing that JSON escapes. */
export class StreamedText {
  readonly parts: Iterable<string>;
  constructor(parts: Iterable<string>) {
    this.parts = parts;
  }
}

/** A value that takes long to find: `find` yields now and then; a member that turns out undefined is left out. */
export class StreamedValue {
  readonly find: () => Generator<void, Rendered>;
  constructor(find: () => Generator<void, Rendered>) {
    this.find = find;
  }
}

/** The JSON text, in pieces; some are empty. */
export function* jsonChunks(value: Rendered): Generator<string> {
  if (value instanceof StreamedList) yield* listChunks(value);
  else if (value instanceof StreamedObject) yield* objectChunks(value);
  else if (value instanceof StreamedText) yield* textChunks(value);
  else if (value instanceof StreamedValue) yield* jsonChunks(yield* foundValue(value));
  else yield JSON.stringify(value) ?? "null";
}

function* listChunks({ items }: StreamedList): Generator<string> {
  let before = "[";
  for (const item of items) {
    yield before;
    yield* jsonChunks(item);
    before = ",";
  }
  yield before === "[" ? "[]" : "]";
}

function* objectChunks({ members }: StreamedObject): Generator<string> {
  let before = "{";
  for (const [name, value] of Object.entries(members)) {
    const found = value instanceof StreamedValue ? yield* foundValue(value) : value;
    if (found === undefined) continue;
    yield `${before}${JSON.stringify(name)}:`;
    yield* jsonChunks(found);
    before = ",";
  }
  yield before === "{" ? "{}" : "}";
}

function* foundValue({ find }: StreamedValue): Generator<string, Rendered> {
  const steps = find();
  let step = steps.next();
  for (; step.done !== true; step = steps.next()) yield "";
  return step.value;
}

function* textChunks({ parts }: StreamedText): Generator<string> {
  let before = '"';
  for (const part of parts) {
    yield `${before}${part}`;
    before = ", ";
  }
  yield before === '"' ? '""' : '"';
}

/** Leaves out what the contract's replies leave out: 0, "", [] and {} (contract §3). Does not look inside. */
export function omitEmpty(members: Readonly<Record<string, Rendered>>): Record<string, Rendered> {
  const kept: Record<string, Rendered> = {};
  for (const name of Object.keys(members)) {
    const value = members[name];
    if (!isEmpty(value)) kept[name] = value;
  }
  return kept;
}

function isEmpty(value: Rendered): boolean {
  if (value === undefined || value === null || value === 0 || value === "" || value === false) return true;
  if (Array.isArray(value)) return value.length === 0;
  if (value instanceof StreamedText || value instanceof StreamedList) return isEmptyIterable(value);
  return (
    typeof value === "object" && Object.getPrototypeOf(value) === Object.prototype && Object.keys(value).length === 0
  );
}

/** Both kinds of iterables are re-iterable here: they start a new generator each time. */
function isEmptyIterable(value: StreamedText | StreamedList): boolean {
  const iterator = (value instanceof StreamedText ? value.parts : value.items)[Symbol.iterator]();
  return iterator.next().done === true;
}

/** An iterable that starts anew each time it is iterated. */
export function repeatable<T>(start: () => Iterator<T>): Iterable<T> {
  return { [Symbol.iterator]: start };
}
