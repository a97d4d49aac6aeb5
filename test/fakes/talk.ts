import { fileURLToPath } from "node:url";
import { inNetns, run } from "../../deploy/cluster/exec.ts";
import { end, spawnTied } from "./ovs-node.ts";

const SCRIPT = fileURLToPath(new URL("talk.py", import.meta.url));
export const PYTHON = "/usr/bin/python3";

/** Echoes TCP and UDP on the ports, in a network namespace. */
export function serveEchoes(netns: string, ports: readonly number[]): Promise<AsyncDisposable> {
  return serve("serve", netns, ports);
}

/** Answers one UDP datagram with numbers without end, one every 10 ms. */
export function pourNumbers(netns: string, ports: readonly number[]): Promise<AsyncDisposable> {
  return serve("pour", netns, ports);
}

async function serve(what: "serve" | "pour", netns: string, ports: readonly number[]): Promise<AsyncDisposable> {
  const child = spawnTied(process.env, inNetns(netns, [PYTHON, SCRIPT, what, ...ports.map(String)]));
  await new Promise<void>((resolve, reject) => {
    child.once("exit", () => reject(new Error(`No echo server in ${netns}`)));
    child.stdout?.once("data", () => resolve());
  });
  return { [Symbol.asyncDispose]: () => end(child) };
}

export interface Question {
  readonly protocol: "tcp" | "udp";
  readonly host: string;
  readonly port: number;
  readonly sizeBytes?: number;
}

/** What comes of one question, within a second. */
export async function ask(netns: string, { protocol, host, port, sizeBytes = 5 }: Question): Promise<string> {
  const command = [PYTHON, SCRIPT, "ask", protocol, host, String(port), String(sizeBytes)];
  return (await run(inNetns(netns, command))).stdout.trim();
}

/** A connection that yields a number every 10 ms. */
export interface LongTalk extends AsyncDisposable {
  /** The numbers that have come back, in the order in which they came. */
  readonly numbers: readonly number[];
}

/** One TCP connection over which the numbers go and come back. */
export function keepTalking(netns: string, host: string, port: number): Promise<LongTalk> {
  return talk(netns, ["keep", host, String(port)]);
}

/** One UDP datagram to who pours numbers; what comes are replies only. */
export function drinkNumbers(netns: string, host: string, port: number): Promise<LongTalk> {
  return talk(netns, ["drink", host, String(port)]);
}

async function talk(netns: string, command: readonly string[]): Promise<LongTalk> {
  const child = spawnTied(process.env, inNetns(netns, [PYTHON, SCRIPT, ...command]));
  const numbers: number[] = [];
  let rest = "";
  const begun = new Promise<void>((resolve, reject) => {
    child.once("exit", () => reject(new Error(`No connection from ${netns}: ${command.join(" ")}`)));
    child.stdout?.setEncoding("latin1").on("data", (text: string) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      numbers.push(...lines.map(Number));
      resolve();
    });
  });
  await begun;
  return { numbers, [Symbol.asyncDispose]: () => end(child) };
}
