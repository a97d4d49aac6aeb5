import pino from "pino";
import { inNetns, type RunResult, run } from "../../deploy/cluster/exec.ts";
import { limitSurroundings } from "../../drivers/ovs/pod-ports/network-driver.ts";
import { PortLimiter } from "../../drivers/ovs/pod-ports/port-limiter.ts";
import type { OpenOvsDriver } from "../../drivers/ovs/switch.ts";
import type { WantedMeters } from "../../netplugin/desired/flow-set/wanted-meters.ts";
import { type LimitedNode, limitMeterOf } from "../../netplugin/desired/limits/attached-limits.ts";
import { meterIdOf } from "../../netplugin/desired/limits/limit-plan.ts";
import { COOKIE_OURS } from "../../netplugin/desired/pipeline/pipeline.ts";
import type { Attachment } from "../../netplugin/machine/attachment.ts";
import type { LimitMeans } from "../../netplugin/machine/limit-means.ts";
import { probeCapabilities } from "../../netplugin/node/capabilities.ts";
import { createMeterKeeper, type MeterKeeper } from "../../netplugin/reconcile/flows/meters.ts";
import type { LimitStatus } from "../../netplugin/reconcile/limits/limit-keeper.ts";
import { type NodeLimits, openNodeLimits } from "../../netplugin/reconcile/limits/node-limits.ts";
import { startTraffic } from "../../netplugin/report/traffic/start.ts";
import type { BandwidthReport } from "../../state/bandwidth/report.ts";
import { worldView } from "../fakes/world.ts";
import { type GuestNode, type GuestNodeOptions, openGuestNode, podNetnsName } from "./guest-node.ts";

export interface LimitWorldOptions extends GuestNodeOptions {
  /** The switch is to be taken for one without meters: there is none such to be had. */
  readonly withoutMeters: boolean;
}

/** Two pods on a real switch and the node's limits, as netplugin keeps them; flows only forward. */
export interface LimitWorld extends AsyncDisposable {
  readonly means: LimitMeans;
  /** Of the pod "sender", which the limits are for. */
  readonly portName: string;
  /** Of the pod "receiver". */
  readonly address: string;
  /** Gives the sender's group a netprofile, in the words of fakes/world.ts; resolves when it is in force. */
  limit(profile: string): Promise<LimitStatus | undefined>;
  /** How many times limits were not as they should be. */
  repairs(): number;
  report(): BandwidthReport | undefined;
  inPod(pod: string, argv: readonly string[], timeoutMs?: number): Promise<RunResult>;
}

type World = GuestNode & LimitWorldOptions;

const ADDRESSES = { sender: "10.9.0.1", receiver: "10.9.0.2" } as const;

/** One world at a time. */
export async function openLimitWorld(options: LimitWorldOptions): Promise<LimitWorld> {
  const node = await openGuestNode(options);
  const { sender } = await node.plugIn({ sender: [`${ADDRESSES.sender}/24`], receiver: [`${ADDRESSES.receiver}/24`] });
  const { limit, limits, traffic, means, repairs } = await openLimits({ ...options, ...node }, sender);
  return {
    ...{ means, limit, repairs, portName: sender.portName, address: ADDRESSES.receiver },
    report: () => traffic.reports().get(sender.endpointKey),
    inPod: (pod, argv, timeoutMs = 30_000) => run(inNetns(podNetnsName(pod), argv), { allowFailure: true, timeoutMs }),
    [Symbol.asyncDispose]: async () => {
      node.stop();
      for (const { ended } of [limits, traffic]) await ended.catch(() => {}); // it was told to
      await node[Symbol.asyncDispose]();
    },
  };
}

/** Everything that netplugin does about limits, for one pod, with a view of this test's. */
async function openLimits(world: World, sender: Attachment) {
  const { driver, panel, signal, report } = world;
  let view = worldView("");
  let repairCount = 0;
  let forwarded = () => forward(driver, sender);
  const attachments = () => new Map([[sender.endpointKey, sender]]);
  const limiter = new PortLimiter({ ports: driver.ports, netlink: driver.netlink, panel });
  const meters = createMeterKeeper({
    connection: driver.flowConnection.connection,
    wanted: () => metersOfLimits({ view, means: limits.means(), attachments: attachments() }),
  });
  const limits: NodeLimits = openNodeLimits({
    ...{ limiter, meters, signal, report, log: pino({ level: "silent" }) },
    onChange: (listener) => driver.onChange(listener),
    isConnected: () => driver.connected,
    surroundings: () => limitSurroundings(driver, panel),
    view: () => view,
    attachments,
    onRepair: () => repairCount++,
  });
  const traffic = startTraffic({
    ...{ driver, limiter, limits, attachments, signal, report },
    onFlowsLost: () => void forwarded().catch(() => {}), // the next sample asks again
  });
  const probed = await probeCapabilities({
    connection: driver.flowConnection.connection(),
    cookie: COOKIE_OURS.cookie,
  });
  limits.setCapabilities({ ...probed, ...(world.withoutMeters ? { meters: false } : {}) });
  await forwarded();
  const means = limits.means();
  if (means === undefined) throw new Error("The node has been told its means and does not have them");
  return {
    ...{ limits, traffic, means, repairs: () => repairCount },
    limit: async (profile: string) => {
      view = worldView(`
        network t1:net vxlan 100 10.9.0.0/24
        endpoint sender t1:net n1 ${ADDRESSES.sender} group 7
        group t1:g7 t1:net netProfile p
        netprofile t1:p ${profile}
      `);
      limits.keeper.onView(new Map([["netprofile/t1:p", { kind: "netprofile", key: "t1:p" }]]));
      await limits.keeper.loop.done(signal);
      const status = limits.keeper.statuses().get(sender.endpointKey);
      forwarded = () => forward(driver, sender, { meters, status, signal });
      await forwarded();
      return status;
    },
  };
}

/** No other meters are wanted here. */
function metersOfLimits(node: LimitedNode): WantedMeters {
  const meterOf = (id: number) => limitMeterOf(node, id);
  return { meterOf, isPutAhead: (id) => meterOf(id) !== undefined };
}

interface Metered {
  readonly meters: MeterKeeper;
  readonly status: LimitStatus | undefined;
  readonly signal: AbortSignal;
}

/** Everything to everybody; what the sender's port brings goes through its meter first, if it has one. */
async function forward(driver: OpenOvsDriver, { ofport = 0 }: Attachment, metered?: Metered): Promise<void> {
  const isMetered = metered?.status?.plan.podEgress?.mechanism === "meter";
  const normal = { kind: "output", port: "normal" } as const;
  const actions = isMetered ? [{ kind: "meter", meter: meterIdOf(ofport) } as const, normal] : [normal];
  const flow = { table: 0, cookie: COOKIE_OURS.cookie } as const;
  const flows = [
    { ...flow, priority: 1, match: {}, actions: [normal] },
    { ...flow, priority: 2, match: { inPort: ofport }, actions },
  ];
  if (isMetered) {
    await metered.meters.refresh(metered.signal);
    await metered.meters.prepare(flows, metered.signal);
  }
  await driver.flowConnection.connection().bundle(flows.map((each) => ({ kind: "flow-add", flow: each })));
}
