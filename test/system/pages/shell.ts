import { type ChildProcessByStdio, spawn } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface, type Interface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { projectRoot } from "../../../deploy/cluster/components.ts";

export interface Outcome {
  readonly status: number;
  /** Standard output and error, in the order in which they were written. */
  readonly output: string;
}

export interface MachineOptions {
  readonly name: string;
  /** A folder that all machines of a test share; it holds `hosts`, what each of them has as /etc/hosts. */
  readonly world: string;
  /** The network namespace that it lives in; absent: one of its own, with a loopback. */
  readonly netns?: string;
}

const INIT = fileURLToPath(new URL("machine-init", import.meta.url));
const STAND_INS = fileURLToPath(new URL("bin", import.meta.url));
const MADE_MS = 20_000;

/**
 * A machine with one bash session: mounts, processes, host name and network are its own, and what it writes to its disk is gone when it is
 * switched off. It goes off by itself when the test ends, however that ends.
 */
export class Machine {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #lines: Interface;
  readonly #world: string;
  readonly #name: string;
  #count = 0;

  static async start(options: MachineOptions): Promise<Machine> {
    const machine = new Machine(options);
    mkdirSync(join(options.world, "run"), { recursive: true });
    const { status, output } = await machine.run(`cd ${projectRoot()}`, MADE_MS);
    if (status !== 0) throw new Error(`machine ${options.name}: ${output}`);
    return machine;
  }

  private constructor({ name, world, netns }: MachineOptions) {
    const inside = netns === undefined ? [] : ["nsenter", `--net=/run/netns/${netns}`, "--"];
    const apart = ["unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--propagation", "private"];
    const argv = ["--pdeathsig", "KILL", "--", ...inside, ...apart, ...(netns === undefined ? ["--net"] : []), "--"];
    const stdio = ["pipe", "pipe", "inherit"] as const;
    this.#child = spawn("setpriv", [...argv, INIT, name, projectRoot(), process.execPath, world], {
      stdio: [...stdio],
      env: {
        PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        HOME: "/root",
        LANG: "C.UTF-8",
        STAND_INS,
      },
    });
    this.#child.stdin.on("error", () => {}); // it has gone off; the command that waits says so
    this.#lines = createInterface(this.#child.stdout);
    this.#world = world;
    this.#name = name;
  }

  /** Runs a command in the session; one that is too late ends the machine, since its session can be used no more. */
  async run(command: string, timeoutMs: number): Promise<Outcome> {
    const id = `${this.#name}-${++this.#count}`;
    const file = join(this.#world, "run", id);
    mkdirSync(join(this.#world, "run"), { recursive: true });
    writeFileSync(file, `${command}\n`);
    const there = `/run/world/run/${id}`;
    const ended = this.#answerTo(id, timeoutMs);
    this.#child.stdin.write(`. ${there} </dev/null >${there}.out 2>&1; echo "${id} $?"\n`);
    const status = await ended;
    const output = readFileSync(`${file}.out`, "utf8");
    if (status === undefined) this.off();
    return status === undefined
      ? { status: -1, output: `${output}\n(no end within ${timeoutMs / 1_000} s)` }
      : { status, output };
  }

  #answerTo(id: string, timeoutMs: number): Promise<number | undefined> {
    return new Promise((resolve, reject) => {
      const onLine = (line: string) => {
        if (line.startsWith(`${id} `)) settle(() => resolve(Number(line.slice(id.length + 1))));
      };
      const onClose = () => settle(() => reject(new Error(`machine ${this.#name} has gone off`)));
      const timer = setTimeout(() => settle(() => resolve(undefined)), timeoutMs);
      const settle = (settled: () => void) => {
        clearTimeout(timer);
        this.#lines.off("line", onLine).off("close", onClose);
        settled();
      };
      this.#lines.on("line", onLine).once("close", onClose);
    });
  }

  /** Another shell in the place of the one that is there: without its variables, functions and folder. */
  refresh(): Promise<Outcome> {
    this.#child.stdin.write('exec env -i PATH="$PATH" HOME=/root LANG=C.UTF-8 bash --noprofile --norc\n');
    return this.run(`cd ${projectRoot()}`, MADE_MS);
  }

  /** Pulls the plug: every process of the machine is killed. */
  off(): void {
    this.#child.kill("SIGKILL");
  }
}
