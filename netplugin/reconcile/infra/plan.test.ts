import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseSubnet } from "../../../state/address.ts";
import { NetError } from "../../../state/errors.ts";
import type { EndpointRecord } from "../../../state/kinds/endpoint.ts";
import { worldMessages } from "../../../test/fakes/world.ts";
import { type Attachment, INFRA_ROLE, POD_ROLE } from "../../machine/attachment.ts";
import { applyBatch } from "../../view/apply.ts";
import type { ViewMessage } from "../../view/messages.ts";
import { emptyView, type NodeView } from "../../view/node-view.ts";
import { type InfraPlan, planInfra, type Reserved } from "./plan.ts";

/** A world in which the endpoint `infra.n1:x` is n1's own, on device x. */
function viewOf(text: string, { complete = true } = {}): NodeView {
  const messages = worldMessages(text).map((message): ViewMessage => {
    if (message.type !== "put" || message.kind !== "endpoint") return message;
    const [containerId, ifName] = message.key.split(":");
    return { ...message, record: { ...(message.record as EndpointRecord), containerId, ifName } } as ViewMessage;
  });
  return applyBatch(emptyView(), [...messages, ...(complete ? [{ type: "synced" as const, revision: 1_000n }] : [])])
    .view;
}

function plugged(...ports: readonly (readonly [key: string, epoch: string, role?: "infra" | "pod"])[]) {
  return new Map<string, Attachment>(
    ports.map(([endpointKey, epoch, role = INFRA_ROLE]) => {
      const [containerId = "", portName = ""] = endpointKey.split(":");
      const marks = { endpointKey, epoch, role, portName, ofport: 7, containerId, ifName: portName };
      return [endpointKey, { ...marks, configName: "", netnsPath: "" }];
    }),
  );
}

function reserve(text: string, what: string): Reserved {
  const subnet = parseSubnet(text.includes(":") ? 6 : 4, text);
  if (subnet === undefined) throw new NetError("INVALID", text);
  return { subnet, what };
}

interface Surroundings {
  readonly attachments?: ReadonlyMap<string, Attachment>;
  readonly takenNames?: readonly string[];
  readonly reserved?: readonly Reserved[];
}

function plan(
  world: string | NodeView,
  { attachments = new Map(), takenNames = [], reserved = [] }: Surroundings = {},
) {
  const view = typeof world === "string" ? viewOf(world) : world;
  return planInfra({ view, nodeName: "n1", attachments, takenNames: new Set(takenNames), reserved });
}

/** The plan in short: `network device [lease] [plugged]`. */
function short({ ports }: InfraPlan): string[] {
  return ports.map(({ network, deviceName, lease, isPlugged }) =>
    [network.key, deviceName, lease?.epoch, isPlugged ? "plugged" : undefined]
      .filter((part) => part !== undefined)
      .join(" "),
  );
}

const TWO = `
  node n1 192.0.2.1
  network t:one vxlan 1 10.1.0.0/24 type infra
  network t:data vxlan 2 10.2.0.0/24
  network u:two vlan 3 10.3.0.0/24 type infra ipv6 2001:db8::/64
`;

describe("infra plan", () => {
  it("gives every infra network a port, and no other network", () => {
    const result = plan(TWO);
    expect(short(result)).toEqual(["t:one one", "u:two two"]);
    expect([...result.refused, ...result.surplusPorts, ...result.surplusLeases]).toEqual([]);
  });

  it("knows its leases and ports again; other nodes' and pods' are none of its own", () => {
    const world = `${TWO}
      endpoint infra.n1:one t:one n1 10.1.0.1 epoch a
      endpoint infra.n2:one t:one n2 10.1.0.2 epoch b
      endpoint pod:eth0 u:two n1 10.3.0.1 epoch c`;
    const attachments = plugged(["infra.n1:one", "a"], ["pod:eth0", "c", POD_ROLE]);
    const result = plan(world, { attachments });
    expect(short(result)).toEqual(["t:one one a plugged", "u:two two"]);
    expect(result.surplusPorts).toEqual([]);
    expect(result.surplusLeases).toEqual([]);
  });

  it("does nothing before the first complete view", () => {
    const view = viewOf("node n1 192.0.2.1", { complete: false });
    expect(plan(view, { attachments: plugged(["infra.n1:one", "a"]) })).toEqual(plan(""));
  });

  it("removes ports and leases of networks that are gone", () => {
    const world = "node n1 192.0.2.1\nendpoint infra.n1:old t:old n1 10.9.0.1 epoch a";
    const result = plan(world, { attachments: plugged(["infra.n1:old", "a"], ["infra.n1:older", "b"]) });
    expect(result.surplusPorts).toEqual(["old", "older"]);
    expect(result.surplusLeases.map(({ key }) => key)).toEqual(["infra.n1:old"]);
  });

  it("removes the port of an earlier lease, and makes it anew for the present one", () => {
    const world = `${TWO} endpoint infra.n1:one t:one n1 10.1.0.2 epoch new`;
    const result = plan(world, { attachments: plugged(["infra.n1:one", "old"]) });
    expect(short(result)[0]).toBe("t:one one new");
    expect(result.surplusPorts).toEqual(["one"]);
    expect(result.surplusLeases).toEqual([]);
  });

  it("makes a deleted port anew with the same lease, also while its device is still there", () => {
    const world = `${TWO} endpoint infra.n1:one t:one n1 10.1.0.2 epoch a`;
    expect(short(plan(world, { takenNames: ["one"] }))[0]).toBe("t:one one a");
  });
});

describe("device names", () => {
  it.each([
    { name: "fifteen-letters", device: "fifteen-letters" },
    { name: "sixteen-letters1", device: /^ci-[0-9a-f]{10}$/ },
    { name: "v1.0", device: "v1.0" },
    { name: "eth0", device: /^ci-/ },
    { name: "contiv-int", device: /^ci-/ },
    { name: "cvh0123456789", device: /^ci-/ },
    { name: "ci-0123456789", device: /^ci-(?!0123456789)/ },
  ])("$name", ({ name, device }) => {
    const world = `node n1 192.0.2.1\nnetwork t:${name} vxlan 1 10.1.0.0/24 type infra`;
    const [port] = plan(world, { takenNames: ["eth0", "lo"] }).ports;
    if (typeof device === "string") expect(port?.deviceName).toBe(device);
    else expect(port?.deviceName).toMatch(device);
    expect(port?.deviceName.length).toBeLessThanOrEqual(15);
  });

  it("are told apart where two tenants use one name; who has it keeps it", () => {
    const world = `
      node n1 192.0.2.1
      network t:same vxlan 1 10.1.0.0/24 type infra
      network u:same vxlan 2 10.2.0.0/24 type infra
      endpoint infra.n1:same u:same n1 10.2.0.1 epoch a`;
    const names = plan(world).ports.map(({ network, deviceName }) => `${network.key} ${deviceName}`);
    expect(names[0]).toBe("u:same same");
    expect(names[1]).toMatch(/^t:same ci-/);
  });
});

describe("overlapping subnets", () => {
  const RIVALS = `
    node n1 192.0.2.1
    network t:a vxlan 1 10.1.0.0/16 type infra
    network u:b vxlan 2 10.1.5.0/24 type infra
    network v:c vxlan 3 10.2.0.0/24 type infra`;

  it("leave the second without a port, whose lease and port go", () => {
    const world = `${RIVALS}
      endpoint infra.n1:a t:a n1 10.1.0.1 epoch a
      endpoint infra.n1:b u:b n1 10.1.5.1 epoch b`;
    const result = plan(world, { attachments: plugged(["infra.n1:a", "a"], ["infra.n1:b", "b"]) });
    expect(short(result)).toEqual(["t:a a a plugged", "v:c c"]);
    expect(result.refused.get("u:b")).toContain("infra network t:a");
    expect(result.surplusPorts).toEqual(["b"]);
    expect(result.surplusLeases.map(({ key }) => key)).toEqual(["infra.n1:b"]);
  });

  it("never drive out who is plugged in", () => {
    const world = `${RIVALS}\n endpoint infra.n1:b u:b n1 10.1.5.1 epoch b`;
    const result = plan(world, { attachments: plugged(["infra.n1:b", "b"]) });
    expect(short(result)).toEqual(["u:b b b plugged", "v:c c"]);
    expect([...result.refused.keys()]).toEqual(["t:a"]);
  });

  it.each([
    { own: "10.1.200.0/24", refused: ["t:a"] },
    { own: "10.0.0.0/8", refused: ["t:a", "u:b", "v:c"] },
    { own: "10.1.5.77/32", refused: ["t:a", "u:b"] },
    { own: "10.3.0.0/24", refused: ["u:b"] },
    { own: "2001:db8::/64", refused: ["u:b"] },
  ])("with the node's own $own", ({ own, refused }) => {
    const result = plan(RIVALS, { reserved: [reserve(own, "what eth0 has")] });
    expect([...result.refused.keys()]).toEqual(refused);
    if (!own.startsWith("10.3") && own.startsWith("10.")) expect(result.refused.get("t:a")).toContain("what eth0 has");
  });

  it("are compared within a family", () => {
    const world = "node n1 192.0.2.1\nnetwork t:a vxlan 1 10.1.0.0/24 type infra ipv6 2001:db8:1::/64";
    expect(plan(world, { reserved: [reserve("::a01:0/112", "v6")] }).refused.size).toBe(0);
    expect(plan(world, { reserved: [reserve("2001:db8:1::5/128", "v6")] }).refused.size).toBe(1);
  });

  it("never leave two ports with overlapping subnets or one name, whatever exists", () => {
    const networks = fc.array(
      fc.record({ tenant: fc.nat(3), name: fc.nat(2), low: fc.nat(3), length: fc.constantFrom(23, 24) }),
      {
        maxLength: 8,
      },
    );
    fc.assert(
      fc.property(networks, fc.subarray(["n0", "n1", "n2"]), (list, takenNames) => {
        const lines = list.map(
          ({ tenant, name, low, length }, index) =>
            `network t${tenant}:n${name} vxlan ${index + 1} 10.1.${low}.0/${length} type infra`,
        );
        const { ports, refused } = plan(`node n1 192.0.2.1\n${lines.join("\n")}`, { takenNames });
        const names = ports.map(({ deviceName }) => deviceName);
        expect(new Set(names).size).toBe(names.length);
        for (const name of takenNames) expect(names).not.toContain(name);
        const blocks = ports.map(({ network }) => {
          const subnet = parseSubnet(4, network.config.subnet);
          return [Number(subnet?.first), Number(subnet?.last)] as const;
        });
        for (const [index, [first, last]] of blocks.entries()) {
          for (const [otherFirst, otherLast] of blocks.slice(index + 1)) {
            expect(last < otherFirst || otherLast < first).toBe(true);
          }
        }
        expect(ports.length + refused.size).toBe(new Set(list.map(({ tenant, name }) => `${tenant}:${name}`)).size);
      }),
    );
  });
});
