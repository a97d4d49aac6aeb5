/**
 * A set of named parts, of which only those are cloned that get written: the way from one frozen view to the next. `freeze()` ends it.
 */
export class Thawed<N extends string, V extends { clone(): V }> {
  readonly #parts: Record<N, V>;
  readonly #own = new Set<N>();

  constructor(parts: Readonly<Record<N, V>>) {
    this.#parts = { ...parts };
  }

  read(name: N): V {
    return this.#parts[name];
  }

  write(name: N): V {
    if (!this.#own.has(name)) {
      this.#parts[name] = this.#parts[name].clone();
      this.#own.add(name);
    }
    return this.#parts[name];
  }

  /** The parts as they are at any time, while they change. */
  get live(): Readonly<Record<N, V>> {
    return this.#parts;
  }

  freeze(): Readonly<Record<N, V>> {
    return Object.freeze(this.#parts);
  }
}
