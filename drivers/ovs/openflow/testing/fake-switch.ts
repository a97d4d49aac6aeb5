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

/** openflow-1.4.h, enum ofp14_bundle_ctrl_type. */
const BUNDLE = { open: 0, commit: 4 } as const;
/** OFPBFC_MSG_FAILED (openflow-1.4.h). */
const MSG_FAILED = Buffer.from("0011000d", "hex");

/** Errors (type and code, 4 bytes) that a switch has for the messages of a bundle, by their places. */
export interface BundleErrors {
  /** It cannot read them, and says so of each. */
  readonly atAdd?: ReadonlyMap<number, Buffer>;
  /** It cannot carry them out, and says so of the first when it is told to commit. */
  readonly atCommit?: ReadonlyMap<number, Buffer>;
}

/** Takes bundles as Open vSwitch does (ofproto.c, do_bundle_commit), but for the messages that it has errors for. */
export function bundling({ atAdd, atCommit }: BundleErrors): Behaviour {
  let xids: number[] = [];
  return (message, send, socket) => {
    const { type, xid, body } = message;
    if (type === OFPT.bundleAdd) {
      const error = atAdd?.get(xids.length);
      xids.push(xid);
      if (error !== undefined) send(messageBytes(OFPT.error, xid, error));
    } else if (type === OFPT.bundleControl) {
      const deed = body.readUInt16BE(4);
      if (deed === BUNDLE.open) xids = [];
      const failed = deed === BUNDLE.commit ? [...(atCommit ?? [])][0] : undefined;
      if (failed !== undefined) send(messageBytes(OFPT.error, xids[failed[0]] ?? 0, failed[1]));
      const reply = Buffer.from(body);
      reply.writeUInt16BE(deed + 1, 4);
      if (failed !== undefined) send(messageBytes(OFPT.error, xid, MSG_FAILED));
      else send(messageBytes(OFPT.bundleControl, xid, reply));
    } else obliging(message, send, socket);
  };
}

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
