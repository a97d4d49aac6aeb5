import { cniFault } from "./errors.ts";

/** What one CNI call carries: the CNI_* variables and the network configuration, still as bytes. */
export interface CniFrame {
  readonly env: ReadonlyMap<string, string>;
  readonly stdin: Buffer;
}

export interface FrameLimits {
  /** All variables with names, values and NULs. */
  readonly envBytes: number;
  readonly stdinBytes: number;
}

/** The shim's own limits (cni-shim/README.md). */
export const FRAME_LIMITS: FrameLimits = { envBytes: 128 * 1024, stdinBytes: 1024 * 1024 };

/** What goes back: the shim's exit status and what it prints. */
export interface CniAnswer {
  readonly exitStatus: number;
  readonly body: string;
}

const VARIABLE = /^(CNI_[A-Za-z0-9_]*)=([\s\S]*)$/;
const FORM = "send CNI_NAME=value variables, each ended by NUL, one NUL more, then the network configuration";

/** The bytes that the shim sends for these variables and this configuration. */
export function encodeFrame(env: Iterable<readonly [string, string]>, stdin: string | Uint8Array): Buffer {
  const variables = [...env].map(([name, value]) => `${name}=${value}\0`).join("");
  return Buffer.concat([Buffer.from(`${variables}\0`), Buffer.from(stdin)]);
}

/** Splits what the shim sent. @throws NetError with CNI code 4, 6 or 7 */
export function parseFrame(bytes: Buffer, limits: FrameLimits = FRAME_LIMITS): CniFrame {
  const end = endOfVariables(bytes);
  if (end > limits.envBytes) {
    throw cniFault(
      "invalid-environment",
      `The CNI_* variables exceed ${limits.envBytes} bytes; shorten CNI_ARGS or CNI_PATH`,
    );
  }
  if (end < 0) throw cniFault("undecodable", `The call on the CNI socket has no end of variables; ${FORM}`);
  const stdin = bytes.subarray(end + 1);
  if (stdin.length > limits.stdinBytes) throw stdinTooLarge(limits);
  return { env: parseVariables(bytes.subarray(0, end)), stdin };
}

/** Most bytes that a call may have; who sends more needs not be read to the end. */
export function frameBytesMax(limits: FrameLimits): number {
  return limits.envBytes + 1 + limits.stdinBytes;
}

export function stdinTooLarge(limits: FrameLimits): Error {
  const message = `The network configuration on stdin exceeds ${limits.stdinBytes} bytes; make it smaller`;
  return cniFault("invalid-config", message, { field: "stdin" });
}

export function encodeAnswer(answer: CniAnswer): Buffer {
  return Buffer.concat([Buffer.from([answer.exitStatus]), Buffer.from(answer.body)]);
}

/** The reverse of encodeAnswer, for callers other than the shim. */
export function parseAnswer(bytes: Buffer): CniAnswer {
  const exitStatus = bytes[0];
  if (exitStatus === undefined) throw cniFault("io", "The CNI socket closed without an answer; try again");
  return { exitStatus, body: bytes.toString("utf8", 1) };
}

/** Index of the NUL that is an empty string of its own, or -1. */
function endOfVariables(bytes: Buffer): number {
  if (bytes[0] === 0) return 0;
  const pair = bytes.indexOf("\0\0");
  return pair < 0 ? -1 : pair + 1;
}

/** The first of several variables with one name counts, as with getenv(3). */
function parseVariables(bytes: Buffer): ReadonlyMap<string, string> {
  const env = new Map<string, string>();
  if (bytes.length === 0) return env;
  for (const entry of decodeText(bytes.subarray(0, -1)).split("\0")) {
    const [, name, value] = VARIABLE.exec(entry) ?? [];
    if (name === undefined || value === undefined) {
      throw cniFault("undecodable", `"${entry.slice(0, 40)}" on the CNI socket is no CNI_NAME=value; ${FORM}`);
    }
    if (!env.has(name)) env.set(name, value);
  }
  return env;
}

function decodeText(bytes: Buffer): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw cniFault("invalid-environment", "The CNI_* variables are not UTF-8; correct them", { cause });
  }
}
