import { describe, expect, it } from "vitest";
import type { Flow } from "../../../drivers/ovs/openflow/flow.ts";
import { formatFlow } from "../../../drivers/ovs/openflow/text.ts";
import { flowsOfSet } from "../../../test/fakes/flows-of-set.ts";
import { machineOf, worldView } from "../../../test/fakes/world.ts";
import type { Machine } from "../../machine/machine.ts";
import { NO_CHANGES } from "../../view/node-view.ts";
import { FLOOD_NODES_MAX } from "../forwarding/network.ts";
import { newFlowSet, ownerOf, updateFlowSet } from "./flow-set.ts";

function compile(world: string, machine: Machine) {
  const { set } = updateFlowSet(newFlowSet(), { view: worldView(world), changes: NO_CHANGES, machine });
  const flowsOf = (owner: string): Flow[] =>
    [...flowsOfSet(set).values()].filter(({ cookie }) => ownerOf(set, cookie) === owner);
  return { failures: Object.fromEntries(set.failures.toArray()), flowsOf };
}

const WORLD = `
  node n1 192.0.2.1
  node n2 192.0.2.2
  network t1:red vxlan 100 10.1.1.0/24 gateway 10.1.1.254
  network t1:blue vlan 200 10.1.2.0/24 gateway 10.1.2.254
  network t1:lab vlan 300 10.1.3.0/24 gateway 10.1.3.254 physical lab
  endpoint r1 t1:red n1 10.1.1.1
  endpoint r2 t1:red n2 10.1.1.2
  endpoint b1 t1:blue n1 10.1.2.1
  endpoint l1 t1:lab n1 10.1.3.1
  endpoint l2 t1:lab n2 10.1.3.2
`;
const PORTS = { r1: 11, b1: 12, l1: 13 };

describe.each(["bridge proxy", "routing flood"])("what cannot be enforced (%s)", (mode) => {
  const world = `mode ${mode}\n${WORLD}`;

  it("is nothing when everything is there", () => {
    const uplinks = new Map([
      ["default", 2],
      ["lab", 3],
    ]);
    expect(compile(world, machineOf("n1", PORTS, { uplinks })).failures).toEqual({});
  });

  it("is a network whose physical network has no uplink here, with its endpoints", () => {
    const { failures, flowsOf } = compile(world, machineOf("n1", PORTS));
    expect(failures).toEqual({
      "network/t1:lab": 'Physical network "lab" has no uplink on node "n1"',
      "endpoint/l1": 'Network "t1:lab" does not work on this node: Physical network "lab" has no uplink on node "n1"',
    });
    for (const owner of ["network/t1:lab", "endpoint/l1", "endpoint/l2"]) expect(flowsOf(owner)).toEqual([]);
    expect(flowsOf("endpoint/b1").length).toBeGreaterThan(0);
  });

  it("is every VXLAN network without the tunnel port", () => {
    const { failures, flowsOf } = compile(world, machineOf("n1", PORTS, { tunnelOfport: undefined }));
    expect(failures["network/t1:red"]).toBe("The tunnel port does not exist (yet)");
    expect([flowsOf("endpoint/r1"), flowsOf("endpoint/r2"), flowsOf("node/n2")]).toEqual([[], [], []]);
  });

  it("is an endpoint without port; its network stays closed when it is the only one", () => {
    const { failures, flowsOf } = compile(world, machineOf("n1", { r1: 11 }));
    expect(failures["endpoint/b1"]).toBe("It has no port on this node (yet)");
    expect(flowsOf("endpoint/b1")).toEqual([]);
    expect(flowsOf("network/t1:blue").filter(({ table }) => table === 0)).toEqual([]);
  });

  it("is an endpoint whose network is not known, or is another one under the old name", () => {
    const lines = world.split("\n").filter((line) => !line.includes("network t1:red"));
    const { failures } = compile(lines.join("\n"), machineOf("n1", PORTS));
    expect(failures["endpoint/r1"]).toMatch(/^Network "t1:red" \(number \d+\) is not known here$/);
  });

  it("is an endpoint behind a node without tunnel address: nothing goes there, and nothing floods for it", () => {
    const { failures, flowsOf } = compile(`${world}\nendpoint lost t1:red n9 10.1.1.9`, machineOf("n1", PORTS));
    expect(failures["endpoint/lost"]).toBe('No tunnel leads to node "n9": its tunnel address is not known here');
    const sends = flowsOf("endpoint/lost").filter(({ table }) => table >= 80);
    expect(sends.map(formatFlow)).toEqual([
      expect.stringMatching(/table=90,.*dl_dst=02:02:0a:01:01:09.* actions=drop$/),
    ]);
  });

  it("is a node that claims this node's tunnel address", () => {
    const { failures, flowsOf } = compile(
      world.replace("node n2 192.0.2.2", "node n2 192.0.2.1"),
      machineOf("n1", PORTS),
    );
    expect(failures["node/n2"]).toBe("It claims the tunnel address of this node, 192.0.2.1");
    expect(failures["endpoint/r2"]).toMatch(/^No tunnel leads to node "n2"/);
    expect(flowsOf("node/n2")).toEqual([]);
  });

  it("is flooding to more nodes than one flow can name", () => {
    const many = Array.from({ length: FLOOD_NODES_MAX + 5 }, (_, index) => {
      const octets = `${(index >> 8) + 1}.${index & 255}`;
      return `node m${index} 198.51.${octets}\nendpoint m${index} t1:red m${index} 10.2.${octets}`;
    });
    const { failures, flowsOf } = compile(`${world}\n${many.join("\n")}`, machineOf("n1", PORTS));
    expect(failures["network/t1:red"]).toMatch(/reach only 500 of the 506 nodes/);
    const flood = flowsOf("network/t1:red").find(
      ({ table, actions }) => table === 90 && actions.length > FLOOD_NODES_MAX,
    );
    expect(flood?.actions.length).toBeGreaterThan(2 * FLOOD_NODES_MAX);
  });
});

it("nothing is written for networks that no packet of this node can reach", () => {
  const world = `
    mode routing proxy
    node n2 192.0.2.2
    network t1:red vxlan 100 10.1.1.0/24 gateway 10.1.1.254
    network t2:red vxlan 200 10.1.1.0/24 gateway 10.1.1.254
    endpoint a t1:red n1 10.1.1.1
    endpoint y t2:red n2 10.1.1.1
    endpoint w t2:red n1 10.1.1.2
  `;
  const { flowsOf, failures } = compile(world, machineOf("n1", { a: 11 }));
  expect([flowsOf("endpoint/y"), flowsOf("network/t2:red")]).toEqual([[], []]);
  expect(Object.keys(failures)).toEqual(["endpoint/w"]);
});
