import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { RunResult } from "../../../deploy/cluster/exec.ts";
import type { Cell } from "./cell.ts";

export interface PodmanOptions {
  readonly cell: Cell;
  readonly binDirectory: string;
  readonly configDirectory: string;
}

/** podman with storage, state and configuration of its own. */
export type Podman = (argv: readonly string[], options?: { readonly allowFailure?: boolean }) => Promise<RunResult>;

const TIMEOUT_MS = 60_000;

function configuration({ binDirectory, configDirectory, cell }: PodmanOptions): string {
  return `[network]
network_backend = "cni"
cni_plugin_dirs = [${JSON.stringify(binDirectory)}]
network_config_dir = ${JSON.stringify(configDirectory)}
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
tmp_dir = ${JSON.stringify(join(cell.directory, "podman-tmp"))}
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
log_driver = "k8s-file"
`;
}

export function openPodman(options: PodmanOptions): Podman {
  const { cell } = options;
  const config = join(cell.directory, "containers.conf");
  mkdirSync(join(cell.directory, "podman-tmp"), { recursive: true });
  writeFileSync(config, configuration(options));
  const places = ["--root", join(cell.directory, "podman-root"), "--runroot", join(cell.directory, "podman-run")];
  return (argv, { allowFailure = false } = {}) =>
    cell.run(["podman", ...places, "--storage-driver", "overlay", ...argv], {
      env: { ...process.env, CONTAINERS_CONF: config },
      timeoutMs: TIMEOUT_MS,
      allowFailure,
    });
}
