/** As much of the protocol buffers encoding as the container runtime interface needs: varints, strings, messages. */

export type Field = readonly [number: number, value: string | number | Buffer | undefined];

/** Wire types of the encoding. */
const VARINT = 0;
const LENGTH_DELIMITED = 2;

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 0x7f; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 0x80);
  bytes.push(rest);
  return Buffer.from(bytes);
}

/** Encodes fields in the order given; a repeated field is given repeatedly, an absent one is left out. */
export function message(...fields: readonly Field[]): Buffer {
  return Buffer.concat(
    fields.flatMap(([number, value]) => {
      if (value === undefined) return [];
      if (typeof value === "number") return [varint(number * 8 + VARINT), varint(value)];
      const bytes = Buffer.from(value);
      return [varint(number * 8 + LENGTH_DELIMITED), varint(bytes.length), bytes];
    }),
  );
}

/** Entries of a map field. */
export function mapFields(number: number, entries: Readonly<Record<string, string>>): Field[] {
  return Object.entries(entries).map(([key, value]) => [number, message([1, key], [2, value])]);
}

/** The fields of a message: number → values in order. */
export type Fields = ReadonlyMap<number, readonly (number | Buffer)[]>;

export function parse(bytes: Buffer): Fields {
  const fields = new Map<number, (number | Buffer)[]>();
  let at = 0;
  const next = () => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = bytes.readUInt8(at++);
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
  };
  while (at < bytes.length) {
    const tag = next();
    const size = next();
    const isVarint = tag % 8 === VARINT;
    if (!isVarint && tag % 8 !== LENGTH_DELIMITED) throw new Error(`wire type ${tag % 8} is not expected`);
    const number = Math.floor(tag / 8);
    fields.set(number, [...(fields.get(number) ?? []), isVarint ? size : bytes.subarray(at, at + size)]);
    if (!isVarint) at += size;
  }
  return fields;
}

/** A string field; empty when absent, as the encoding has it. */
export function text(fields: Fields, number: number): string {
  const value = fields.get(number)?.[0];
  return Buffer.isBuffer(value) ? value.toString("utf8") : "";
}

export function integer(fields: Fields, number: number): number {
  const value = fields.get(number)?.[0];
  return typeof value === "number" ? value : 0;
}

/** A message field. */
export function nested(fields: Fields, number: number): Fields {
  const value = fields.get(number)?.[0];
  return parse(Buffer.isBuffer(value) ? value : Buffer.alloc(0));
}
