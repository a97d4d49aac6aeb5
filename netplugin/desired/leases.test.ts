import { describe, expect, it } from "vitest";
import { worldView } from "../../test/fakes/world.ts";
import { type Attachment, INFRA_ROLE, POD_ROLE } from "../machine/attachment.ts";
import { emptyView } from "../view/node-view.ts";
import { compareLeases } from "./leases.ts";

const VIEW = worldView(`
  node n1 192.0.2.1
  network t:a vxlan 1 10.1.1.0/24
  network t:i vxlan 2 10.1.2.0/24 type infra
  endpoint here t:a n1 10.1.1.1 epoch a
  endpoint lost t:a n1 10.1.1.2 epoch b
  endpoint there t:a n2 10.1.1.3 epoch c
  endpoint infra.n1 t:i n1 10.1.2.1 epoch d
  endpoint infra.n2 t:i n1 10.1.2.2 epoch e
`);

type Port = readonly [key: string, epoch: string, role?: "pod" | "infra"];

function attachments(...ports: readonly Port[]): ReadonlyMap<string, Attachment> {
  return new Map(
    ports.map(([endpointKey, epoch, role = POD_ROLE]) => {
      const names = {
        portName: `p-${endpointKey}`,
        containerId: endpointKey,
        ifName: "eth0",
        configName: "",
        netnsPath: "",
      };
      return [endpointKey, { endpointKey, epoch, role, ofport: 5, ...names }];
    }),
  );
}

function compare(ports: readonly Port[], pending: readonly string[] = [], view = VIEW) {
  const { orphans, unleased } = compareLeases({
    view,
    nodeName: "n1",
    attachments: attachments(...ports),
    pending: new Set(pending),
  });
  return { orphans: orphans.map(({ key }) => key), unleased: unleased.map(({ endpointKey }) => endpointKey) };
}

describe("leases and ports of pods", () => {
  it("agree", () => {
    expect(
      compare(
        [
          ["here", "a"],
          ["lost", "b"],
        ],
        ["infra.n2"],
      ),
    ).toEqual({ orphans: [], unleased: [] });
  });

  it("differ by leases without port, unless an ADD is under way", () => {
    expect(compare([["here", "a"]], ["infra.n2"]).orphans).toEqual(["lost"]);
    expect(compare([["here", "a"]], ["lost", "infra.n2"]).orphans).toEqual([]);
  });

  it("differ by ports without lease, or with another lease's epoch", () => {
    const ports: readonly Port[] = [
      ["here", "old"],
      ["lost", "b"],
      ["gone", "x"],
      ["there", "other"],
    ];
    expect(compare(ports).unleased).toEqual(["here", "gone", "there"]);
    expect(compare(ports, ["gone"]).unleased).toEqual(["here", "there"]);
  });

  it("say nothing of the node's own ports in infra networks; another node's name is no such port", () => {
    const ports: readonly Port[] = [
      ["here", "a"],
      ["lost", "b"],
      ["infra.n9", "x", INFRA_ROLE],
    ];
    expect(compare(ports)).toEqual({ orphans: ["infra.n2"], unleased: [] });
  });

  it("are not compared before the first complete view", () => {
    expect(compare([["here", "a"]], [], emptyView())).toEqual({ orphans: [], unleased: [] });
  });
});
