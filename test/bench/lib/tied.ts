import { type ChildProcess, spawn } from "node:child_process";

/** A program whose output (standard and error) is followed; ends with the scope, and together with this process however that ends. */
export interface Tied extends Disposable {
  /** The program has ended by itself, and with it whatever was to be learnt from it. */
  readonly ended: boolean;
}

export function spawnTied(argv: readonly string[], onOutput: (text: string) => void = () => {}): Tied {
  const child: ChildProcess = spawn("setpriv", ["--pdeathsig", "KILL", "--", ...argv], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on("data", (bytes: Buffer) => onOutput(bytes.toString("utf8")));
  }
  return {
    get ended() {
      return child.exitCode !== null;
    },
    [Symbol.dispose]: () => {
      child.kill("SIGKILL");
      for (const stream of [child.stdout, child.stderr]) stream?.destroy();
      child.unref();
    },
  };
}
