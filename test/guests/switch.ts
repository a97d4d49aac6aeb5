import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { run } from "../../deploy/cluster/exec.ts";
import { eventually } from "../system/test-cluster.ts";

/** Open vSwitch 3.1 handles no upcall when it was started before this (a guest is that young, no host). */
const MIN_UPTIME_S = 11;

/** A switch of this process's own, in its run directory; it ends with the process. */
export async function startSwitch(directory: string): Promise<void> {
  const uptimeS = Number.parseFloat(readFileSync("/proc/uptime", "utf8"));
  await sleep(Math.max(0, MIN_UPTIME_S - uptimeS) * 1_000);
  const database = join(directory, "conf.db");
  await run(["ovsdb-tool", "create", database, "/usr/share/openvswitch/vswitch.ovsschema"]);
  const socket = join(directory, "db.sock");
  const controls = (name: string) => `--unixctl=${join(directory, name)}`;
  tied(directory, ["ovsdb-server", database, `--remote=punix:${socket}`, controls("db.ctl")]);
  const initialise = () =>
    vsctl(directory, "--no-wait", "init").then(
      () => true,
      () => false,
    );
  await eventually("ovsdb-server", initialise, Boolean, 20_000);
  tied(directory, ["ovs-vswitchd", `unix:${socket}`, controls("switch.ctl")]);
}

function tied(directory: string, argv: readonly string[]): void {
  const env = { ...process.env, OVS_RUNDIR: directory, OVS_LOGDIR: directory };
  spawn("setpriv", ["--pdeathsig", "KILL", "--", ...argv], { env, stdio: "ignore" });
}

export function vsctl(directory: string, ...argv: readonly string[]) {
  return run(["ovs-vsctl", `--db=unix:${join(directory, "db.sock")}`, "--timeout=20", ...argv]);
}
