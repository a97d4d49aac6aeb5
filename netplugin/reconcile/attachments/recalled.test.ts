import { describe, expect, it } from "vitest";
import type { LinkPair } from "../../../drivers/ovs/pod-ports/link-pairs.ts";
import { WARM_ROLE } from "../../../drivers/ovs/pod-ports/port-pool.ts";
import type { SwitchPort } from "../../../drivers/ovs/types.ts";
import { worldView } from "../../../test/fakes/world.ts";
import { type Attachment, attachmentMarks, POD_ROLE } from "../../machine/attachment.ts";
import { aliasesOf } from "../../machine/link-alias.ts";
import { attachmentsOf } from "../../machine/testing.ts";
import { recordOf } from "../../view/query.ts";
import { recalledFrom } from "./recalled.ts";

const VIEW = worldView(`
  node n1 192.0.2.1
  node n2 192.0.2.2
  network t1:vx vxlan 100 10.1.1.0/24
  endpoint a t1:vx n1 10.1.1.1
  endpoint b t1:vx n2 10.1.1.2
`);
const KEY = "a";
const EPOCH = recordOf(VIEW, "endpoint", KEY)?.epoch ?? "";

function attachment(portName: string, more: Partial<Attachment> = {}): Attachment {
  const names = { containerId: KEY, ifName: "eth0", configName: "contiv", netnsPath: "/run/netns/a" };
  return { endpointKey: KEY, epoch: EPOCH, role: POD_ROLE, portName, ofport: undefined, ...names, ...more };
}

const right = attachment("cvh1");
const marks = (...all: readonly Attachment[]) => new Map(all.map((each) => [each.portName, attachmentMarks(each)]));

interface Case {
  readonly recorded?: readonly Attachment[];
  /** What the switch says of ports. */
  readonly rows?: ReadonlyMap<string, Readonly<Record<string, string>>>;
  readonly pairs?: ReadonlyMap<string, LinkPair>;
  readonly pending?: boolean;
  readonly nodeName?: string;
}

function recalled({ recorded = [right], rows = new Map(), pairs = new Map(), pending = false, nodeName = "n1" }: Case) {
  const ports = new Map(
    [...rows].map(([name, externalIds]): [string, SwitchPort] => [
      name,
      { name, ofport: undefined, externalIds, error: undefined, policing: undefined },
    ]),
  );
  const byPort = marks(...recorded);
  const records = { all: () => recorded, marksOf: (portName: string) => byPort.get(portName) ?? {} };
  const attachments = attachmentsOf(ports);
  return recalledFrom({ nodeName, view: VIEW, records, pairs, ports, attachments, isPending: () => pending });
}

const link = (alias: string | undefined) =>
  ({ near: undefined, far: { alias }, portName: "cvh1" }) as unknown as LinkPair;
const ghost = attachment("cvh1", { endpointKey: "ghost:eth0", epoch: "gone", containerId: "ghost" });

describe("attachments that the records alone know", () => {
  it.each<[string, Case]>([
    ["nothing is there", {}],
    ["the port has no marks", { rows: new Map([["cvh1", {}]]) }],
    ["the port has lost its role", { rows: new Map([["cvh1", { ...attachmentMarks(right), "contiv-role": "" }]]) }],
    ["the port is marked as a dead pod's", { rows: marks(ghost) }],
    ["the port is marked as free, and its links are gone", { rows: new Map([["cvh1", { "contiv-role": WARM_ROLE }]]) }],
    ["its links are there, without a word", { pairs: new Map([["cvh1", link(undefined)]]) }],
    ["an older record is there, too", { recorded: [attachment("cvh0", { epoch: "older" }), right] }],
  ])("are recalled when %s", (_what, each) => {
    expect(recalled(each)).toEqual([right]);
  });

  it.each<[string, Case]>([
    ["the switch shows it, on whatever port", { rows: marks(attachment("cvh9")) }],
    ["the kernel says whose the port is", { pairs: new Map([["cvh1", link(aliasesOf(ghost)?.far)]]) }],
    [
      "the port is free and whole",
      {
        rows: new Map([["cvh1", { "contiv-role": WARM_ROLE }]]),
        pairs: new Map([["cvh1", link(undefined)]]),
      },
    ],
    ["an ADD of it is under way", { pending: true }],
    ["the endpoint is another node's", { nodeName: "n2" }],
    [
      "the record is of an earlier lease, and the port another pod's",
      {
        recorded: [attachment("cvh1", { epoch: "older" })],
        rows: marks(ghost),
      },
    ],
  ])("stay forgotten when %s", (_what, each) => {
    expect(recalled(each)).toEqual([]);
  });
});
