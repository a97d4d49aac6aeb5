import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { inNetns } from "../../deploy/cluster/exec.ts";
import { end, spawnTied } from "./ovs-node.ts";
import { PYTHON } from "./talk.ts";

const SCRIPT = fileURLToPath(new URL("ears.py", import.meta.url));

/** A packet that a kernel's stack delivered to itself. */
export interface Heard {
  readonly ifindex: number;
  /** In hexadecimal; with its IP header in IPv4, without it in IPv6. */
  readonly packet: string;
}

/** Everything that a namespace's stack has taken in since the start (ears.py). */
export interface Ears extends AsyncDisposable {
  readonly heard: readonly Heard[];
  /** How many of them hold this text. */
  times(text: string): number;
}

export async function listen(netns: string): Promise<Ears> {
  const child = spawnTied(process.env, inNetns(netns, [PYTHON, SCRIPT]));
  const { stdout } = child;
  if (stdout === null) throw new Error("Ears have no output");
  const heard: Heard[] = [];
  await new Promise<void>((resolve, reject) => {
    child.once("exit", () => reject(new Error(`No ears in ${netns}`)));
    createInterface({ input: stdout }).on("line", (line) => {
      const [ifindex = "", packet = ""] = line.split(" ");
      if (ifindex === "ready") resolve();
      else heard.push({ ifindex: Number(ifindex), packet });
    });
  });
  const times = (text: string) =>
    heard.filter(({ packet }) => packet.includes(Buffer.from(text).toString("hex"))).length;
  return { heard, times, [Symbol.asyncDispose]: () => end(child) };
}
