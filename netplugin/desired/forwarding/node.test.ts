import { describe, expect, it } from "vitest";
import { flowsFor } from "../../../test/fakes/policy-nodes.ts";
import { machineOf, worldView } from "../../../test/fakes/world.ts";

const WORLD = (address: string, mode = "bridge proxy") => `
  mode ${mode}
  node n1 192.0.2.1
  node n2 ${address}
  node n3 192.0.2.3
  network t1:vx vxlan 100 10.1.1.0/24
  network t1:vl vlan 200 10.1.2.0/24
  endpoint a t1:vx n1 10.1.1.1
  endpoint b t1:vx n2 10.1.1.2
  endpoint c t1:vx n3 10.1.1.3
  endpoint d t1:vl n2 10.1.2.2
`;
const machine = machineOf("n1", { a: 11 });

function flows(world: string): string[] {
  return [...flowsFor(worldView(world), machine).values()].map((flow) =>
    JSON.stringify(flow, (_, value) => (typeof value === "bigint" ? String(value) : value)),
  );
}

describe.each(["bridge proxy", "bridge flood", "routing proxy"])("a peer without tunnel address (%s)", (mode) => {
  it("is sent nothing by tunnel and nothing is let in from it; the tunnels of other peers stay", () => {
    const [without, known] = [flows(WORLD("", mode)), flows(WORLD("192.0.2.2", mode))];
    expect(known.some((text) => text.includes("192.0.2.2"))).toBe(true);
    expect(without.filter((text) => text.includes("undefined") || text.includes("192.0.2.2"))).toEqual([]);
    const ofN3 = (texts: string[]) => texts.filter((text) => text.includes('"192.0.2.3"')).length;
    expect(ofN3(without)).toBe(ofN3(known));
    expect(ofN3(known)).toBeGreaterThan(0);
  });
});
