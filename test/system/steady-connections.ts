import { spawn } from "node:child_process";
import { inNetns } from "../../deploy/cluster/exec.ts";
import { podNetns, type Underlay } from "../../deploy/cluster/underlay.ts";

/** What connections that were begun all the while have met. */
export interface ConnectionReport {
  readonly made: number;
  /** Not made within 800 ms: a lost SYN is repeated after a second. */
  readonly late: number;
  /** Of one connection that lives all the while and is answered byte by byte: the longest wait, in milliseconds. */
  readonly longestGapMs: number;
}

export interface Steady<Report> {
  stop(): Promise<Report>;
}

const ECHO = `require("net").createServer((socket) => socket.on("error", () => {}).pipe(socket)).listen(process.argv[1], "::", () => console.log("up"));`;

const CONNECT = `
const net = require("net");
const [host, port, isLived] = process.argv.slice(1);
let made = 0, late = 0, longestGapMs = 0, answeredAt = Date.now();
const timer = setInterval(() => {
  const socket = net.connect({ host, port });
  const limit = setTimeout(() => { late++; socket.destroy(); }, 800);
  socket.on("connect", () => { made++; clearTimeout(limit); socket.destroy(); });
  socket.on("error", () => { late++; clearTimeout(limit); });
}, 10);
const gap = () => { longestGapMs = Math.max(longestGapMs, Date.now() - answeredAt); answeredAt = Date.now(); };
const living = isLived === "true" ? net.connect({ host, port }) : undefined;
living?.setNoDelay(true).on("connect", () => { answeredAt = Date.now(); living.write("x"); });
living?.on("data", () => { gap(); setTimeout(() => living.write("x"), 5); }).on("error", () => {});
console.log("up");
process.stdin.on("end", () => {
  clearInterval(timer);
  if (living) gap();
  setTimeout(() => { console.log(JSON.stringify({ made, late, longestGapMs })); process.exit(0); }, 900);
}).resume();`;

/** Begins a TCP connection every 10 ms until it is stopped, beside one that lives all the while. */
export function startSteadyConnections(
  underlay: Underlay,
  fromPod: string,
  { address, port, isLived = true }: { readonly address: string; readonly port: number; readonly isLived?: boolean },
): Promise<Steady<ConnectionReport>> {
  const argv = ["node", "-e", CONNECT, address, String(port), String(isLived)];
  return startProgram(underlay, fromPod, argv, (output) => JSON.parse(output.split("\n")[1] ?? "") as ConnectionReport);
}

/** Answers every byte with the same byte. */
export function startEcho(underlay: Underlay, pod: string, port: number): Promise<Steady<undefined>> {
  return startProgram(underlay, pod, ["node", "-e", ECHO, String(port)], () => undefined);
}

/** Resolves when the program says that it is up; it ends with its standard input, and with the test. */
async function startProgram<Report>(
  underlay: Underlay,
  pod: string,
  argv: readonly string[],
  reportOf: (output: string) => Report,
): Promise<Steady<Report>> {
  const [file = "", ...args] = inNetns(podNetns(underlay, pod), argv);
  const child = spawn("setpriv", ["--pdeathsig", "KILL", "--", file, ...args], { stdio: ["pipe", "pipe", "inherit"] });
  let output = "";
  child.stdout.setEncoding("utf8");
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const isUp = new Promise<void>((resolve) => {
    child.stdout.on("data", (text: string) => {
      output += text;
      resolve();
    });
  });
  await Promise.race([isUp, ended.then(() => Promise.reject(new Error(`in pod ${pod}: it ended at once`)))]);
  return {
    stop: async () => {
      child.stdin.end();
      if (argv[2] === ECHO) child.kill("SIGTERM");
      await ended;
      return reportOf(output);
    },
  };
}
