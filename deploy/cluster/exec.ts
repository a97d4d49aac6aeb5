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

const DEFAULT_TIMEOUT_MS = 30_000;
const MAX_OUTPUT_BYTES = 16 * 1024 * 1024;

/** Runs a program without a shell and waits for it; a failure is an error that holds what the program wrote. */
export function run(argv: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const [file, ...args] = argv;
  if (file === undefined) throw new NetError("INTERNAL", "Cannot run an empty command");
  return new Promise((resolve, reject) => {
    const settings = {
      timeout: options.timeoutMs ?? DEFAULT_TIMEOUT_MS,
      maxBuffer: MAX_OUTPUT_BYTES,
      killSignal: "SIGKILL" as const,
      env: options.env ?? process.env,
    };
    const child = execFile(file, args, settings, (error, stdout, stderr) => {
      const exitCode = error === null ? 0 : typeof error.code === "number" ? error.code : 125;
      if (error === null || (options.allowFailure === true && typeof error.code === "number")) {
        resolve({ exitCode, stdout, stderr });
      } else {
        reject(new NetError("REJECTED", failureText(argv, error, stdout, stderr), { cause: error }));
      }
    });
    child.stdin?.on("error", () => {}); // the program may end without reading its input
    child.stdin?.end(options.stdin ?? "");
  });
}

function failureText(argv: readonly string[], error: Error & { killed?: boolean }, stdout: string, stderr: string) {
  const output = (stderr.trim() || stdout.trim() || error.message).slice(-2_000);
  return `${error.killed === true ? "Ran out of time" : "Failed"}: ${argv.join(" ")}\n${output}`;
}

/** The same command inside a network namespace that `ip netns` knows; mounts stay those of the host. */
export function inNetns(netns: string, argv: readonly string[]): readonly string[] {
  return ["nsenter", `--net=/run/netns/${netns}`, "--", ...argv];
}
