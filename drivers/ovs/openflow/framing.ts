import { protocolError } from "./bytes.ts";
import { HEADER_BYTES, type Message } from "./message.ts";

/** Bytes that arrived, on their way to whole messages. */
export interface Frames {
  head: Buffer;
  /** Where the next message begins in `head`. */
  at: number;
  readonly chunks: Buffer[];
  queuedBytes: number;
}

export function createFrames(): Frames {
  return { head: Buffer.alloc(0), at: 0, chunks: [], queuedBytes: 0 };
}

export function pushChunk(frames: Frames, chunk: Buffer): void {
  frames.chunks.push(chunk);
  frames.queuedBytes += chunk.length;
}

/** The next whole message, undefined until more arrives. Its body shares memory with what arrived. */
export function nextMessage(frames: Frames): Message | undefined {
  if (!fill(frames, HEADER_BYTES)) return undefined;
  const length = frames.head.readUInt16BE(frames.at + 2);
  if (length < HEADER_BYTES) throw protocolError(`message of length ${length}`);
  if (!fill(frames, length)) return undefined;
  const { head, at } = frames;
  frames.at = at + length;
  frames.queuedBytes -= length;
  return {
    version: head[at] ?? 0,
    type: head[at + 1] ?? 0,
    xid: head.readUInt32BE(at + 4),
    body: { buffer: head, offset: at + HEADER_BYTES, end: at + length },
  };
}

/** Makes `count` bytes contiguous in `head`; false when so many have not arrived. */
function fill(frames: Frames, count: number): boolean {
  while (frames.head.length - frames.at < count) {
    const next = frames.chunks.shift();
    if (next === undefined) return false;
    const rest = frames.head.subarray(frames.at);
    frames.head = rest.length === 0 ? next : Buffer.concat([rest, next]);
    frames.at = 0;
  }
  return true;
}
