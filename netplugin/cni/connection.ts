import type { Socket } from "node:net";
import { cniFault } from "./errors.ts";
import { type CniAnswer, encodeAnswer, type FrameLimits, frameBytesMax, stdinTooLarge } from "./protocol.ts";

const PROBE_INTERVAL_MS = 250;
const NOTHING = Buffer.alloc(0);

/**
 * Reads until the client ends its writing side. @returns what came, or undefined when the client sent nothing or vanished.
 * @throws NetError with CNI code 7 for a client that sends too much, 5 for one that is too slow
 */
export function readCall(socket: Socket, limits: FrameLimits, timeoutMs: number): Promise<Buffer | undefined> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let length = 0;
    const settle = (act: () => void): void => {
      clearTimeout(timer);
      socket.off("data", onData).off("end", onEnd).off("close", onClose);
      act();
    };
    const onData = (chunk: Buffer): void => {
      chunks.push(chunk);
      length += chunk.length;
      if (length > frameBytesMax(limits)) settle(() => reject(stdinTooLarge(limits)));
    };
    const onEnd = (): void => settle(() => resolve(length === 0 ? undefined : Buffer.concat(chunks)));
    const onClose = (): void => settle(() => resolve(undefined));
    const timer = setTimeout(() => settle(() => reject(tooSlow(timeoutMs))), timeoutMs);
    socket.on("data", onData).on("end", onEnd).on("close", onClose);
  });
}

function tooSlow(timeoutMs: number): Error {
  const message = `The call on the CNI socket was not complete within ${timeoutMs} ms; end the writing side after the configuration`;
  return cniFault("io", message);
}

/**
 * Calls `onGone` once the client has closed both directions. After a half-close neither epoll nor Node tells of a full close; writing no
 * bytes fails with EPIPE then, and does nothing otherwise (unix(7), SOCK_STREAM).
 */
export function watchClient(socket: Socket, onGone: () => void): Disposable {
  const timer = setInterval(() => socket.write(NOTHING), PROBE_INTERVAL_MS);
  socket.on("close", onGone);
  if (socket.destroyed) onGone();
  return {
    [Symbol.dispose]() {
      clearInterval(timer);
      socket.off("close", onGone);
    },
  };
}

/** True when nobody would receive an answer. */
export function isGone(socket: Socket): Promise<boolean> {
  if (socket.destroyed || !socket.writable) return Promise.resolve(true);
  return new Promise((resolve) => {
    socket.write(NOTHING, (error) => resolve(error !== undefined && error !== null));
  });
}

/** Sends the answer, then lets the client finish what it writes; after `timeoutMs` the connection is cut. */
export function sendAnswer(socket: Socket, answer: CniAnswer, timeoutMs: number): Promise<void> {
  if (socket.destroyed) return Promise.resolve();
  return new Promise((resolve) => {
    const timer = setTimeout(() => socket.destroy(), timeoutMs);
    socket.once("close", () => {
      clearTimeout(timer);
      resolve();
    });
    socket.end(encodeAnswer(answer));
    socket.resume();
  });
}
