import { execFile } from "node:child_process";
import { NetError } from "../../state/errors.ts";

export interface RunOptions {
  readonly timeoutMs?: number;
  readonly env?: NodeJS.ProcessEnv;
  readonly stdin?: string;
  /** Do not throw when the command fails. */
  readonly allowFailure?: boolean;
}

export interface RunResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** What has become of a program. */
export interface Ended {
  readonly stdout: string;
  readonly stderr: string;
  /** Absent when it could not be started, or was killed. */
  readonly exitCode?: number;
  /** Why there is no exit code. */
  readonly failure?: string;
  /** It was killed because its time was over. */
  readonly isLate?: boolean;
}

/** Starts a program without a shell and tells how it has ended; never rejects. */
export type Launch = (argv: readonly string[], options: LaunchOptions) => Promise<Ended>;

export interface LaunchOptions {
  readonly timeoutMs: number;
  readonly env: NodeJS.ProcessEnv;
  readonly stdin: string;
}

const DEFAULT_TIMEOUT_MS = 30_000;
const MAX_OUTPUT_BYTES = 16 * 1024 * 1024;
let launch: Launch = launchHere;

/** Has another start programs from now on: tests are large processes, and to fork one takes longer than most programs. */
export function launchThrough(other: Launch): void {
  launch = other;
}

/** Runs a program without a shell and waits for it; a failure is an error that holds what the program wrote. */
export async function run(argv: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  if (argv.length === 0) throw new NetError("INTERNAL", "Cannot run an empty command");
  const { timeoutMs = DEFAULT_TIMEOUT_MS, env = process.env, stdin = "", allowFailure = false } = options;
  const ended = await launch(argv, { timeoutMs, env, stdin });
  const { exitCode, stdout, stderr } = ended;
  if (exitCode === undefined || (exitCode !== 0 && !allowFailure))
    throw new NetError("REJECTED", failureText(argv, ended));
  return { exitCode, stdout, stderr };
}

/** Has programs started by this process itself. */
export function launchHere(
  [file = "", ...args]: readonly string[],
  { timeoutMs, env, stdin }: LaunchOptions,
): Promise<Ended> {
  const settings = { timeout: timeoutMs, maxBuffer: MAX_OUTPUT_BYTES, killSignal: "SIGKILL" as const, env };
  return new Promise((resolve) => {
    const child = execFile(file, args, settings, (error, stdout, stderr) => {
      const isLate = error?.killed === true;
      if (error === null) resolve({ exitCode: 0, stdout, stderr });
      else if (typeof error.code === "number") resolve({ exitCode: error.code, stdout, stderr, isLate });
      else resolve({ stdout, stderr, failure: error.message, isLate });
    });
    child.stdin?.on("error", () => {}); // the program may end without reading its input
    child.stdin?.end(stdin);
  });
}

function failureText(argv: readonly string[], { stdout, stderr, failure, exitCode, isLate }: Ended): string {
  const output = (stderr.trim() || stdout.trim() || (failure ?? `exit status ${exitCode}`)).slice(-2_000);
  return `${isLate === true ? "Ran out of time" : "Failed"}: ${argv.join(" ")}\n${output}`;
}

/** The same command inside a network namespace that `ip netns` knows; mounts stay those of the host. */
export function inNetns(netns: string, argv: readonly string[]): readonly string[] {
  return ["nsenter", `--net=/run/netns/${netns}`, "--", ...argv];
}
