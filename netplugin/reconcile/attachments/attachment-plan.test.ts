import { describe, expect, it } from "vitest";
import type { LinkRow } from "../../../drivers/netlink/link-row.ts";
import { pairUp } from "../../../drivers/ovs/pod-ports/link-pairs.ts";
import { WARM_ROLE } from "../../../drivers/ovs/pod-ports/port-pool.ts";
import type { SwitchPort } from "../../../drivers/ovs/types.ts";
import { type Attachment, type AttachmentFacts, attachmentMarks, POD_ROLE } from "../../machine/attachment.ts";
import { aliasesOf } from "../../machine/link-alias.ts";
import { attachmentsOf } from "../../machine/testing.ts";
import { type AttachmentInput, inBoth, isDamaged, isInAgreement, planAttachments } from "./attachment-plan.ts";

const [P1, P2] = ["cvh0000000001", "cvh0000000002"] as const;

function facts(containerId: string, epoch = `of-${containerId}`): AttachmentFacts {
  const names = { containerId, ifName: "eth0", configName: "contiv", netnsPath: `/run/netns/${containerId}` };
  return { endpointKey: `${containerId}:eth0`, epoch, role: POD_ROLE, ...names };
}

/** A pair as `readPairs` sees it; the far end's alias says whose it is. */
interface FakePair {
  readonly port: string;
  readonly of?: AttachmentFacts;
  readonly without?: "near" | "far";
  readonly nearName?: string;
}

function link(change: Partial<LinkRow>): LinkRow {
  return { name: "", kind: "veth", alias: undefined, up: true, mtuBytes: 1_500, ...change } as LinkRow;
}

function pairsOf(...fakes: readonly FakePair[]) {
  const near: LinkRow[] = [];
  const far: LinkRow[] = [];
  for (const [index, { port, of, without, nearName = port }] of fakes.entries()) {
    const [nearIndex, farIndex] = [10 + index, 20 + index];
    const alias = of && aliasesOf(of);
    const nearEnd = link({
      name: nearName,
      ifindex: nearIndex,
      peerIfindex: farIndex,
      alias: alias?.near ?? "contiv-ts",
    });
    const farEnd = link({
      ...{ name: `cvp${port.slice(3)}`, ifindex: farIndex, peerIfindex: nearIndex, alias: alias?.far },
    });
    if (without !== "near") near.push(nearEnd);
    if (without !== "far") far.push(farEnd);
  }
  return pairUp(near, far);
}

function port(name: string, externalIds: Record<string, string>): [string, SwitchPort] {
  return [name, { name, ofport: 7, externalIds, error: undefined, policing: undefined }];
}

function podPort(name: string, of: AttachmentFacts): [string, SwitchPort] {
  return port(name, attachmentMarks(of));
}

function look(input: Partial<AttachmentInput>) {
  const { ports = new Map(), pairs = new Map(), known = attachmentsOf(ports) } = input;
  const never = { isClosing: () => false, isPending: () => false, isEnded: () => false, hasLooked: true };
  return planAttachments({ ...{ ports, pairs, known, isFarInPanel: true, ...never, isLeased: () => true }, ...input });
}

function plan(input: Partial<AttachmentInput>) {
  const isFound = look(input);
  const names = (attachments: readonly Attachment[]) => attachments.map((each) => `${each.portName} ${each.epoch}`);
  const { unplugged, broken, unlabelled, doubtful, surplus } = isFound;
  const told = { unplugged: names(unplugged), broken: names(broken), unlabelled: names(unlabelled) };
  const all = { ...told, doubtful: names(doubtful), surplus };
  return Object.fromEntries(Object.entries(all).filter(([, found]) => found.length > 0));
}

const a = facts("a");
const known = new Map([[a.endpointKey, { ...a, portName: P1, ofport: undefined }]]);

describe("what switch and kernel show of pods' ports", () => {
  it("has what is left of an ended lease: it goes", () => {
    const isEnded = ({ epoch }: AttachmentFacts) => epoch === "of-a";
    const b = facts("b");
    const pairs = pairsOf({ port: P1, of: a }, { port: P2, of: b });
    const ports = new Map([podPort(P1, a), podPort(P2, b)]);
    const alive = new Map([[b.endpointKey, { ...b, portName: P2, ofport: 7 }]]);
    expect(plan({ ports, pairs, known: alive, isEnded })).toEqual({ surplus: [P1] });
  });

  it("agrees", () => {
    const ports = new Map([podPort(P1, a), port(P2, { "contiv-role": WARM_ROLE })]);
    expect(plan({ ports, pairs: pairsOf({ port: P1, of: a }, { port: P2 }) })).toEqual({});
  });

  it.each<[string, ReadonlyMap<string, Attachment>]>([
    ["this process remembers", known],
    ["only the kernel remembers", new Map()],
  ])("lacks a port in the switch that %s: plugged in again", (_, remembered) => {
    expect(plan({ known: remembered, pairs: pairsOf({ port: P1, of: a }) })).toEqual({ unplugged: [`${P1} of-a`] });
    expect(plan({ known: remembered, pairs: pairsOf({ port: P1, of: a, nearName: "else" }) })).toEqual({
      unplugged: [`${P1} of-a`],
    });
  });

  it("lacks marks in the switch, all or some of them: marked again", () => {
    const { "contiv-netns": _, ...rest } = attachmentMarks(a);
    for (const marks of [{}, rest, { "contiv-role": WARM_ROLE }]) {
      const ports = new Map([port(P1, marks)]);
      expect(plan({ ports, known, pairs: pairsOf({ port: P1, of: a }) })).toEqual({ unplugged: [`${P1} of-a`] });
    }
  });

  it("lacks facts in the kernel, as after the release before: written there", () => {
    expect(plan({ ports: new Map([podPort(P1, a)]), pairs: pairsOf({ port: P1 }) })).toEqual({
      unlabelled: [`${P1} of-a`],
    });
  });

  it("names two leases: the one that lives is right", () => {
    const old = facts("b");
    const ports = new Map([podPort(P1, old)]);
    const isLeased = ({ epoch }: AttachmentFacts) => epoch === "of-a";
    const pairs = pairsOf({ port: P1, of: a });
    expect(plan({ ports, pairs, isLeased })).toEqual({ unplugged: [`${P1} of-a`] });
    expect(plan({ ports, pairs, isLeased: (each) => !isLeased(each) })).toEqual({ unlabelled: [`${P1} of-b`] });
  });

  it.each(["near", "far"] as const)("lacks the %s end: the pod has lost its interface", (without) => {
    const ports = new Map([podPort(P1, a)]);
    expect(plan({ ports, pairs: pairsOf({ port: P1, of: a, without }) })).toEqual({ broken: [`${P1} of-a`] });
    expect(plan({ ports })).toEqual({ broken: [`${P1} of-a`] });
  });

  it("needs no far end in the panel where it is in the pod", () => {
    const pairs = pairsOf({ port: P1, of: a, without: "far" });
    const inPod = new Map([...pairs].map(([name, pair]) => [name, withFactsOnNear(pair, a)] as const));
    expect(plan({ isFarInPanel: false, ports: new Map([podPort(P1, a)]), pairs: inPod })).toEqual({});
    expect(plan({ isFarInPanel: false, pairs: inPod })).toEqual({ unplugged: [`${P1} of-a`] });
  });

  it("is free in a database that is older than the links: the pod's interface tells", () => {
    const ports = new Map([port(P1, { "contiv-role": WARM_ROLE })]);
    expect(plan({ ports, pairs: pairsOf({ port: P1, of: a }) })).toEqual({ doubtful: [`${P1} of-a`] });
  });

  it("has a second pair for one endpoint: that goes", () => {
    const ports = new Map([podPort(P2, a)]);
    expect(plan({ ports, pairs: pairsOf({ port: P1, of: a }, { port: P2, of: a }) })).toEqual({ surplus: [P1] });
  });

  it("is nobody's business while the port is being closed", () => {
    const isClosing = (name: string) => name === P1;
    expect(plan({ isClosing, pairs: pairsOf({ port: P1, of: a }) })).toEqual({});
  });

  it("is nobody's business while an ADD of the endpoint is under way", () => {
    const isPending = (key: string) => key === a.endpointKey;
    expect(plan({ ports: new Map([podPort(P1, a)]), pairs: pairsOf({ port: P1 }) })).toEqual({
      unlabelled: [`${P1} of-a`],
    });
    expect(plan({ isPending, ports: new Map([podPort(P1, a)]), pairs: pairsOf({ port: P1 }) })).toEqual({});
    expect(plan({ isPending, pairs: pairsOf({ port: P1, of: a }) })).toEqual({});
  });
});

describe("of two living leases", () => {
  const b = facts("b");
  const pairs = pairsOf({ port: P1, of: a }, { port: P2, of: b });
  const exchanged = new Map([podPort(P1, b), podPort(P2, a)]);
  const overwritten = new Map([podPort(P1, b), podPort(P2, b)]);

  it("the kernel's is right at the start, when the database is all that is known", () => {
    const right = { unplugged: [`${P1} of-a`, `${P2} of-b`] };
    expect(plan({ ports: exchanged, pairs, hasLooked: false })).toEqual(right);
    expect(plan({ ports: overwritten, pairs, hasLooked: false }).unplugged).toContain(`${P1} of-a`);
    expect(plan({ ports: overwritten, pairs, hasLooked: false }).surplus).toBeUndefined();
  });

  it("that which this process has seen is right later, whatever database and aliases say", () => {
    const seen = new Map(
      [a, b].map((each, index) => [each.endpointKey, { ...each, portName: [P1, P2][index] ?? "", ofport: 7 }]),
    );
    expect(plan({ ports: exchanged, pairs, known: seen })).toEqual({ unplugged: [`${P1} of-a`, `${P2} of-b`] });
    expect(plan({ ports: overwritten, pairs, known: seen })).toEqual({ unplugged: [`${P1} of-a`] });
    const ports = new Map([podPort(P1, a), podPort(P2, b)]);
    const lying = pairsOf({ port: P1, of: b }, { port: P2, of: b });
    expect(plan({ ports, pairs: lying, known: seen })).toEqual({ unlabelled: [`${P1} of-a`] });
  });
});

describe("two looks", () => {
  const free = new Map([port(P1, { "contiv-role": WARM_ROLE })]);
  const b = facts("b");

  it.each<[string, Partial<AttachmentInput>, Partial<AttachmentInput>]>([
    [
      "a port that became free after the links had been listed",
      { ports: free, pairs: pairsOf({ port: P1, of: a }) },
      { ports: free, pairs: pairsOf({ port: P1 }) },
    ],
    [
      "a port that passed to another pod, whose lease is not known yet",
      {
        ports: new Map([podPort(P1, b)]),
        pairs: pairsOf({ port: P1, of: a }),
        isLeased: (each) => each.epoch === a.epoch,
      },
      {
        ports: new Map([podPort(P1, b)]),
        pairs: pairsOf({ port: P1, of: b }),
        isLeased: (each) => each.epoch === a.epoch,
      },
    ],
    [
      "a port that was made after the links had been listed",
      { ports: new Map([podPort(P1, a)]) },
      { ports: new Map([podPort(P1, a)]), pairs: pairsOf({ port: P1, of: a }) },
    ],
    [
      "one end listed before the pair was made, the other one after",
      { pairs: pairsOf({ port: P1, of: a, without: "near" }), known },
      { ports: new Map([podPort(P1, a)]), pairs: pairsOf({ port: P1, of: a }) },
    ],
    [
      "another lease of the same port",
      { ports: free, pairs: pairsOf({ port: P1, of: a }) },
      { ports: free, pairs: pairsOf({ port: P1, of: facts("a", "later") }) },
    ],
  ])("do not act upon %s", (_, first, second) => {
    const found = look(first);
    expect(isInAgreement(found)).toBe(false);
    expect(isInAgreement(inBoth(found, look(second)))).toBe(true);
  });

  it.each<[string, Partial<AttachmentInput>]>([
    ["unplugged", { pairs: pairsOf({ port: P1, of: a }), known }],
    ["broken", { ports: new Map([podPort(P1, a)]) }],
    ["unlabelled", { ports: new Map([podPort(P1, a)]), pairs: pairsOf({ port: P1 }) }],
    ["doubtful", { ports: free, pairs: pairsOf({ port: P1, of: a }) }],
    ["surplus", { ports: new Map([podPort(P2, a)]), pairs: pairsOf({ port: P1, of: a }, { port: P2, of: a }) }],
  ])("act upon what both find %s", (kind, input) => {
    const both = inBoth(look(input), look(input));
    expect(both[kind as keyof typeof both]).toHaveLength(1);
    expect(both).toEqual(look(input));
  });
});

function withFactsOnNear<P extends { readonly near: LinkRow | undefined }>(pair: P, of: AttachmentFacts): P {
  return { ...pair, near: pair.near && { ...pair.near, alias: aliasesOf(of)?.far } };
}

describe("a pair", () => {
  it.each<[string, Partial<LinkRow>, boolean]>([
    ["as we made it", {}, false],
    ["down", { up: false }, true],
    ["renamed", { name: "else" }, true],
    ["too small", { mtuBytes: 1_400 }, true],
    ["larger", { mtuBytes: 9_000 }, false],
    ["in a bridge", { masterIfindex: 9, masterKind: "bridge" }, true],
    ["in a VRF", { masterIfindex: 9, masterKind: "vrf" }, true],
    ["in the kernel's datapath", { masterIfindex: 9, masterKind: "openvswitch" }, false],
    ["taken out of a bridge", { masterIfindex: 0 }, false],
  ])("%s", (_, change, damaged) => {
    const pair = pairsOf({ port: P1, of: a }).get(P1);
    if (pair === undefined) throw new Error("no pair");
    const near = pair.near && { ...pair.near, ...change };
    expect(isDamaged({ ...pair, near }, 1_500)).toBe(damaged);
  });

  it.each(["bridge", "vrf", "openvswitch"])("with its far end in a master of kind %s", (masterKind) => {
    const pair = pairsOf({ port: P1, of: a }).get(P1);
    const far = pair?.far && { ...pair.far, masterIfindex: 9, masterKind };
    expect(isDamaged({ portName: P1, near: pair?.near, far }, 1_500)).toBe(true);
  });

  it("whose far end is in the pod, with its near end in a bridge", () => {
    const pair = pairsOf({ port: P1, of: a, without: "far" }).get(P1);
    const near = pair?.near && { ...pair.near, masterIfindex: 9, masterKind: "bridge" };
    expect(isDamaged({ portName: P1, near, far: undefined }, 1_500)).toBe(true);
  });
});
