import { connect, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

export interface RawReply {
  /** 0 = the connection was closed without an answer. */
  readonly status: number;
  readonly body: string;
}

export interface RawOptions {
  /** Close our direction after the last byte. */
  readonly halfClose?: boolean;
  readonly timeoutMs?: number;
}

/** Sends bytes as they are and reads what comes back until the first answer is whole, the other side closes, or time is up. */
export function rawExchange(port: number, bytes: string | Buffer, options: RawOptions = {}): Promise<RawReply> {
  const { halfClose = false, timeoutMs = 10_000 } = options;
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1");
    let text = "";
    const timer = setTimeout(() => {
      socket.destroy();
      reject(new Error(`no answer within ${timeoutMs} ms to ${bytes.toString("latin1").slice(0, 80)}`));
    }, timeoutMs);
    const finish = () => {
      clearTimeout(timer);
      socket.destroy();
      resolve(replyOf(text));
    };
    socket.setEncoding("latin1").on("data", (chunk: string) => {
      text += chunk;
      if (isWhole(text)) finish();
    });
    socket.on("error", finish); // cut while we were still sending: what has come counts
    socket.once("close", finish);
    socket.write(bytes);
    if (halfClose) socket.end();
  });
}

function isWhole(text: string): boolean {
  const [head = "", body] = text.split("\r\n\r\n");
  const length = /content-length: *(\d+)/i.exec(head)?.[1];
  return body !== undefined && length !== undefined && body.length >= Number(length);
}

function replyOf(text: string): RawReply {
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1] ?? "0");
  return { status, body: text.split("\r\n\r\n").slice(1).join("\r\n\r\n") };
}

/** A client that sends its request byte by byte and never ends; tells how long it was borne, in milliseconds. */
export async function trickle(port: number, head: string, drop: string, limitMs: number): Promise<number> {
  const startMs = performance.now();
  const socket: Socket = connect(port, "127.0.0.1");
  let isOpen = true;
  socket.on("error", () => {});
  socket.once("close", () => {
    isOpen = false;
  });
  socket.resume();
  socket.write(head);
  while (isOpen && performance.now() - startMs < limitMs) {
    await sleep(500);
    if (drop !== "" && socket.writable) socket.write(drop);
  }
  socket.destroy();
  return performance.now() - startMs;
}
