import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Client, credentials } from "@grpc/grpc-js";
import { eventually } from "../test-cluster.ts";
import type { Cell } from "./cell.ts";
import { type Field, integer, mapFields, message, nested, parse, text } from "./protobuf.ts";

/** Kubernetes' container runtime interface, as far as the tests drive it. */
export interface Containerd extends Disposable {
  runPod(pod: PodSpec): Promise<string>;
  /** The addresses that the runtime reports for the pod. */
  addressesOf(podId: string): Promise<readonly string[]>;
  /** Runs a container in the pod; returns its id. */
  runContainer(podId: string, pod: PodSpec, image: string): Promise<string>;
  exec(containerId: string, argv: readonly string[]): Promise<{ readonly exitCode: number; readonly stdout: string }>;
  stopPod(podId: string): Promise<void>;
  removePod(podId: string): Promise<void>;
}

export interface PodSpec {
  readonly name: string;
  /** Where the kernel's control groups of this test hang. */
  readonly cgroupParent: string;
  readonly hostPort?: { readonly host: number; readonly container: number };
}

export interface ContainerdOptions {
  readonly cell: Cell;
  readonly pauseImage: string;
  /** Folder of the CNI programs, and of the configurations. */
  readonly binDirectory: string;
  readonly configDirectory: string;
}

const CALL_TIMEOUT_MS = 30_000;
const START_TIMEOUT_MS = 20_000;
const EXEC_TIMEOUT_S = 20;

function configuration({ cell, pauseImage, binDirectory, configDirectory }: ContainerdOptions): string {
  const at = (name: string) => JSON.stringify(join(cell.directory, name));
  return `version = 2
root = ${at("containerd-root")}
state = ${at("containerd-state")}
[grpc]
  address = ${at("containerd.sock")}
[ttrpc]
  address = ${at("containerd.ttrpc")}
[plugins."io.containerd.internal.v1.opt"]
  path = ${at("containerd-opt")}
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = ${JSON.stringify(pauseImage)}
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = ${JSON.stringify(binDirectory)}
    conf_dir = ${JSON.stringify(configDirectory)}
`;
}

/** Starts containerd in a cell and loads the images. */
export async function startContainerd(options: ContainerdOptions, images: readonly string[]): Promise<Containerd> {
  const { cell } = options;
  const config = join(cell.directory, "containerd.toml");
  const socket = join(cell.directory, "containerd.sock");
  mkdirSync(join(cell.directory, "pod-logs"), { recursive: true });
  writeFileSync(config, configuration(options));
  cell.start("containerd", ["containerd", "--config", config]);
  const client = new Client(`unix:${socket}`, credentials.createInsecure());
  const call = caller(client);
  await eventually(
    `containerd in ${cell.directory} (${logTail(cell)})`,
    async () =>
      existsSync(socket) &&
      (await call("Version", message()).then(
        () => true,
        () => false,
      )),
    (isUp) => isUp,
    START_TIMEOUT_MS,
  );
  for (const image of images) {
    await cell.run(["ctr", "--address", socket, "--namespace", "k8s.io", "images", "import", image]);
  }
  return verbs(call, client, join(cell.directory, "pod-logs"));
}

function logTail(cell: Cell): string {
  const log = join(cell.directory, "containerd.log");
  return existsSync(log) ? readFileSync(log, "utf8").slice(-500) : "no log";
}

type Call = (method: string, request: Buffer) => Promise<Buffer>;

function caller(client: Client): Call {
  return (method, request) =>
    new Promise((resolve, reject) => {
      const path = `/runtime.v1.RuntimeService/${method}`;
      const same = (bytes: Buffer) => bytes;
      const deadline = { deadline: Date.now() + CALL_TIMEOUT_MS };
      client.makeUnaryRequest(path, same, same, request, deadline, (error, reply) => {
        if (error !== null) reject(new Error(`${method}: ${error.details}`));
        else resolve(reply ?? Buffer.alloc(0));
      });
    });
}

/** Field numbers: k8s.io/cri-api, pkg/apis/runtime/v1/api.proto. */
function podConfig({ name, cgroupParent, hostPort }: PodSpec, logDirectory: string): Buffer {
  const metadata = message([1, name], [2, `uid-${name}`], [3, "default"], [4, 0]);
  const ports: Field[] =
    hostPort === undefined ? [] : [[5, message([1, 0], [2, hostPort.container], [3, hostPort.host])]];
  return message([1, metadata], [2, name], [3, logDirectory], ...ports, ...mapFields(6, { app: name }), [
    8,
    message([1, cgroupParent], [2, message()]),
  ]);
}

function verbs(call: Call, client: Client, logDirectory: string): Containerd {
  return {
    runPod: async (pod) => text(parse(await call("RunPodSandbox", message([1, podConfig(pod, logDirectory)]))), 1),
    addressesOf: async (podId) => {
      const status = nested(parse(await call("PodSandboxStatus", message([1, podId]))), 1);
      const network = nested(status, 5);
      const more = (network.get(2) ?? []).map((entry) => (Buffer.isBuffer(entry) ? text(parse(entry), 1) : ""));
      return [text(network, 1), ...more];
    },
    runContainer: async (podId, pod, image) => {
      const container = message([1, message([1, "main"])], [2, message([1, image])], [15, message()]);
      const request = message([1, podId], [2, container], [3, podConfig(pod, logDirectory)]);
      const containerId = text(parse(await call("CreateContainer", request)), 1);
      await call("StartContainer", message([1, containerId]));
      return containerId;
    },
    exec: async (containerId, argv) => {
      const words = argv.map((word): Field => [2, word]);
      const reply = parse(await call("ExecSync", message([1, containerId], ...words, [3, EXEC_TIMEOUT_S])));
      return { exitCode: integer(reply, 3), stdout: text(reply, 1) + text(reply, 2) };
    },
    stopPod: async (podId) => {
      await call("StopPodSandbox", message([1, podId]));
    },
    removePod: async (podId) => {
      await call("RemovePodSandbox", message([1, podId]));
    },
    [Symbol.dispose]: () => client.close(),
  };
}
