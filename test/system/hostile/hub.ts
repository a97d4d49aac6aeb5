import { join } from "node:path";
import { createInterface } from "node:readline";
import { projectRoot } from "../../../deploy/cluster/components.ts";
import { end, spawnTied } from "../../fakes/ovs-node.ts";
import { PYTHON } from "../../fakes/talk.ts";

/** Guests run this file as it was compiled, elsewhere. */
const SCRIPT = join(projectRoot(), "test/system/hostile/hub.py");
const TAG = "Mk";
const MARK_DIGITS = 6;
const SENT_TIMEOUT_MS = 60_000;

/** Where the hub sends and listens; see hub.py for what the kinds listen to. */
export interface Station {
  readonly kind: "pod" | "node" | "wire";
  readonly name: string;
  readonly netns: string;
  readonly device: string;
}

/** A frame in hexadecimal, and the station that sends it. */
export type Shot = readonly [station: string, frame: string];

/** One process that sends from, and listens at, all stations of a world. */
export interface Hub extends AsyncDisposable {
  /** Resolves when all of it has been handed to the devices. */
  send(shots: readonly Shot[]): Promise<void>;
  /** Who has heard the mark so far: `srv1 wire`, `n1 stack`. */
  heardBy(mark: number): readonly string[];
  /** Source MACs that frames came with, by station. */
  readonly macs: ReadonlyMap<string, ReadonlySet<string>>;
}

/** The text that tells a frame from every other one, as it stands in the frame. */
export function markText(mark: number): string {
  return `${TAG}${String(mark).padStart(MARK_DIGITS, "0")}`;
}

interface Report {
  readonly ready?: true;
  readonly heard?: readonly [station: string, how: string, mark: number];
  readonly mac?: readonly [station: string, mac: string];
  readonly sent?: number;
}

export async function startHub(stations: readonly Station[]): Promise<Hub> {
  const places = stations.map(({ kind, name, netns, device }) => [kind, name, netns, device].join(":"));
  const child = spawnTied(process.env, [PYTHON, SCRIPT, TAG, ...places]);
  const heard = new Map<number, string[]>();
  const macs = new Map<string, Set<string>>();
  const waiting = new Map<number, () => void>();
  const { stdin, stdout } = child;
  if (stdin === null || stdout === null) throw new Error("The hub has no pipes");
  stdin.on("error", () => {}); // told by `gone`
  const gone = new Promise<never>((_, reject) => child.once("exit", () => reject(new Error("The hub has ended"))));
  gone.catch(() => {}); // told to whoever waits for it
  const ready = new Promise<void>((resolve) => {
    createInterface({ input: stdout }).on("line", (line) => {
      const report = JSON.parse(line) as Report;
      if (report.ready) resolve();
      if (report.sent !== undefined) waiting.get(report.sent)?.();
      if (report.mac !== undefined) macs.set(report.mac[0], (macs.get(report.mac[0]) ?? new Set()).add(report.mac[1]));
      const [station, how, mark] = report.heard ?? [];
      if (mark !== undefined) heard.set(mark, [...(heard.get(mark) ?? []), `${station} ${how}`]);
    });
  });
  await Promise.race([ready, gone]);
  let count = 0;
  return {
    macs,
    heardBy: (mark) => heard.get(mark) ?? [],
    send: async (shots) => {
      const id = ++count;
      const sent = new Promise<void>((resolve, reject) => {
        waiting.set(id, resolve);
        setTimeout(() => reject(new Error("The hub has not sent in time")), SENT_TIMEOUT_MS).unref();
      });
      stdin.write(`${JSON.stringify({ send: shots, id })}\n`);
      await Promise.race([sent, gone]);
    },
    [Symbol.asyncDispose]: () => end(child),
  };
}
