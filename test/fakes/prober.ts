import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { inNetns } from "../../deploy/cluster/exec.ts";
import { end, spawnTied } from "./ovs-node.ts";
import { PYTHON } from "./talk.ts";

const SCRIPT = fileURLToPath(new URL("prober.py", import.meta.url));

export interface Target {
  readonly protocol: "tcp" | "udp" | "icmp";
  readonly host: string;
  /** 0 with ICMP. */
  readonly port: number;
}

export interface Probe extends Target {
  /** Comes back with the answer, and is what the asked one has heard. */
  readonly id: string;
}

/** The clock that all processes of this machine share. */
export function monotonicNs(): number {
  return Number(process.hrtime.bigint());
}

/** One question of a watch. */
export interface WatchedProbe {
  /** Of the monotonic clock. */
  readonly sentNs: number;
  readonly passed: boolean;
}

export interface Watch {
  /** All questions whose fate is known, in their order. */
  readonly probes: readonly WatchedProbe[];
  stop(): void;
}

/** A process in a pod that answers others' probes and sends its own (prober.py). */
export interface Prober extends AsyncDisposable {
  /** Sends all at once; "kept": UDP from the same port as ever. What is answered comes to `answered`. */
  ask(probes: readonly Probe[], source?: "fresh" | "kept"): void;
  /** Ids of the answers since the last `end`. */
  readonly answered: ReadonlySet<string>;
  /** Gives up what is unanswered; what others' probes this pod has got since the last time. */
  end(): Promise<readonly string[]>;
  /** A question every few milliseconds. */
  watch(target: Target, intervalMs: number): Watch;
}

interface Report {
  readonly ready?: true;
  readonly answered?: readonly string[];
  readonly heard?: readonly string[];
  readonly watch?: string;
}

let watchCount = 0;

export async function startProber(netns: string, ports: readonly number[]): Promise<Prober> {
  const child = spawnTied(process.env, inNetns(netns, [PYTHON, SCRIPT, ...ports.map(String)]));
  const watches = new Map<string, WatchedProbe[]>();
  const answered = new Set<string>();
  let heard: ((ids: readonly string[]) => void) | undefined;
  const { stdin, stdout } = child;
  if (stdin === null || stdout === null) throw new Error("A prober has no pipes");
  stdin.on("error", () => {}); // told by what is missing
  const say = (command: object) => stdin.write(`${JSON.stringify(command)}\n`);
  const gone = new Promise<never>((_, reject) => {
    child.once("exit", () => reject(new Error(`The prober in ${netns} has ended`)));
  });
  const ready = new Promise<void>((resolve) => {
    createInterface({ input: stdout }).on("line", (line) => {
      const report = JSON.parse(line) as Report;
      if (report.ready) resolve();
      for (const id of report.answered ?? []) answered.add(id);
      if (report.heard !== undefined) heard?.(report.heard);
      if (report.watch !== undefined) watches.get(report.watch)?.push(report as unknown as WatchedProbe);
    });
  });
  await Promise.race([ready, gone]);
  gone.catch(() => {}); // told to whoever waits for it
  return {
    answered,
    ask: (probes, source = "fresh") => {
      say({ ask: probes.map(({ id, protocol, host, port }) => [id, protocol, host, port]), source });
    },
    end: async () => {
      const ended = new Promise<readonly string[]>((resolve) => {
        heard = resolve;
      });
      say({ end: true });
      const ids = await Promise.race([ended, gone]);
      answered.clear();
      return ids;
    },
    watch: (target, intervalMs) => {
      const name = `watch${++watchCount}`;
      const probes: WatchedProbe[] = [];
      watches.set(name, probes);
      say({ watch: name, ...target, intervalMs });
      return {
        probes,
        stop: () => {
          say({ unwatch: name });
          watches.delete(name);
        },
      };
    },
    [Symbol.asyncDispose]: () => end(child),
  };
}
