import { describe, expect, it } from "vitest";
import type { Attached } from "../../drivers/driver.ts";
import { WARM_ROLE } from "../../drivers/ovs/pod-ports/port-pool.ts";
import type { SwitchPort } from "../../drivers/ovs/types.ts";
import { NodeName } from "../../state/names.ts";
import { type Attachment, attachmentMarks, INFRA_ROLE, POD_ROLE } from "./attachment.ts";
import { type AttachedPlaces, createMachineView, type SwitchFacts } from "./machine-view.ts";

const [P1, P2] = ["cvh0000000001", "cvh0000000002"] as const;
const OFPORTS = { [P1]: 1, [P2]: 2 };

function attachment(containerId: string, portName: typeof P1 | typeof P2, epoch = `of-${containerId}`): Attachment {
  const names = { containerId, ifName: "eth0", configName: "contiv", netnsPath: `/run/netns/${containerId}` };
  return { endpointKey: `${containerId}:eth0`, epoch, role: POD_ROLE, portName, ofport: OFPORTS[portName], ...names };
}

function port(name: typeof P1 | typeof P2, externalIds: Record<string, string>): [string, SwitchPort] {
  return [name, { name, ofport: OFPORTS[name], externalIds, error: undefined, policing: undefined }];
}

/** A machine whose switch's database somebody else writes to, too. */
function machineWith(...ports: readonly [string, SwitchPort][]) {
  let present: ReadonlyMap<string, SwitchPort> = new Map(ports);
  const releasing = new Set<string>();
  const shown = () => [...present.values()].filter(({ name }) => !releasing.has(name));
  const attachedOf = new WeakMap<SwitchPort, Attached>();
  const attached = (each: SwitchPort): Attached => {
    const { name, externalIds } = each;
    const made = attachedOf.get(each) ?? { key: name, marks: externalIds, hostDevice: name, fault: undefined };
    attachedOf.set(each, made);
    return made;
  };
  const places: AttachedPlaces = {
    name: "ovs",
    read: () => new Map(shown().map((each) => [each.name, attached(each)])),
    isReleasing: (key) => releasing.has(key),
  };
  const ovs: SwitchFacts = {
    ...{ datapathType: "netdev", ports: { read: () => present } },
    ...{ uplinks: () => new Map(), tunnelOfport: () => undefined },
  };
  const ended = new Set<string>();
  const view = createMachineView({
    isEnded: ({ epoch }) => ended.has(epoch),
    ...{ ovs, drivers: [places], nodeName: NodeName.parse("n1"), vtepIp: () => "", limitMeans: () => undefined },
    newConnectionsPerSecond: 0,
    neighbourMessagesPerSecond: 0,
  });
  return {
    view,
    ended,
    release: (portName: string) => {
      releasing.add(portName);
      view.forget(portName);
    },
    released: (portName: string) => releasing.delete(portName),
    write: (...next: readonly [string, SwitchPort][]) => {
      present = new Map(next);
    },
    shown: () => Object.fromEntries([...view.attachments().values()].map((each) => [each.portName, each.endpointKey])),
  };
}

const [a, b] = [attachment("a", P1), attachment("b", P2)];
const [marksOfA, marksOfB] = [attachmentMarks(a), attachmentMarks(b)];

describe("whose a port is", () => {
  it("is what the switch's database says of ports that nobody has used yet", () => {
    const { view, write, shown } = machineWith(port(P1, { "contiv-role": WARM_ROLE }));
    expect(shown()).toEqual({});
    write(port(P1, marksOfA));
    expect(view.attachments()).toEqual(new Map([[a.endpointKey, a]]));
  });

  it.each<[string, readonly [string, SwitchPort][]]>([
    ["other marks", [port(P1, marksOfB), port(P2, marksOfB)]],
    ["exchanged marks", [port(P1, marksOfB), port(P2, marksOfA)]],
    ["marks of an earlier lease", [port(P1, attachmentMarks(attachment("a", P1, "earlier"))), port(P2, marksOfB)]],
    ["no marks", [port(P1, {}), port(P2, {})]],
    ["the mark of an infra port", [port(P1, { ...marksOfA, "contiv-role": INFRA_ROLE }), port(P2, marksOfB)]],
    ["another namespace", [port(P1, { ...marksOfA, "contiv-netns": "/run/netns/b" }), port(P2, marksOfB)]],
    ["the mark of a free port", [port(P1, { "contiv-role": WARM_ROLE }), port(P2, marksOfB)]],
  ])("stays although somebody writes %s", (_, ports) => {
    const { view, write } = machineWith(port(P1, marksOfA), port(P2, marksOfB));
    const before = view.attachments();
    write(...ports);
    expect(view.attachments()).toEqual(before);
    expect(view.machine().ports).toEqual(
      new Map([
        [a.endpointKey, 1],
        [b.endpointKey, 2],
      ]),
    );
  });

  it("is nobody's when the lease has ended: the endpoint has the port of its living lease", () => {
    const later = attachment("a", P2, "later");
    const { ended, shown } = machineWith(port(P1, marksOfA), port(P2, attachmentMarks(later)));
    ended.add(a.epoch);
    expect(shown()).toEqual({ [P2]: "a:eth0" });
  });

  it("stays without number while the port is lost", () => {
    const { view, write } = machineWith(port(P1, marksOfA), port(P2, marksOfB));
    view.attachments();
    write(port(P2, marksOfA));
    expect(view.attachments().get(a.endpointKey)).toEqual({ ...a, ofport: undefined });
    expect(view.attachments().get(b.endpointKey)).toEqual(b);
  });

  it("changes when the kernel shows another pod's, and when the port is closed and used again", () => {
    const { view, write, shown, release, released } = machineWith(port(P1, marksOfB), port(P2, marksOfA));
    expect(shown()).toEqual({ [P1]: b.endpointKey, [P2]: a.endpointKey });
    for (const right of [a, b]) view.remember(right);
    expect(shown()).toEqual({ [P1]: a.endpointKey, [P2]: b.endpointKey });
    release(P1);
    expect(shown()).toEqual({ [P2]: b.endpointKey });
    write(port(P1, { "contiv-role": WARM_ROLE }), port(P2, marksOfB));
    released(P1);
    const next = attachment("c", P1);
    write(port(P1, attachmentMarks(next)), port(P2, marksOfB));
    expect(shown()).toEqual({ [P1]: next.endpointKey, [P2]: b.endpointKey });
  });

  it("passes to another port when the first one is closed", () => {
    const { view, write, shown, release } = machineWith(port(P1, marksOfA));
    view.attachments();
    write(port(P1, marksOfA), port(P2, marksOfA));
    expect(shown()).toEqual({ [P1]: a.endpointKey });
    release(P1);
    expect(shown()).toEqual({ [P2]: a.endpointKey });
  });
});
