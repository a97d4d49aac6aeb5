import { type ChildProcess, spawn } from "node:child_process";
import { mkdir, mkdtemp, open, readFile, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "./free-port.ts";
import { makeCertificates, type TestCertificates } from "./test-certificates.ts";

export interface EtcdServerOptions {
  readonly members?: 1 | 3;
  /** Serve TLS and demand client certificates of the test CA. */
  readonly tls?: boolean;
  /** Kept afterwards when given; otherwise a directory on disk that is removed. */
  readonly dataDir?: string;
  /** More flags for every member. */
  readonly flags?: readonly string[];
}

/** One real etcd process. */
export interface EtcdMember {
  readonly name: string;
  readonly endpoint: string;
  readonly clientPort: number;
  readonly peerPort: number;
  /** What it has written so far. */
  log(): Promise<string>;
  /** SIGKILL, and waits for the end. */
  kill(): Promise<void>;
  /** SIGSTOP: connections stay open and nothing answers. */
  stop(): void;
  /** SIGCONT. */
  cont(): void;
  /** Starts it again on the same data, with these flags besides its own; resolves when its port accepts. */
  restart(flags?: readonly string[]): Promise<void>;
}

export interface EtcdServer extends AsyncDisposable {
  readonly endpoints: readonly string[];
  readonly members: readonly EtcdMember[];
  /** Only with `tls`. */
  readonly certificates: TestCertificates | undefined;
  readonly dataDir: string;
}

/** Starts real etcd on free loopback ports, with fsync. Its processes die with this one, however it ends. */
export async function startEtcd(options: EtcdServerOptions = {}): Promise<EtcdServer> {
  const dataDir = options.dataDir ?? (await mkdtemp(join(tmpdir(), "etcd-")));
  await mkdir(dataDir, { recursive: true });
  const certificates = options.tls ? await makeCertificates(join(dataDir, "tls")) : undefined;
  const plans = await planMembers(options.members ?? 1, certificates !== undefined);
  const members = plans.map((plan) => newMember(plan, plans, { dataDir, certificates, flags: options.flags ?? [] }));
  const server: EtcdServer = {
    endpoints: members.map((member) => member.endpoint),
    members,
    certificates,
    dataDir,
    async [Symbol.asyncDispose]() {
      await Promise.all(members.map((member) => member.kill()));
      if (options.dataDir === undefined) await rm(dataDir, { recursive: true, force: true });
    },
  };
  try {
    await Promise.all(members.map((member) => member.restart()));
    if (certificates === undefined) await Promise.all(members.map((member) => untilHealthy(member)));
  } catch (error) {
    await server[Symbol.asyncDispose]();
    throw error;
  }
  return server;
}

interface Plan {
  readonly name: string;
  readonly clientPort: number;
  readonly peerPort: number;
  readonly clientUrl: string;
  readonly peerUrl: string;
}

async function planMembers(count: number, hasTls: boolean): Promise<readonly Plan[]> {
  const plans: Plan[] = [];
  for (let index = 0; index < count; index += 1) {
    const [clientPort, peerPort] = [await freePort(), await freePort()];
    const clientUrl = hasTls ? `https://localhost:${clientPort}` : `http://127.0.0.1:${clientPort}`;
    plans.push({ name: `m${index}`, clientPort, peerPort, clientUrl, peerUrl: `http://127.0.0.1:${peerPort}` });
  }
  return plans;
}

interface Setting {
  readonly dataDir: string;
  readonly certificates: TestCertificates | undefined;
  readonly flags: readonly string[];
}

function flagsOf(plan: Plan, all: readonly Plan[], { dataDir, certificates, flags }: Setting): readonly string[] {
  const scheme = certificates === undefined ? "http" : "https";
  const tlsFlags =
    certificates === undefined
      ? []
      : [
          `--cert-file=${certificates.server.certFile}`,
          `--key-file=${certificates.server.keyFile}`,
          `--trusted-ca-file=${certificates.caFile}`,
          "--client-cert-auth",
        ];
  return [
    `--name=${plan.name}`,
    `--data-dir=${join(dataDir, plan.name)}`,
    `--listen-client-urls=${scheme}://127.0.0.1:${plan.clientPort}`,
    `--advertise-client-urls=${plan.clientUrl}`,
    `--listen-peer-urls=${plan.peerUrl}`,
    `--initial-advertise-peer-urls=${plan.peerUrl}`,
    `--initial-cluster=${all.map((member) => `${member.name}=${member.peerUrl}`).join(",")}`,
    "--initial-cluster-state=new",
    "--logger=zap",
    "--log-level=warn",
    ...tlsFlags,
    ...flags,
  ];
}

const START_TIMEOUT_MS = 20_000;

function newMember(plan: Plan, all: readonly Plan[], setting: Setting): EtcdMember {
  const logFile = join(setting.dataDir, `${plan.name}.log`);
  let child: ChildProcess | undefined;
  async function kill(): Promise<void> {
    const ending = child;
    child = undefined;
    if (ending === undefined || ending.exitCode !== null || ending.signalCode !== null) return;
    const ended = new Promise((resolve) => ending.once("exit", resolve));
    ending.kill("SIGKILL");
    await ended;
  }
  async function restart(flags: readonly string[] = []): Promise<void> {
    await kill();
    const log = await open(logFile, "a");
    // PDEATHSIG: the process must not outlive the test, even when that is killed.
    const argv = ["--pdeathsig", "KILL", "--", "etcd", ...flagsOf(plan, all, setting), ...flags];
    child = spawn("setpriv", argv, { stdio: ["ignore", log.fd, log.fd] });
    await log.close();
    const started = child;
    await waitForPort(plan.clientPort, () => started.exitCode !== null, logFile);
  }
  return {
    name: plan.name,
    endpoint: plan.clientUrl,
    clientPort: plan.clientPort,
    peerPort: plan.peerPort,
    log: () => readFile(logFile, "utf8"),
    kill,
    stop: () => void child?.kill("SIGSTOP"),
    cont: () => void child?.kill("SIGCONT"),
    restart,
  };
}

/** etcd opens its client port once it has joined its cluster. */
async function waitForPort(port: number, hasDied: () => boolean, logFile: string): Promise<void> {
  const deadlineMs = Date.now() + START_TIMEOUT_MS;
  while (!(await accepts(port))) {
    if (hasDied() || Date.now() > deadlineMs) {
      throw new Error(`etcd did not start: ${(await readFile(logFile, "utf8")).slice(-2_000)}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

/** A member that is killed before it has a leader for the first time never gets one: it does not know that it belongs to the cluster. */
async function untilHealthy({ endpoint, log }: EtcdMember): Promise<void> {
  const deadlineMs = Date.now() + START_TIMEOUT_MS;
  for (;;) {
    const answer = await fetch(`${endpoint}/health`, { signal: AbortSignal.timeout(2_000) }).catch(() => undefined);
    if (answer?.ok === true) return;
    if (Date.now() > deadlineMs) throw new Error(`etcd is not healthy: ${(await log()).slice(-2_000)}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    const finish = (result: boolean) => {
      socket.destroy();
      resolve(result);
    };
    socket.once("connect", () => finish(true));
    socket.once("error", () => finish(false));
  });
}
