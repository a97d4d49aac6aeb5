import { describe, expect, it } from "vitest";
import { formatFlow } from "../../../drivers/ovs/openflow/text.ts";
import { flowsOfSet } from "../../../test/fakes/flows-of-set.ts";
import { machineOf, worldMessages } from "../../../test/fakes/world.ts";
import type { LimitMeans } from "../../machine/limit-means.ts";
import { applyBatch } from "../../view/apply.ts";
import { parseMessage } from "../../view/messages.ts";
import { emptyView, NO_CHANGES, type NodeView } from "../../view/node-view.ts";
import { newFlowSet, updateFlowSet } from "../flow-set/flow-set.ts";

const WORLD = `
  node n1 192.0.2.1
  node n2 192.0.2.2
  network t1:net vxlan 100 10.1.1.0/24 ipv6 2001:db8:1::/64
  endpoint a t1:net n1 10.1.1.1 2001:db8:1::1 group 7
  endpoint b t1:net n1 10.1.1.2 2001:db8:1::2
  endpoint c t1:net n2 10.1.1.3 2001:db8:1::3 group 7
`;
const means: LimitMeans = {
  ...{ datapathType: "netdev", ingressPolicing: false, tbf: true, ifbRedirect: true, meters: true },
  ...{ podEnd: "macvlan", frameBytes: 1_518 },
};
const machine = machineOf("n1", { a: 11, b: 12 }, { limitMeans: means });

interface Put {
  readonly kind: string;
  readonly object: { readonly key: string };
}

function group(netProfile: string): Put {
  const config = { groupName: "g7", tenantName: "t1", networkName: "net", netProfile };
  return { kind: "endpointGroup", object: { key: "t1:g7", groupId: 7, config } as Put["object"] };
}

function profile(members: object): Put {
  return {
    kind: "netprofile",
    object: { key: "t1:p", config: { profileName: "p", tenantName: "t1", ...members } } as Put["object"],
  };
}

const messageOf = ({ kind, object }: Put, revision: number) =>
  parseMessage({ type: "put", kind, key: object.key, modRevision: String(revision), object });

function viewOf(...puts: readonly Put[]): NodeView {
  const messages = puts.map((put) => messageOf(put, 100));
  return applyBatch(emptyView(), [...worldMessages(WORLD), ...messages, { type: "synced", revision: 1_000n }]).view;
}

function flowsOf(view: NodeView): readonly string[] {
  const { set } = updateFlowSet(newFlowSet(), { view, changes: NO_CHANGES, machine });
  return [...flowsOfSet(set).values()].map(formatFlow);
}

describe("limits in the flows", () => {
  it("meter the port of a limited pod first of all, and nobody else's", () => {
    const metered = flowsOf(viewOf(group("p"), profile({ bandwidth: "10m" }))).filter((flow) =>
      flow.includes("meter:"),
    );
    expect(metered).toEqual([expect.stringMatching(/table=0,.*in_port=11,.* actions=meter:11,/)]);
    expect(flowsOf(viewOf(group("p"), profile({ ingressBandwidth: "10m" }))).join()).not.toContain("meter:");
    expect(flowsOf(viewOf(group("p"), profile({ bandwidth: "10m", egressMode: "shape" }))).join()).not.toContain(
      "meter:",
    );
  });

  it("mark IPv4, global and link-local IPv6 of the pod, in both families alike, and nobody else's", () => {
    const marking = flowsOf(viewOf(group("p"), profile({ DSCP: 46 }))).filter((flow) => flow.includes("ip_dscp"));
    expect(marking).toHaveLength(3);
    for (const flow of marking)
      expect(flow).toMatch(/table=10,.*in_port=11,.* actions=set_field:46->ip_dscp,goto_table/);
    expect(marking.join()).toContain("nw_src=10.1.1.1");
    expect(marking.join()).toContain("ipv6_src=2001:db8:1::1");
    expect(marking.join()).toContain("ipv6_src=fe80::");
    expect(flowsOf(viewOf(group("p"), profile({ DSCP: 0 }))).join()).not.toContain("ip_dscp");
  });
});

describe("changes of limits", () => {
  const steps: readonly (readonly [string, readonly Put[], readonly string[]])[] = [
    ["a profile is attached", [group("p")], ["a"]],
    ["its DSCP changes", [profile({ bandwidth: "10m", DSCP: 7 })], ["a"]],
    ["its rate changes", [profile({ bandwidth: "20m", DSCP: 7 })], []],
    ["its mechanism changes", [profile({ bandwidth: "20m", DSCP: 7, egressMode: "shape" })], ["a"]],
    ["it is detached", [group("")], ["a"]],
    ["it changes while nobody uses it", [profile({ DSCP: 9 })], []],
  ];

  it("recompute what they touch, and end at what a new set holds", () => {
    let view = viewOf(group(""), profile({ bandwidth: "10m", DSCP: 6 }));
    let { set } = updateFlowSet(newFlowSet(), { view, changes: NO_CHANGES, machine });
    let revision = 2_000;
    for (const [title, puts, changed] of steps) {
      revision++;
      const step = applyBatch(view, [
        ...puts.map((put) => messageOf(put, revision)),
        { type: "bookmark", revision: BigInt(revision) },
      ]);
      view = step.view;
      const next = updateFlowSet(set, { view, changes: step.changes, machine });
      set = next.set;
      expect([...next.delta.put.values(), ...next.delta.remove].length > 0, title).toBe(changed.length > 0);
      expect([...flowsOfSet(set).values()].map(formatFlow).sort(), title).toEqual([...flowsOf(view)].sort());
    }
  });
});
