import { existsSync, mkdirSync } from "node:fs";
import { connect, createServer, type Server } from "node:net";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { NetError } from "../../state/errors.ts";
import { type DaemonHome, startDaemon, waitUntilReady } from "./daemon.ts";
import { inNetns, run } from "./exec.ts";
import { getFromLoopback } from "./loopback.ts";
import { issue } from "./pki.ts";
import {
  controlAddress,
  controlNetns,
  NODE_NIC,
  nodeAddress,
  nodeNetns,
  panelNetns,
  type Underlay,
} from "./underlay.ts";

/** Everything that the starters need to know of one cluster. */
export interface ClusterLayout {
  readonly home: DaemonHome;
  readonly underlay: Underlay;
  readonly netmasters: number;
  readonly etcdMembers: number;
  /** Port of the host's loopback on which netmaster `i` (from 1) answers REST. */
  restPort(netmaster: number): number;
  /** Extra arguments, for tests: component name → arguments. */
  readonly extraArguments?: Readonly<Record<string, readonly string[]>>;
  /** Folders of programs that were compiled elsewhere, for tests of mixed releases; absent: this checkout's. */
  readonly compiled?: CompiledRoots;
}

/** Where the compiled files of netmaster and netplugin are. */
export interface CompiledRoots {
  readonly netmaster?: string;
  readonly netplugin?: string;
}

const COMPILED_ROOT = join(projectRoot(), "dist");
const ETCD_CLIENT_PORT = 2379;
const ETCD_PEER_PORT = 2380;
const REST_PORT_INSIDE = 9999;
const NODE_API_PORT = 9001;
/** Of netplugin, on the loopback of its node. */
export const INSPECT_PORT = 9090;
/** OVS 3.1 started before this uptime never handles an upcall. */
const OVS_MIN_UPTIME_S = 11;

/** The checkout's root folder, from the compiled file as well as from the TypeScript source. */
export function projectRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "package.json"))) {
    const parent = dirname(folder);
    if (parent === folder) throw new NetError("NOT_FOUND", `No package.json above ${fileURLToPath(import.meta.url)}`);
    folder = parent;
  }
  return folder;
}

export function etcdName(member: number): string {
  return `etcd-${member}`;
}

export function netmasterName(index: number): string {
  return `netmaster-${index}`;
}

export function netpluginName(node: number): string {
  return `netplugin-n${node}`;
}

export function vswitchdName(node: number): string {
  return `vswitchd-n${node}`;
}

export function ovsdbName(node: number): string {
  return `ovsdb-n${node}`;
}

export function ovsRunDirectory(layout: ClusterLayout, node: number): string {
  return join(layout.home.directory, `n${node}`, "ovs");
}

export function cniSocketPath(layout: ClusterLayout, node: number): string {
  return join(layout.home.directory, `n${node}`, "contiv-cni.sock");
}

export function pkiDirectory(layout: ClusterLayout): string {
  return join(layout.home.directory, "pki");
}

function etcdUrl(member: number, port: number): string {
  return `http://127.0.0.1:${port + (member - 1) * 10}`;
}

function etcdClientUrls(layout: ClusterLayout): string {
  return members(layout.etcdMembers)
    .map((member) => etcdUrl(member, ETCD_CLIENT_PORT))
    .join(",");
}

function members(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index + 1);
}

/** Starts one etcd member and waits for its health. */
export async function startEtcd(layout: ClusterLayout, member: number): Promise<void> {
  const name = etcdName(member);
  const dataDirectory = join(layout.home.directory, "etcd", name);
  mkdirSync(dataDirectory, { recursive: true, mode: 0o700 });
  const peers = members(layout.etcdMembers).map((each) => `${etcdName(each)}=${etcdUrl(each, ETCD_PEER_PORT)}`);
  const client = etcdUrl(member, ETCD_CLIENT_PORT);
  const peer = etcdUrl(member, ETCD_PEER_PORT);
  startDaemon(layout.home, {
    name,
    argv: inNetns(controlNetns(layout.underlay), [
      ...["etcd", "--name", name, "--data-dir", dataDirectory, "--auto-compaction-retention", "1h"],
      ...["--listen-client-urls", client, "--advertise-client-urls", client],
      ...["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", peers.join(",")],
      ...(layout.extraArguments?.etcd ?? []),
    ]),
  });
}

/** Waits until every member answers a linearizable read. */
export async function etcdReady(layout: ClusterLayout): Promise<void> {
  for (const member of members(layout.etcdMembers)) {
    await waitUntilReady(layout.home, etcdName(member), async () => {
      const health = inNetns(controlNetns(layout.underlay), [
        ...["etcdctl", "--endpoints", etcdUrl(member, ETCD_CLIENT_PORT), "endpoint", "health"],
      ]);
      const result = await run(health, { allowFailure: true, env: { ...process.env, ETCDCTL_API: "3" } });
      return result.exitCode === 0;
    });
  }
}

/** Opens the host's REST port and hands it to a netmaster that lives in the control namespace. */
export async function startNetmaster(layout: ClusterLayout, index: number): Promise<void> {
  const name = netmasterName(index);
  const identity = await issue(pkiDirectory(layout), "netmaster", [controlAddress(layout.underlay), "127.0.0.1"]);
  const inside = `127.0.0.1:${REST_PORT_INSIDE + index - 1}`;
  const door = await openDoor(layout.restPort(index));
  try {
    startDaemon(layout.home, {
      name,
      inheritFd: doorFd(door),
      argv: inNetns(controlNetns(layout.underlay), [
        ...[process.execPath, join(layout.compiled?.netmaster ?? COMPILED_ROOT, "netmaster/main.js"), "--name", name],
        ...["--etcd-endpoints", etcdClientUrls(layout)],
        ...["--listen", "fd:3", "--listen", inside, "--advertise-url", `http://${inside}`],
        ...["--node-api-listen", `${controlAddress(layout.underlay)}:${NODE_API_PORT + index - 1}`],
        ...["--node-api-cert", identity.certFile, "--node-api-key", identity.keyFile, "--node-api-ca", identity.caFile],
        ...(layout.extraArguments?.netmaster ?? []),
      ]),
    });
  } finally {
    await new Promise<void>((resolve) => door.close(() => resolve()));
  }
}

/** Waits until the netmaster serves: its view is complete and a leader is known. */
export async function netmasterReady(layout: ClusterLayout, index: number): Promise<void> {
  await waitUntilReady(layout.home, netmasterName(index), async () => {
    const response = await fetch(`http://127.0.0.1:${layout.restPort(index)}/readyz`, {
      signal: AbortSignal.timeout(2_000),
    });
    return response.status === 200;
  });
}

function openDoor(port: number): Promise<Server> {
  const server = createServer();
  return new Promise((resolve, reject) => {
    server.once("error", (cause) =>
      reject(new NetError("CONFLICT", `Cannot listen on 127.0.0.1:${port}: ${cause.message}`, { cause })),
    );
    server.listen(port, "127.0.0.1", () => resolve(server));
  });
}

/** The listening socket's descriptor; Node has no public name for it. */
function doorFd(server: Server): number {
  const handle = (server as unknown as { _handle?: { fd: number } })._handle;
  if (handle === undefined) throw new NetError("INTERNAL", "The listening socket has no descriptor");
  return handle.fd;
}

/** Starts the node's own Open vSwitch: database and switch, with their own run directory, inside the node's namespace. */
export async function startOvs(layout: ClusterLayout, node: number): Promise<void> {
  const directory = ovsRunDirectory(layout, node);
  mkdirSync(directory, { recursive: true });
  await waitForUptime();
  const database = join(directory, "conf.db");
  if (!existsSync(database)) {
    await run(["ovsdb-tool", "create", database, "/usr/share/openvswitch/vswitch.ovsschema"]);
  }
  const socket = join(directory, "db.sock");
  const env = { OVS_RUNDIR: directory, OVS_LOGDIR: directory, OVS_DBDIR: directory };
  const netns = nodeNetns(layout.underlay, node);
  const control = (name: string) => `--unixctl=${join(directory, `${name}.ctl`)}`;
  startDaemon(layout.home, {
    name: ovsdbName(node),
    env,
    argv: inNetns(netns, ["ovsdb-server", database, `--remote=punix:${socket}`, control("ovsdb-server")]),
  });
  await waitUntilReady(layout.home, ovsdbName(node), () => accepts(socket));
  startDaemon(layout.home, {
    name: vswitchdName(node),
    env,
    argv: inNetns(netns, ["ovs-vswitchd", `unix:${socket}`, control("ovs-vswitchd")]),
  });
  const version = /\d+\.\d+\.\d+/.exec((await run(["ovs-vswitchd", "--version"])).stdout)?.[0] ?? "unknown";
  const vsctl = ["ovs-vsctl", `--db=unix:${socket}`, "--timeout=15", "--no-wait"]; // as ovs-ctl does at boot
  await run([...vsctl, "init", "--", "set", "Open_vSwitch", ".", `ovs-version=${version}`], {
    env: { ...process.env, ...env },
  });
}

/** A server that was killed leaves its socket's file. */
function accepts(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(socketPath, () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

async function waitForUptime(): Promise<void> {
  const { stdout } = await run(["cat", "/proc/uptime"]);
  const waitS = OVS_MIN_UPTIME_S - Number.parseFloat(stdout);
  if (waitS > 0) await new Promise((resolve) => setTimeout(resolve, waitS * 1_000));
}

/**
 * What is young in netplugin is small and short-lived, and what is old grows seldom: V8's own sizes would only be resident memory on
 * every node.
 */
const NETPLUGIN_MEMORY = ["--max-semi-space-size=4", "--heap-growing-percent=30"] as const;

/** Starts the node agent inside the node's namespace, with its own certificate. */
export async function startNetplugin(layout: ClusterLayout, node: number): Promise<void> {
  const name = `n${node}`;
  const identity = await issue(pkiDirectory(layout), name, [nodeAddress(layout.underlay, node)]);
  const urls = members(layout.netmasters).map(
    (index) => `https://${controlAddress(layout.underlay)}:${NODE_API_PORT + index - 1}`,
  );
  startDaemon(layout.home, {
    name: netpluginName(node),
    env: { UV_THREADPOOL_SIZE: "8" },
    argv: inNetns(nodeNetns(layout.underlay, node), [
      ...[process.execPath, ...NETPLUGIN_MEMORY],
      ...[join(layout.compiled?.netplugin ?? COMPILED_ROOT, "netplugin/main.js"), "--node-name", name],
      ...["--netmaster-urls", urls.join(",")],
      ...["--node-api-ca", identity.caFile, "--node-api-cert", identity.certFile, "--node-api-key", identity.keyFile],
      ...["--ovs-run-dir", ovsRunDirectory(layout, node), "--uplink", `default=${NODE_NIC}`],
      ...["--cni-socket", cniSocketPath(layout, node), "--panel-netns", panelNetns(layout.underlay, node)],
      ...(layout.extraArguments?.netplugin ?? []),
    ]),
  });
}

/** Waits until the node agent serves pods. */
export async function netpluginReady(layout: ClusterLayout, node: number): Promise<void> {
  await waitUntilReady(
    layout.home,
    netpluginName(node),
    async () => (await getFromLoopback(nodeNetns(layout.underlay, node), INSPECT_PORT, "/readyz")).status === 200,
    30_000,
  );
}
