import { describe, expect, it } from "vitest";
import { flowsFor } from "../../../test/fakes/policy-nodes.ts";
import { machineOf, worldView } from "../../../test/fakes/world.ts";
import { type Attachment, POD_ROLE } from "../../machine/attachment.ts";
import { NO_MEANS } from "../../machine/limit-means.ts";
import type { Machine } from "../../machine/machine.ts";
import { metersOf } from "../../reconcile/flows/meters.ts";
import type { NodeView } from "../../view/node-view.ts";
import { recordOf } from "../../view/query.ts";
import { MeterUse, meterUseOf } from "../pipeline/meter-ids.ts";
import { wantedMeters } from "./wanted-meters.ts";

const PORTS = { web1: 11, web2: 12 } as const;
const WORLD = `
  mode routing proxy
  node n1 192.0.2.1
  network blue:web vxlan 100 10.1.1.0/24 gateway 10.1.1.254 ipv6 2001:db8:1::/64
  endpoint web1 blue:web n1 10.1.1.1 2001:db8:1::1 group 7
  endpoint web2 blue:web n1 10.1.1.2 2001:db8:1::2
  group blue:g7 blue:web p netProfile gold ingressCeiling 2g egressCeiling 1g
  tenant blue egressCeiling 5g
  netprofile blue:gold bandwidth 8m DSCP 6
  policy blue:p
  rule blue:p:r1 in deny protocol tcp ports 80
  rule blue:p:r2 in log protocol tcp ports 80
`;
const view = worldView(WORLD);
const PER_SECOND = { newConnectionsPerSecond: 4_000, neighbourMessagesPerSecond: 200 } as const;

function attachmentsIn(world: NodeView): ReadonlyMap<string, Attachment> {
  const attached = Object.entries(PORTS).map(([endpointKey, ofport]): [string, Attachment] => {
    const epoch = recordOf(world, "endpoint", endpointKey)?.epoch ?? "";
    const names = { containerId: endpointKey, ifName: "eth0", configName: "contiv", netnsPath: "" };
    return [endpointKey, { ...names, endpointKey, epoch, role: POD_ROLE, portName: `cvh${ofport}`, ofport }];
  });
  return new Map(attached);
}

const wantedOn = (machine: Machine, attachments = attachmentsIn(view)) => wantedMeters({ view, machine, attachments });
const usesOf = (ids: readonly number[]) => new Set(ids.map(meterUseOf));

describe.each(["netdev", "system"] as const)("the meters that flows name (%s)", (datapathType) => {
  const limitMeans = { ...NO_MEANS, meters: true, ingressPolicing: true, datapathType };
  const machine = machineOf("n1", PORTS, { ...PER_SECOND, limitMeans, datapathType });
  const named = metersOf(flowsFor(view, machine).values());

  it("are of every use that there is on this datapath", () => {
    const uses = Object.values(MeterUse).filter(
      (use) => datapathType === "netdev" || use !== MeterUse.neighbourMessages, // there in podEgress's numbers
    );
    expect([...usesOf(named)].sort()).toEqual(uses.sort());
  });

  it("are wanted, each under its number: no flow names a meter that nobody makes", () => {
    const wanted = wantedOn(machine);
    expect(named.map((id) => wanted.meterOf(id)?.id)).toEqual(named);
  });

  it("are put ahead when they keep limits", () => {
    const wanted = wantedOn(machine);
    const ahead = usesOf(named.filter((id) => wanted.isPutAhead(id)));
    const limits = datapathType === "netdev" ? [MeterUse.podEgress, MeterUse.ceiling] : [MeterUse.ceiling];
    expect([...ahead].sort()).toEqual(limits.sort());
  });
});

describe("meters", () => {
  const machine = machineOf("n1", PORTS, PER_SECOND);
  const named = metersOf(flowsFor(view, machine).values());

  it("of limits are not wanted before the node's means are known, nor of what is not attached", () => {
    const unprobed = wantedOn({ ...machine, limitMeans: undefined });
    const empty = wantedOn(machine, new Map());
    for (const id of named.filter((each) => wantedOn(machine).isPutAhead(each))) {
      expect([unprobed.meterOf(id), empty.meterOf(id)]).toEqual([undefined, undefined]);
      expect([unprobed.isPutAhead(id), empty.isPutAhead(id)]).toEqual([false, false]);
    }
  });

  it("of a port that serves another lease are not wanted", () => {
    const stale = new Map([...attachmentsIn(view)].map(([key, each]) => [key, { ...each, epoch: "another" }]));
    const wanted = wantedOn(machine, stale);
    expect(named.filter((id) => wanted.isPutAhead(id))).toEqual([]);
  });
});
