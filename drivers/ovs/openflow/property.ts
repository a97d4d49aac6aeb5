import {
  getU16,
  nested,
  padTo8,
  patchU16,
  protocolError,
  putU16,
  type Reader,
  skipPadTo8,
  type Writer,
} from "./bytes.ts";

/** A property: type, length without padding, value, padding to 8 (ofp-prop.c, ofpprop_put). */
export function putProperty(writer: Writer, type: number, put: (writer: Writer) => void): void {
  const start = writer.length;
  putU16(writer, type);
  putU16(writer, 0);
  put(writer);
  patchU16(writer, start + 2, writer.length - start);
  padTo8(writer, start);
}

/** A property's type and a reader of its value; the outer reader goes on behind its padding. */
export function getProperty(reader: Reader): { type: number; value: Reader } {
  const start = reader.offset;
  const type = getU16(reader);
  const length = getU16(reader);
  if (length < 4) throw protocolError(`property of length ${length}`);
  const value = nested(reader, length - 4);
  skipPadTo8(reader, start);
  return { type, value };
}
