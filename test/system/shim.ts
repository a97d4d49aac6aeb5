import { spawn } from "node:child_process";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { type ClusterLayout, netpluginName } from "../../deploy/cluster/components.ts";
import { logTail } from "../../deploy/cluster/daemon.ts";
import { run } from "../../deploy/cluster/exec.ts";
import { networkConfiguration, type Pod, shimArgv, shimEnvironment } from "../../deploy/cluster/pods.ts";
import type { CniResult } from "./test-cluster.ts";

export type CniCommand = "ADD" | "DEL" | "CHECK" | "GC" | "STATUS" | "VERSION";

/** Departures from what a well-behaved runtime would send. */
export interface ShimWish {
  /** Variables that differ; undefined = not set. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Members of the configuration that differ. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** Standard input as it is, in place of a configuration. */
  readonly stdin?: string;
}

/** What a CNI call came to. */
export interface CniAnswer {
  /** 0 = success; otherwise the code of the CNI error. */
  readonly code: number;
  /** Message and details of the error in one text; "" after a success. */
  readonly text: string;
  readonly stdout: string;
}

/** Calls the real shim as a runtime would, with departures. */
export async function callCni(
  layout: ClusterLayout,
  pod: Pod,
  command: CniCommand,
  wish: ShimWish = {},
): Promise<CniAnswer> {
  const config = { ...(JSON.parse(networkConfiguration(pod)) as object), ...wish.config };
  const { exitCode, stdout } = await run(shimArgv(layout, pod.node), {
    env: { ...process.env, ...shimEnvironment(layout, pod, command), ...wish.env },
    stdin: wish.stdin ?? JSON.stringify(config),
    timeoutMs: 125_000,
    allowFailure: true,
  });
  if (exitCode === 0) return { code: 0, text: "", stdout };
  const error = JSON.parse(stdout) as { code: number; msg: string; details?: string };
  return { code: error.code, text: `${error.msg}; ${error.details ?? ""}`, stdout };
}

export function resultOf({ code, text, stdout }: CniAnswer): CniResult {
  if (code !== 0) throw new Error(`CNI error ${code}: ${text}`);
  return JSON.parse(stdout) as CniResult;
}

/** An ADD whose caller is killed so long after it has begun. */
export async function killedAdd(layout: ClusterLayout, pod: Pod, afterMs: number): Promise<void> {
  const [file = "", ...args] = shimArgv(layout, pod.node);
  const env = { ...process.env, ...shimEnvironment(layout, pod, "ADD") };
  const child = spawn(file, args, { env, stdio: ["pipe", "ignore", "ignore"] });
  child.stdin.on("error", () => {});
  child.stdin.end(networkConfiguration(pod));
  const ended = new Promise((resolve) => child.once("close", resolve));
  await sleep(afterMs);
  child.kill("SIGKILL");
  await ended;
}

/** Has netplugin answered the pod's ADD with success? Its caller may have died with the answer unread. */
export function isAddAnswered(layout: ClusterLayout, { node, containerId }: Pod): boolean {
  const lines = logTail(layout.home, netpluginName(node), 1_000).split("\n");
  return lines.some(
    (line) => line.includes(containerId) && line.includes('"command":"ADD"') && line.includes("CNI call done"),
  );
}

export interface ExchangeOptions {
  readonly halfClose?: boolean;
  readonly timeoutMs?: number;
}

/** Sends bytes to a Unix socket and returns what came back until the other side closed, or the deadline. */
export function sendBytes(
  socketPath: string,
  bytes: Buffer,
  { halfClose = true, timeoutMs = 15_000 }: ExchangeOptions,
): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(socketPath);
    let answer = "";
    const timer = setTimeout(() => socket.destroy(), timeoutMs);
    socket.setEncoding("latin1").on("data", (text: string) => {
      answer += text;
    });
    socket.on("error", () => {});
    socket.once("close", () => {
      clearTimeout(timer);
      resolve(answer);
    });
    socket.write(bytes);
    if (halfClose) socket.end();
  });
}
