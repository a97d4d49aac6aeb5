import { setTimeout as sleep } from "node:timers/promises";
import { run } from "../../deploy/cluster/exec.ts";
import { openNetns } from "../../drivers/netlink/netns.ts";
import { openPanel, type Panel, removePanel } from "../../drivers/ovs/pod-ports/panel.ts";
import { makePodInterface } from "../../drivers/ovs/pod-ports/pod-end.ts";
import { openPortPool } from "../../drivers/ovs/pod-ports/port-pool.ts";
import { type OpenOvsDriver, openOvsDriver } from "../../drivers/ovs/switch.ts";
import type { Neighbour } from "../../drivers/pod-interface.ts";
import { COOKIE_OURS } from "../../netplugin/desired/pipeline/pipeline.ts";
import { type Attachment, attachmentMarks, POD_ROLE } from "../../netplugin/machine/attachment.ts";
import type { NetError } from "../../state/errors.ts";
import { macOf } from "../fakes/world.ts";

export interface GuestNodeOptions {
  readonly datapath: "system" | "netdev";
  /** Of the switch. */
  readonly runDirectory: string;
  readonly report: (error: NetError) => void;
}

/** What netplugin stands on, without netplugin: the driver of a real switch, and namespaces for pods. One at a time. */
export interface GuestNode extends AsyncDisposable {
  readonly driver: OpenOvsDriver;
  readonly panel: Panel;
  /** Aborted by `stop`, and when the node ends. */
  readonly signal: AbortSignal;
  stop(): void;
  /** Plugs pods in, dressed as an ADD does it. The namespaces end with the node. */
  plugIn<Name extends string>(
    pods: Readonly<Record<Name, PodAddresses>>,
    neighbours?: readonly Neighbour[],
  ): Promise<Readonly<Record<Name, Attachment>>>;
}

/** With prefix lengths, IPv4 first. */
export type PodAddresses = readonly string[];

const MTU_BYTES = 1_450;
/** As many ports are made at once. */
const READY_PORTS = 4;

export const podNetnsName = (pod: string) => `guest-${pod}-${process.pid}`;

export async function openGuestNode(options: GuestNodeOptions): Promise<GuestNode> {
  const controller = new AbortController();
  const { signal } = controller;
  const driver = await openOvsDriver({
    ...{ ...options, uplinks: [], allowDefaultRouteUplink: false, vxlanUdpPort: 4789 },
    ...{ cookie: COOKIE_OURS.cookie, cookieMask: COOKIE_OURS.mask, signal },
  });
  const panelName = `guest-panel-${process.pid}`;
  const panel = await openPanel(panelName);
  while (!driver.flowConnection.connected) await sleep(20);
  const pods: string[] = [];
  return {
    ...{ driver, panel, signal, stop: () => controller.abort() },
    plugIn: async (wanted, neighbours = []) => {
      pods.push(...Object.keys(wanted));
      return plugIn({ ...options, driver, panel, signal, neighbours }, wanted);
    },
    [Symbol.asyncDispose]: async () => {
      controller.abort();
      await driver[Symbol.asyncDispose]();
      panel[Symbol.dispose]();
      await removePanel(panelName);
      for (const pod of pods) await run(["ip", "netns", "del", podNetnsName(pod)]);
    },
  };
}

type Parts = GuestNodeOptions &
  Pick<GuestNode, "driver" | "panel" | "signal"> & { readonly neighbours: readonly Neighbour[] };

async function plugIn<Name extends string>(parts: Parts, wanted: Readonly<Record<Name, PodAddresses>>) {
  const { driver, panel, datapath, report, signal, neighbours } = parts;
  const { ports, netlink } = driver;
  const pods = Object.entries<PodAddresses>(wanted);
  await using pool = await openPortPool({
    ...{
      ports,
      netlink,
      panel,
      target: Math.min(pods.length, READY_PORTS),
      mtuBytes: MTU_BYTES,
      finishChecksums: datapath === "netdev",
    },
    ...{
      report,
      closeNearEnds: (near: Parameters<typeof driver.guard.closeNearEnds>[0]) => driver.guard.closeNearEnds(near),
    },
  });
  const attachments = new Map<string, Attachment>();
  for (const [name, addresses] of pods) {
    const netnsPath = `/run/netns/${podNetnsName(name)}`;
    await run(["ip", "netns", "add", podNetnsName(name)]);
    using netns = openNetns(netnsPath);
    const port = await pool.take({ signal });
    const mac = macOf(addresses[0]?.split("/")[0] ?? "");
    const link = { ifName: "eth0", mac, mtuBytes: MTU_BYTES, addresses, routes: [], neighbours };
    await makePodInterface({ netlink, panel, port, netns, link }, signal);
    const marks = { endpointKey: name, epoch: "e1", role: POD_ROLE, containerId: name, ifName: "eth0" } as const;
    attachments.set(name, { ...marks, configName: "test", netnsPath, portName: port.name, ofport: port.ofport });
  }
  await ports.mark(new Map([...attachments.values()].map((each) => [each.portName, attachmentMarks(each)])));
  return Object.fromEntries(attachments) as Record<Name, Attachment>;
}
