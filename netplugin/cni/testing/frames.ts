import type { Socket } from "node:net";
import { encodeFrame } from "../protocol.ts";
import { CONFIG } from "./calls.ts";

/** What the shim sends for a call. */
export function frameOf(command: string, env: Record<string, string> = {}, config: object = {}): Buffer {
  const variables = {
    CNI_COMMAND: command,
    CNI_CONTAINERID: "c1",
    CNI_NETNS: "/run/netns/pod",
    CNI_IFNAME: "eth0",
    CNI_PATH: "/bin",
  };
  return encodeFrame(Object.entries({ ...variables, ...env }), JSON.stringify({ ...CONFIG, ...config }));
}

/** Everything that comes until the other side ends. */
export async function received(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  await new Promise<void>((resolve) =>
    socket
      .once("end", resolve)
      .once("close", () => resolve())
      .on("error", () => {}),
  );
  socket.destroy();
  return Buffer.concat(chunks);
}
