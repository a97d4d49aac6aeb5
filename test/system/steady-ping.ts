import { spawn } from "node:child_process";
import { inNetns } from "../../deploy/cluster/exec.ts";
import { podNetns, type Underlay } from "../../deploy/cluster/underlay.ts";

/** What a ping that ran all the while has to say. */
export interface PingReport {
  readonly sent: number;
  readonly received: number;
  /** Longest time without an answer, in milliseconds, to the interval's precision. */
  readonly longestGapMs: number;
  /** Numbers (from 1) of the requests that were not answered. */
  readonly unanswered: readonly number[];
}

export interface SteadyPing {
  stop(): Promise<PingReport>;
}

/**
 * For tests in which no ping may be lost: a machine that stands still for a moment can lose one by itself, but what the product loses
 * once it loses again.
 */
export const ONCE_MORE = { retry: 1 } as const;

const INTERVAL_MS = 10;
const IN_FLIGHT_MS = 200;

/** Pings every 10 ms until it is stopped. */
export function startSteadyPing(underlay: Underlay, fromPod: string, address: string): SteadyPing {
  const argv = inNetns(podNetns(underlay, fromPod), [
    "ping",
    "-n",
    "-i",
    String(INTERVAL_MS / 1_000),
    "-W",
    "1",
    address,
  ]);
  const [file, ...args] = argv;
  const child = spawn("setpriv", ["--pdeathsig", "KILL", "--", file ?? "", ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let output = "";
  child.stdout.setEncoding("utf8");
  child.stdout.on("data", (text: string) => {
    output += text;
  });
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  return {
    stop: async () => {
      child.kill("SIGINT");
      await ended;
      return reportOf(output);
    },
  };
}

function reportOf(output: string): PingReport {
  const summary = /(\d+) packets transmitted, (\d+) received/.exec(output);
  const sequences = [...output.matchAll(/icmp_seq=(\d+)/g)].map((match) => Number(match[1]));
  let longestGap = 1;
  for (let index = 1; index < sequences.length; index++) {
    longestGap = Math.max(longestGap, (sequences[index] ?? 0) - (sequences[index - 1] ?? 0));
  }
  const sent = Number(summary?.[1] ?? 0);
  const answered = new Set(sequences);
  const counted = sent - inFlight(sequences.at(-1) ?? 0, sent);
  const numbers = Array.from({ length: counted }, (_, index) => index + 1);
  return {
    unanswered: numbers.filter((number) => !answered.has(number)),
    sent: counted,
    received: Number(summary?.[2] ?? 0),
    longestGapMs: (longestGap - 1) * INTERVAL_MS,
  };
}

/** Requests behind the last answer that may still have been on their way when ping was stopped: on a busy machine several. */
function inFlight(lastAnswered: number, sent: number): number {
  const behind = sent - lastAnswered;
  return behind * INTERVAL_MS <= IN_FLIGHT_MS ? behind : 0;
}
