import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { inNetns } from "../../deploy/cluster/exec.ts";
import { end, spawnTied } from "./ovs-node.ts";
import { PYTHON } from "./talk.ts";

const SCRIPT = fileURLToPath(new URL("stream.py", import.meta.url));

/** What one end of a connection has received so far (stream.py). */
export interface StreamEnd {
  readonly peer: string;
  /** Numbers of 8 bytes. */
  readonly received: number;
  /** Those that were not the next one. */
  readonly wrong: number;
  /** When the last one came, of the monotonic clock. */
  readonly lastNs: number;
  readonly ended: string | null;
}

export interface Streams extends AsyncDisposable {
  /** By the peer's address. */
  readonly ends: ReadonlyMap<string, StreamEnd>;
}

/** Takes connections on a port and keeps numbers flowing over each, both ways. */
export function serveStreams(netns: string, port: number): Promise<Streams> {
  return start(netns, ["serve", String(port)]);
}

export function openStream(netns: string, host: string, port: number): Promise<Streams> {
  return start(netns, ["connect", host, String(port)]);
}

async function start(netns: string, argv: readonly string[]): Promise<Streams> {
  const child = spawnTied(process.env, inNetns(netns, [PYTHON, SCRIPT, ...argv]));
  const { stdout } = child;
  if (stdout === null) throw new Error("A stream has no output");
  const ends = new Map<string, StreamEnd>();
  await new Promise<void>((resolve, reject) => {
    child.once("exit", () => reject(new Error(`No stream (${argv.join(" ")}) in ${netns}`)));
    createInterface({ input: stdout }).on("line", (line) => {
      const report = JSON.parse(line) as StreamEnd | { readonly ready: true };
      if ("peer" in report) ends.set(report.peer, report);
      resolve();
    });
  });
  return { ends, [Symbol.asyncDispose]: () => end(child) };
}
