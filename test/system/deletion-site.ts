import { join } from "node:path";
import { ovsRunDirectory } from "../../deploy/cluster/components.ts";
import { inNetns, run } from "../../deploy/cluster/exec.ts";
import { findPod } from "../../deploy/cluster/pods.ts";
import { panelNetns } from "../../deploy/cluster/underlay.ts";
import { askNetplugin } from "./node-dump.ts";
import type { TestCluster } from "./test-cluster.ts";

/** Node n1 as an admin with root's rights has it in hand. */
export interface DeletionSite {
  readonly world: TestCluster;
  vsctl(...args: readonly string[]): Promise<string>;
  /** ovs-ofctl on a bridge. */
  ofctl(command: string, bridge: string, ...more: readonly string[]): Promise<string>;
  /** A shell in the node's namespace; fails when the script does. */
  onNode(script: string): Promise<string>;
  inPanel(script: string): Promise<string>;
  /** The port of a pod; repairs may have given it another. */
  port(pod: string): Promise<string>;
  farEnd(pod: string): Promise<string>;
  /** A port that waits for a pod. */
  readyPort(): Promise<string>;
  /** The same while the switch is away: its database alone is changed. */
  readonly withoutSwitch: Omit<DeletionSite, "withoutSwitch">;
}

export function deletionSite(world: TestCluster): DeletionSite {
  const { layout } = world.cluster;
  const onNode = async (script: string) => shown(script, await world.onNode(1, ["sh", "-c", script]));
  const port = async (pod: string): Promise<string> => {
    const key = `${findPod(layout, pod).containerId}:eth0`;
    const text = await askNetplugin(layout, 1, "/inspect/endpoints");
    if (text !== undefined) known = JSON.parse(text) as typeof known; // else netplugin is away: as it was
    return known.find(({ endpointKey }) => endpointKey === key)?.portName ?? `none of ${pod} in ${text}`;
  };
  let known: readonly { readonly endpointKey: string; readonly portName: string }[] = [];
  const vsctl =
    (options: string) =>
    (...args: readonly string[]) => {
      const database = join(ovsRunDirectory(layout, 1), "db.sock");
      return onNode(`ovs-vsctl --db=unix:${database} --timeout=10 ${options} ${args.join(" ")}`);
    };
  const site = {
    ...{ world, onNode, port, vsctl: vsctl("") },
    ofctl: (command: string, bridge: string, ...more: readonly string[]) => {
      const socket = join(ovsRunDirectory(layout, 1), `${bridge}.mgmt`);
      return onNode(`ovs-ofctl -O OpenFlow15 ${command} unix:${socket} ${more.join(" ")}`);
    },
    inPanel: async (script: string) =>
      (await run(inNetns(panelNetns(layout.underlay, 1), ["sh", "-c", script]))).stdout,
    readyPort: async () =>
      (
        await onNode(
          "ip -o link show type veth | sed -n '/alias contiv-ts$/s/^[0-9]*: \\(cvh[^@:]*\\).*/\\1/p' | head -n 1",
        )
      ).trim(),
    farEnd: async (pod: string) => (await port(pod)).replace("cvh", "cvp"),
  };
  return { ...site, withoutSwitch: { ...site, vsctl: vsctl("--no-wait") } };
}

function shown(script: string, { exitCode, stdout, stderr }: { exitCode: number; stdout: string; stderr: string }) {
  if (exitCode !== 0) throw new Error(`${script}: ${stderr}`);
  return stdout;
}
