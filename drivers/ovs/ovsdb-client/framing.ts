import { NetError } from "../../../state/errors.ts";

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN = 0x7b;
const CLOSE = 0x7d;

/** Room kept from one message to the next; a larger one is given back. */
const KEPT_ROOM_BYTES = 65_536;

/** Cuts a byte stream into its top-level JSON objects (RFC 7047 §4: nothing stands between them). */
export interface Framer {
  /** Takes the bytes that came and gives the objects they complete; each byte is looked at once. */
  push(chunk: Uint8Array): readonly unknown[];
}

/** Opens a framer that refuses an object of more than `maxMessageBytes`. Errors are PROTOCOL and final. */
export function createFramer(maxMessageBytes: number): Framer {
  const held = createHold(maxMessageBytes);
  let depth = 0;
  let inString = false;
  let escaped = false;

  function push(chunk: Uint8Array): readonly unknown[] {
    const objects: unknown[] = [];
    let start = 0;
    for (let i = 0; i < chunk.length; i++) {
      const byte = chunk[i] as number;
      if (inString) {
        if (escaped) escaped = false;
        else if (byte === BACKSLASH) escaped = true;
        else if (byte === QUOTE) inString = false;
      } else if (byte === OPEN) {
        if (depth++ === 0) start = i;
      } else if (depth === 0) {
        if (!isSpace(byte)) throw strayByte(byte);
      } else if (byte === QUOTE) {
        inString = true;
      } else if (byte === CLOSE && --depth === 0) {
        objects.push(parse(held.take(chunk.subarray(start, i + 1))));
      }
    }
    if (depth > 0) held.add(chunk.subarray(start));
    return objects;
  }

  return { push };
}

/** Bytes of an object that is not complete; the room doubles, so that a dripping peer costs linear time. */
interface Hold {
  add(bytes: Uint8Array): void;
  /** The text of all bytes held and the last ones, which leaves nothing held. */
  take(last: Uint8Array): string;
}

function createHold(maxBytes: number): Hold {
  let room = Buffer.alloc(0);
  let usedBytes = 0;

  function add(bytes: Uint8Array): void {
    const neededBytes = usedBytes + bytes.length;
    if (neededBytes > maxBytes) {
      throw new NetError("PROTOCOL", `The peer sent a message of more than ${maxBytes} bytes`);
    }
    if (neededBytes > room.length) {
      const larger = Buffer.allocUnsafe(Math.max(neededBytes, 2 * room.length, 4_096));
      room.copy(larger, 0, 0, usedBytes);
      room = larger;
    }
    room.set(bytes, usedBytes);
    usedBytes = neededBytes;
  }

  function take(last: Uint8Array): string {
    add(last);
    const text = room.toString("utf8", 0, usedBytes);
    usedBytes = 0;
    if (room.length > KEPT_ROOM_BYTES) room = Buffer.alloc(0);
    return text;
  }

  return { add, take };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new NetError("PROTOCOL", `The peer sent what is not JSON: ${text.slice(0, 200)}`, { cause });
  }
}

/** RFC 8259 §2 white space. */
function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

function strayByte(byte: number): NetError {
  return new NetError("PROTOCOL", `The peer sent byte 0x${byte.toString(16).padStart(2, "0")} between two messages`);
}
