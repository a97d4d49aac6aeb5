import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { projectRoot } from "../../../deploy/cluster/components.ts";
import { inNetns, run } from "../../../deploy/cluster/exec.ts";
import { controlNetns, ensureControl, ensureNode, nodeAddress, nodeNetns } from "../../../deploy/cluster/underlay.ts";
import { startReaper } from "../reaper.ts";
import { Machine } from "./shell.ts";

/** The machines of a test. */
export interface World extends AsyncDisposable {
  /** A machine without neighbours. */
  alone(): Promise<Machine>;
  /**
   * Machines that know each other by name, can be reached by stand-ins for ssh and scp, and have one for systemctl. Each has a NIC `eth0`
   * with an address for everything, and `eth1` with one for pods' traffic.
   */
  together(names: readonly string[]): Promise<ReadonlyMap<string, Machine>>;
}

/** Of the network that `eth1` is in. */
const PODS_SUBNET = "10.20.0";

const BUILD_MS = 240_000;

/** Builds the programs, so that no command of a page has to. */
export async function makeWorld(): Promise<World> {
  await run([join(projectRoot(), "deploy/build")], { timeoutMs: BUILD_MS });
  const directory = mkdtempSync(join(tmpdir(), "contiv-pages-"));
  const prefix = basename(directory);
  startReaper(`${prefix}-`, directory);
  writeFileSync(join(directory, "hosts"), "127.0.0.1 localhost\n");
  const machines: Machine[] = [];
  const start = async (name: string, netns?: string) => {
    const machine = await Machine.start({ name, world: directory, ...(netns === undefined ? {} : { netns }) });
    machines.push(machine);
    return machine;
  };
  return {
    alone: () => start(`sandbox-${machines.length + 1}`),
    together: (names) => together(names, { directory, prefix, start }),
    [Symbol.asyncDispose]: async () => {
      for (const machine of machines) machine.off();
      await removeNetns(prefix);
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

interface Place {
  readonly directory: string;
  readonly prefix: string;
  start(name: string, netns?: string): Promise<Machine>;
}

async function together(names: readonly string[], { directory, prefix, start }: Place) {
  const underlay = { prefix, subnet: "192.168.213" };
  const hosts = names.map((name, index) => `${nodeAddress(underlay, index + 1)} ${name}\n`);
  writeFileSync(join(directory, "hosts"), `127.0.0.1 localhost\n${hosts.join("")}`);
  await ensureControl(underlay);
  const machines = new Map<string, Machine>();
  for (const [index, name] of names.entries()) {
    await ensureNode(underlay, index + 1);
    const netns = nodeNetns(underlay, index + 1);
    await plugSecondNic(controlNetns(underlay), netns, index + 1);
    const machine = await start(name, netns);
    await machine.run(`[ ${name} = admin ] || cd /root; export PATH=$STAND_INS:$PATH; sshd-stand-in & sleep 0`, 5_000);
    machines.set(name, machine);
  }
  return machines;
}

async function plugSecondNic(control: string, netns: string, index: number): Promise<void> {
  const port = `pods${index}`;
  await run(["ip", "-n", control, "link", "add", port, "type", "veth", "peer", "name", "eth1", "netns", netns]);
  await run(inNetns(netns, ["ethtool", "-K", "eth1", "tx", "off"])); // as `eth0`: nobody fills in checksums later
  const address = `address add ${PODS_SUBNET}.${index}/24 dev eth1`;
  await run(["ip", "-n", netns, "-batch", "-"], { stdin: `${address}\nlink set eth1 up\n` });
  await run(["ip", "-n", control, "link", "set", port, "up", "master", "underlay"]);
}

async function removeNetns(prefix: string): Promise<void> {
  const { stdout } = await run(["ip", "netns", "list"]);
  const names = stdout.split("\n").map((line) => line.split(" ")[0] ?? "");
  for (const name of names.filter((each) => each.startsWith(`${prefix}-`))) await run(["ip", "netns", "delete", name]);
}
