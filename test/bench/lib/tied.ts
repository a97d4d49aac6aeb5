import { type ChildProcess, spawn } from "node:child_process";

/** Starts a program that ends together with this process, however that ends. */
export function spawnTied(argv: readonly string[]): ChildProcess {
  const child = spawn("setpriv", ["--pdeathsig", "KILL", "--", ...argv], { stdio: ["ignore", "pipe", "inherit"] });
  child.unref();
  return child;
}
