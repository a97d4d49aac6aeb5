import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createWriter, putBytes, written } from "../bytes.ts";
import { createFrames, nextMessage, pushChunk } from "../framing.ts";
import { putHello } from "../handshake.ts";
import { type Message, OFPT, putMessage } from "../message.ts";

/** A message that the client sent, its body taken out. */
export interface Received {
  readonly type: number;
  readonly xid: number;
  readonly body: Buffer;
}

/** What the fake does with each message after the hello; `send` writes raw bytes. */
export type Behaviour = (message: Received, send: (bytes: Buffer) => void, socket: Socket) => void;

/** A switch on a unix socket that says only what a test tells it to. */
export interface FakeSwitch extends AsyncDisposable {
  readonly path: string;
  readonly received: Received[];
  readonly sockets: Socket[];
}

/** One message as bytes. */
export function messageBytes(type: number, xid: number, body: Uint8Array = new Uint8Array()): Buffer {
  const writer = createWriter();
  putMessage(writer, type, xid, (out) => putBytes(out, body));
  return written(writer);
}

export function helloBytes(): Buffer {
  const writer = createWriter();
  putMessage(writer, OFPT.hello, 99, putHello);
  return written(writer);
}

/** Answers barriers and echoes, as any switch does. */
export const obliging: Behaviour = ({ type, xid, body }, send) => {
  if (type === OFPT.barrierRequest) send(messageBytes(OFPT.barrierReply, xid));
  if (type === OFPT.echoRequest) send(messageBytes(OFPT.echoReply, xid, body));
};

/** Listens; greets every client with `hello`, then behaves. */
export async function startFakeSwitch(behave: Behaviour = obliging, hello = helloBytes()): Promise<FakeSwitch> {
  const directory = mkdtempSync(join(tmpdir(), "fake-switch-"));
  const path = join(directory, "br0.mgmt");
  const received: Received[] = [];
  const sockets: Socket[] = [];
  const server: Server = createServer((socket) => {
    sockets.push(socket);
    const frames = createFrames();
    const send = (bytes: Buffer) => socket.write(bytes);
    socket.on("error", () => {}); // the client went away
    socket.on("data", (chunk: Buffer) => {
      pushChunk(frames, chunk);
      for (let message = nextMessage(frames); message !== undefined; message = nextMessage(frames)) {
        const each = copyOf(message);
        received.push(each);
        if (each.type !== OFPT.hello) behave(each, send, socket);
      }
    });
    send(hello);
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return {
    path,
    received,
    sockets,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

function copyOf({ type, xid, body }: Message): Received {
  return { type, xid, body: Buffer.from(body.buffer.subarray(body.offset, body.end)) };
}
