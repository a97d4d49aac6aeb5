import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { projectRoot } from "../../../deploy/cluster/components.ts";
import { inNetns, run } from "../../../deploy/cluster/exec.ts";

/** One program of a job; `@PREV@` in its input becomes the output of the step before (of `prevFile` in the first). */
export interface Step {
  readonly program: string;
  readonly input: string;
}

/** What one CNI call of a runtime amounts to: its programs, one after the other. */
export interface Job {
  readonly name: string;
  readonly env: Readonly<Record<string, string>>;
  readonly steps: readonly Step[];
  readonly prevFile?: string;
  readonly saveFile?: string;
}

export interface Timing {
  readonly name: string;
  readonly startMs: number;
  readonly durationMs: number;
}

const TIMEOUT_MS = 600_000;
const SOURCE = "test/bench/lib/spawn-timer.c";

/** Starts plugins from a small C program: a spawn by Node would cost more than what is measured. */
export interface SpawnTimer {
  /** Runs the jobs inside a namespace, `concurrency` at a time; a failing job is an error. */
  time(netns: string, jobs: readonly Job[], concurrency: number): Promise<readonly Timing[]>;
}

export async function buildSpawnTimer(directory: string): Promise<SpawnTimer> {
  mkdirSync(directory, { recursive: true });
  const program = join(directory, "spawn-timer");
  await run(["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", program, join(projectRoot(), SOURCE), "-lpthread"]);
  return {
    time: async (netns, jobs, concurrency) => {
      const argv = inNetns(netns, [program, String(concurrency)]);
      const { stdout, stderr } = await run(argv, { stdin: jobs.map(jobText).join(""), timeoutMs: TIMEOUT_MS });
      return stdout
        .trimEnd()
        .split("\n")
        .map((line) => parseTiming(line, stderr));
    },
  };
}

function jobText(job: Job): string {
  const lines = [`job ${job.name}`, ...Object.entries(job.env).map(([name, value]) => `env ${name}=${value}`)];
  if (job.prevFile !== undefined) lines.push(`prev ${job.prevFile}`);
  for (const { program, input } of job.steps) lines.push(`step ${program} ${input}`);
  if (job.saveFile !== undefined) lines.push(`save ${job.saveFile}`);
  return `${lines.join("\n")}\nend\n`;
}

function parseTiming(line: string, stderr: string): Timing {
  const [name = "", start = "", end = "", status = ""] = line.split(" ");
  if (status !== "0") throw new Error(`job ${name} failed with exit status ${status}: ${stderr.trim()}`);
  const startNs = BigInt(start);
  return { name, startMs: Number(startNs) / 1e6, durationMs: Number(BigInt(end) - startNs) / 1e6 };
}
