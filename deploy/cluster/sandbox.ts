import { spawn } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { Command, InvalidArgumentError } from "commander";
import { NetError } from "../../state/errors.ts";
import { type ClusterOptions, layoutOf, savedCluster, startCluster, stopCluster } from "./cluster.ts";
import { cniSocketPath, ovsRunDirectory, projectRoot } from "./components.ts";
import { attachDemo, printTour } from "./demo.ts";
import { inNetns } from "./exec.ts";
import { addPod, findPod, removePod } from "./pods.ts";
import { printStatus } from "./status.ts";
import { endProcesses, netnsExists, nodeNetns, podNetns } from "./underlay.ts";

const DIRECTORY = process.env.CONTIV_SANDBOX_DIR ?? "/var/lib/contiv-sandbox";
/**
 * Two sandboxes may live beside each other in folders of different names, with different REST ports. No hyphens: what begins with one
 * sandbox's prefix and a hyphen is never another's.
 */
const PREFIX =
  process.env.CONTIV_SANDBOX_DIR === undefined ? "contiv-sandbox" : basename(DIRECTORY).replaceAll("-", "_");
const UNDERLAY = { prefix: PREFIX, subnet: "192.168.213" };
const REST_PORT = Number(process.env.CONTIV_SANDBOX_REST_PORT ?? 9999);
const MAX_NODES = 8;

function optionsFor(nodes: number): ClusterOptions {
  const progress = (step: string) => process.stderr.write(`  ${elapsed()}  ${step}\n`);
  return { directory: DIRECTORY, underlay: UNDERLAY, nodes, restPort: REST_PORT, progress };
}

const STARTED_AT_MS = Date.now();

function elapsed(): string {
  return `${((Date.now() - STARTED_AT_MS) / 1_000).toFixed(1).padStart(5)} s`;
}

/** The options of the running sandbox; an error that says how to start one otherwise. */
function running(): ClusterOptions {
  const saved = savedCluster(DIRECTORY);
  if (saved === undefined) throw new NetError("NOT_FOUND", "No sandbox is up. Start one with: deploy/sandbox up");
  return optionsFor(saved.nodes);
}

function nodeNumber(text: string): number {
  const match = /^n?([1-9][0-9]*)$/.exec(text);
  if (match === null) throw new InvalidArgumentError('a node is "n1" or "1"');
  return Number(match[1]);
}

function nodeCount(text: string): number {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1 || count > MAX_NODES) {
    throw new InvalidArgumentError(`the number of nodes is 1 to ${MAX_NODES}`);
  }
  return count;
}

async function up(settings: { nodes?: number; demo: boolean }): Promise<void> {
  const saved = savedCluster(DIRECTORY);
  const options = optionsFor(settings.nodes ?? saved?.nodes ?? 2);
  const cluster = await startCluster(options);
  if (settings.demo) {
    options.progress?.("demo: two networks, four pods");
    await attachDemo(cluster);
  }
  process.stderr.write(`  ${elapsed()}  up\n\n`);
  await printTour(cluster, settings.demo);
}

async function down(): Promise<void> {
  const saved = savedCluster(DIRECTORY);
  await stopCluster(optionsFor(saved?.nodes ?? MAX_NODES));
  process.stdout.write("The sandbox is down; nothing is left of it.\n");
}

/** Runs a command with this terminal's input and output; the exit status becomes ours. */
function attach(argv: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<void> {
  const [file, ...args] = argv;
  return new Promise((resolve, reject) => {
    const child = spawn(file as string, args, { stdio: "inherit", env: { ...process.env, ...env } });
    child.on("error", reject);
    child.on("exit", (code, signal) => {
      process.exitCode = code ?? (signal === null ? 1 : 128);
      resolve();
    });
  });
}

/** `pod exec NAME -- CMD`: the dashes only end our own options. */
function withoutDashes(command: readonly string[]): readonly string[] {
  return command[0] === "--" ? command.slice(1) : command;
}

function requireNode(node: number): ClusterOptions {
  const options = running();
  if (netnsExists(nodeNetns(UNDERLAY, node))) return options;
  throw new NetError("NOT_FOUND", `There is no node n${node}; this sandbox has n1 to n${options.nodes}`);
}

function nodeEnvironment(node: number): Record<string, string> {
  const layout = layoutOf(requireNode(node));
  return {
    CNI_PATH: `${join(projectRoot(), "cni-shim")}:/usr/lib/cni`,
    CNI_SOCKET: cniSocketPath(layout, node),
    CONTIV_CNI_SOCKET: cniSocketPath(layout, node),
    CNI_CONFLIST: join(projectRoot(), "deploy/cni/10-contiv.conflist"),
    NODE_NETNS: `/run/netns/${nodeNetns(UNDERLAY, node)}`,
    OVS_RUNDIR: ovsRunDirectory(layout, node),
  };
}

function printNodeEnvironment(node: number): void {
  for (const [name, value] of Object.entries(nodeEnvironment(node)))
    process.stdout.write(`export ${name}='${value}'\n`);
}

async function logs(component: string | undefined, settings: { follow?: boolean; lines: string }): Promise<void> {
  running();
  const directory = join(DIRECTORY, "log");
  const names = existsSync(directory) ? readdirSync(directory).sort() : [];
  const wanted = names.filter((name) => component === undefined || name.startsWith(component));
  if (wanted.length === 0) {
    const known = names.map((name) => name.replace(/\.log$/, "")).join(", ");
    throw new NetError("NOT_FOUND", `No component is called "${component}"; there are: ${known}`);
  }
  const follow = settings.follow === true ? ["-F"] : [];
  await attach(["tail", "-n", settings.lines, ...follow, ...wanted.map((name) => join(directory, name))]);
}

interface PodAddSettings {
  readonly node: number;
  readonly tenant?: string;
  readonly network?: string;
  readonly group?: string;
}

function program(): Command {
  const root = new Command("deploy/sandbox")
    .description("A whole contiv-ts cluster on this machine.")
    .enablePositionalOptions();
  root
    .command("up")
    .description("start the cluster, or complete one that is partly there")
    .option("--nodes <count>", "number of nodes", nodeCount)
    .option("--no-demo", "without the demo networks and pods")
    .action(up);
  root.command("down").description("end it and leave nothing behind").action(down);
  root
    .command("status")
    .description("processes, nodes, pods")
    .action(() => printStatus(running()));
  root
    .command("logs [component]")
    .description("the end of the logs, for example: logs netplugin-n1")
    .option("-f, --follow", "go on")
    .option("-n, --lines <count>", "lines of each", "40")
    .action(logs);
  addPodCommands(root);
  addNodeCommands(root);
  return root;
}

function addPodCommands(root: Command): void {
  const pod = root.command("pod").description("attach, detach and enter pods").enablePositionalOptions();
  pod
    .command("add <name>")
    .description("attach a pod with the CNI shim; prints the CNI result")
    .requiredOption("--node <node>", "the node, n1", nodeNumber)
    .option("--tenant <name>", "tenant (default: default)")
    .option("--network <name>", "network (default: default-net)")
    .option("--group <name>", "endpoint group (default: none)")
    .action(async (name: string, settings: PodAddSettings) => {
      const layout = layoutOf(requireNode(settings.node));
      process.stdout.write(`${(await addPod(layout, name, settings.node, settings)).trimEnd()}\n`);
    });
  pod
    .command("rm <name>")
    .description("detach a pod and remove it")
    .action(async (name: string) => {
      const { name: known } = findPod(layoutOf(running()), name);
      await endProcesses(podNetns(UNDERLAY, known)); // a runtime ends a container's processes first
      await removePod(layoutOf(running()), known);
    });
  pod
    .command("exec <name> <command...>")
    .description("run a command in a pod: pod exec NAME -- CMD")
    .passThroughOptions()
    .action((name: string, command: string[]) => {
      findPod(layoutOf(running()), name);
      return attach(inNetns(podNetns(UNDERLAY, name), withoutDashes(command)));
    });
}

function addNodeCommands(root: Command): void {
  const node = root.command("node").description("enter nodes").enablePositionalOptions();
  node
    .command("exec <node> <command...>")
    .description("run a command on a node: node exec n1 -- ovs-vsctl show")
    .passThroughOptions()
    .action((text: string, command: string[]) => {
      const number = nodeNumber(text);
      const env = nodeEnvironment(number);
      return attach(inNetns(nodeNetns(UNDERLAY, number), withoutDashes(command)), env);
    });
  node
    .command("env <node>")
    .description('shell variables for calling the shim by hand: eval "$(deploy/sandbox node env n1)"')
    .action((text: string) => printNodeEnvironment(nodeNumber(text)));
}

/** A reader that has seen enough, as `head -1`, is no fault; `up` still completes what it began. */
for (const stream of [process.stdout, process.stderr]) {
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
  });
}

const root = program();
try {
  await root.parseAsync();
} catch (error) {
  process.stderr.write(`sandbox: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
