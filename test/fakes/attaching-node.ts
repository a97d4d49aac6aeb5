import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import type { NetnsHandle } from "../../drivers/netlink/netns.ts";
import type { AttachingNode } from "../../netplugin/attach/attaching-node.ts";
import { UnfinishedCalls } from "../../netplugin/attach/unfinished-calls.ts";
import type { AddRequest } from "../../netplugin/cni/request.ts";
import { add } from "../../netplugin/cni/testing/calls.ts";
import { leaseOf } from "../../netplugin/machine/attachment.ts";
import { EndedLeases } from "../../netplugin/machine/ended-leases.ts";
import { createMachineView } from "../../netplugin/machine/machine-view.ts";
import { createLeaseKeeper, type LeaseKeeperOptions } from "../../netplugin/reconcile/leases/lease-keeper.ts";
import { createViewHolder } from "../../netplugin/view/view-holder.ts";
import type { DriverName } from "../../state/driver-name.ts";
import { endpointKeyOf } from "../../state/endpoint-key.ts";
import type { NetError } from "../../state/errors.ts";
import { EndpointRecord } from "../../state/kinds/endpoint.ts";
import { NodeName } from "../../state/names.ts";
import type { EndpointReply, EndpointRequest } from "../../state/node-api.ts";
import { FakeMachine, FakeNetworkDriver } from "./network-driver.ts";

const NODE = NodeName.parse("n1");
const ENDED = "ended-leases";
const silent = pino({ level: "silent" });

/** A netmaster as far as one node's leases go. */
class FakeLeases {
  readonly held = new Map<string, EndpointRecord>();
  #made = 0;

  create(request: EndpointRequest): EndpointReply {
    const key = endpointKeyOf(request);
    const endpoint = this.held.get(key) ?? this.#newRecord(key, request);
    this.held.set(key, endpoint);
    return {
      ...{ endpoint, mtuBytes: 1_450, revision: String(++this.#made), storeEpoch: "1-a", objects: [] },
      ipv4: { address: `${endpoint.ipv4}/24`, gateway: endpoint.ipv4.replace(/\d+$/, "254") },
      routes: [{ destination: "0.0.0.0/0", gateway: endpoint.ipv4.replace(/\d+$/, "254") }],
    };
  }

  release({ key, epoch }: { readonly key: string; readonly epoch: string }): void {
    if (this.held.get(key)?.epoch === epoch) this.held.delete(key);
  }

  #newRecord(key: string, { containerId, ifName }: EndpointRequest): EndpointRecord {
    const number = ++this.#made;
    const suffix = String(number).padStart(12, "0");
    return EndpointRecord.parse({
      ...{ key, containerId, ifName, endpointId: key, nodeName: NODE, tenantName: "t", networkName: "a" },
      ...{ groupName: "", networkId: 11, ipv4: `10.1.${number}.5`, createdAt: "2026-01-01T00:00:00Z" },
      ...{ mac: `02:02:0a:01:${number.toString(16).padStart(2, "0")}:05` },
      epoch: `00000000-0000-4000-8000-${suffix}`,
    });
  }
}

/** Steps of a node that are no driver's. */
export type NodeStep = "lease" | "flows" | "limits" | "withdrawn";

/** What outlives netplugin: the machine, netmaster's leases, and notes of calls. */
export class FakeSite implements Disposable {
  readonly machine = new FakeMachine();
  readonly leases = new FakeLeases();
  readonly directory = mkdtempSync(join(tmpdir(), "contiv-calls-"));
  /** What fails, or is waited for, in the node that was opened last. */
  refusal: (step: NodeStep, ifName: string) => NetError | Promise<unknown> | undefined = () => undefined;

  /** Another run of netplugin. */
  newNode(names: readonly DriverName[] = ["ovs"]) {
    return openNode(this, names);
  }

  notes(): readonly string[] {
    return readdirSync(this.directory).filter((name) => name !== ENDED);
  }

  async step(step: NodeStep, endpointKey: string): Promise<void> {
    const refusal = this.refusal(step, endpointKey.split(":").at(-1) ?? "");
    if (refusal instanceof Promise) await refusal;
    else if (refusal !== undefined) throw refusal;
  }

  [Symbol.dispose](): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}

function openNode(site: FakeSite, names: readonly DriverName[]) {
  const holder = createViewHolder();
  const onRelease = (key: string) => machine.forget(key);
  const all = names.map((name) => new FakeNetworkDriver(site.machine, { name, onRelease }));
  const ports: ReadonlyMap<string, { ofport: number }> = new Map();
  const ended = new EndedLeases(join(site.directory, ENDED), silent);
  const machine = createMachineView({
    isEnded: (attachment) => ended.has(leaseOf(attachment)),
    ovs: {
      ...{ datapathType: "netdev", ports: { read: () => ports } },
      ...{ uplinks: () => new Map(), tunnelOfport: () => undefined },
    },
    ...{ drivers: all, nodeName: NODE, vtepIp: () => "", limitMeans: () => undefined },
    ...{ newConnectionsPerSecond: 0, neighbourMessagesPerSecond: 0 },
  });
  const client = {
    createEndpoint: async (request: EndpointRequest) => {
      await site.step("lease", endpointKeyOf(request));
      return site.leases.create(request);
    },
    releaseEndpoints: async (leases: readonly { readonly key: string; readonly epoch: string }[]) => {
      for (const each of leases) site.leases.release(each);
    },
  };
  const leases = createLeaseKeeper({
    ...{ nodeName: NODE, holder, client, attachments: machine.attachments, log: silent },
    ended,
    signal: new AbortController().signal,
  } as unknown as LeaseKeeperOptions);
  const [driver] = all;
  if (driver === undefined) throw new Error("a node has at least one driver");
  const node: AttachingNode = {
    ...{ nodeName: NODE, log: silent, holder, leases, attachments: machine.attachments, datapathType: "netdev" },
    client: client as unknown as AttachingNode["client"],
    drivers: new Map(all.map((each) => [each.name, each])),
    view: holder.view,
    flows: {
      enforced: (key) => site.step("flows", key),
      check: async () => {},
      withdrawn: () => site.step("withdrawn", ""),
    },
    limits: { enforced: (key) => site.step("limits", key) },
    stack: { closed: async () => {} },
    unfinished: new UnfinishedCalls(site.directory, silent),
    readiness: { whyNoAdd: () => undefined, whyNotReady: () => undefined },
    knowsAll: async () => true,
  };
  return { node, driver, drivers: all, machine };
}

/** A call's wishes for a pod, of which the first is named by the call. */
export function wishesFor(netns: NetnsHandle, ...ifNames: readonly string[]): readonly AddRequest[] {
  return ifNames.map((ifName) => add({ CNI_NETNS: netns.path, CNI_IFNAME: ifName }));
}
