import { setTimeout as sleep } from "node:timers/promises";
import pino from "pino";
import { afterEach, describe, expect, it } from "vitest";
import type { LimitChange } from "../../../drivers/driver.ts";
import type { Meter } from "../../../drivers/ovs/openflow/meter.ts";
import { BARE_PORT, isBare, type PortState, samePortState } from "../../../drivers/ovs/pod-ports/port-state.ts";
import type { StatedLimits } from "../../../state/bandwidth/limits.ts";
import { NetError } from "../../../state/errors.ts";
import { worldMessages } from "../../../test/fakes/world.ts";
import { limitMeterOf } from "../../desired/limits/attached-limits.ts";
import { type Attachment, POD_ROLE } from "../../machine/attachment.ts";
import type { LimitMeans } from "../../machine/limit-means.ts";
import { applyBatch } from "../../view/apply.ts";
import { objectId, parseMessage } from "../../view/messages.ts";
import { type Changes, emptyView, type NodeView, type ObjectRef } from "../../view/node-view.ts";
import { startLimitKeeper } from "./limit-keeper.ts";

const WORLD = `
  node n1 192.0.2.1
  network t1:net vxlan 100 10.1.1.0/24
  endpoint a t1:net n1 10.1.1.1 group 7
  endpoint b t1:net n1 10.1.1.2
`;
const MEANS: LimitMeans = {
  ...{ datapathType: "netdev", ingressPolicing: false, tbf: true, ifbRedirect: true, meters: true },
  ...{ podEnd: "macvlan", frameBytes: 1_518 },
};
const SHAPED = { bandwidth: "8m", egressMode: "shape" };

const ending = new Set<AbortController>();
afterEach(() => {
  for (const controller of ending) controller.abort();
  ending.clear();
});

interface Change {
  readonly profile?: object | undefined;
  readonly limits?: StatedLimits;
  /** Of the tenant, for what its pods send. */
  readonly ceiling?: string;
}

/** Group g7 with that netprofile (or none), and endpoint b with those limits of its own. */
function viewOf({ profile, limits, ceiling }: Change, revision: number): NodeView {
  const put = (kind: string, object: { key: string }) =>
    parseMessage({ type: "put", kind, key: object.key, modRevision: String(revision), object });
  const group = { groupName: "g7", tenantName: "t1", networkName: "net", netProfile: profile === undefined ? "" : "p" };
  const messages = worldMessages(WORLD).map((message) => {
    const isB = message.type === "put" && message.kind === "endpoint" && message.key === "b";
    return isB && limits !== undefined ? { ...message, record: { ...message.record, limits } } : message;
  });
  return applyBatch(emptyView(), [
    ...(messages as typeof messages),
    put("tenant", { key: "t1", tenantId: 1, config: { tenantName: "t1", egressCeiling: ceiling } } as { key: string }),
    put("endpointGroup", { key: "t1:g7", groupId: 7, config: group } as { key: string }),
    ...(profile === undefined
      ? []
      : [
          put("netprofile", { key: "t1:p", config: { profileName: "p", tenantName: "t1", ...profile } } as {
            key: string;
          }),
        ]),
    { type: "synced" as const, revision: 1_000n },
  ]).view;
}

const attachment = (key: string, portName: string, ofport: number): Attachment => ({
  ...{ endpointKey: key, epoch: "e1", role: POD_ROLE, portName, ofport },
  ...{ containerId: key, ifName: "eth0", configName: "contiv", netnsPath: "" },
});

/** Something about profile p, and these endpoints. */
function changesOf(endpointKeys: readonly string[]): Changes {
  const refs: ObjectRef[] = [
    { kind: "netprofile", key: "t1:p" },
    ...endpointKeys.map((key) => ({ kind: "endpoint", key }) as const),
  ];
  return new Map(refs.map((ref) => [objectId(ref.kind, ref.key), ref]));
}

/** A keeper over ports that are only remembered; `broken` ports refuse. */
function world(first: Change = {}, means: LimitMeans = MEANS) {
  let view = viewOf(first, 1);
  let attachments = new Map(
    [attachment("a", "cvh1", 11), attachment("b", "cvh2", 12)].map((each) => [each.endpointKey, each]),
  );
  const ports = new Map<string, PortState>(["cvh1", "cvh2"].map((name) => [name, BARE_PORT]));
  const meters = new Map<number, Meter>();
  const put: number[] = [];
  const broken = new Set<string>();
  const counts = { changes: 0, repairs: 0 };
  const controller = new AbortController();
  ending.add(controller);
  const keeper = startLimitKeeper({
    limiter: {
      read: async (wanted) => new Map([...wanted.keys()].map((name) => [name, ports.get(name) ?? BARE_PORT])),
      change: async ({ key: portName, after }: LimitChange<PortState>) => {
        if (broken.has(portName)) throw new NetError("REJECTED", "the kernel says no");
        counts.changes++;
        ports.set(portName, after);
      },
      ...{ bare: BARE_PORT, isSame: samePortState, watched: [] },
      isInDatabase: ({ policing }) => policing !== undefined,
      isForeign: ({ foreign }) => foreign !== undefined,
      spare: () =>
        [...ports.keys()].filter((name) => ![...attachments.values()].some(({ portName }) => portName === name)),
      placesOf: (ifindex) => [`cvh${ifindex}`],
      note: async () => {},
      forget: async () => {},
    },
    meters: {
      put: async (wanted) => {
        expect(new Set(wanted.map(({ id }) => id)).size).toBe(wanted.length);
        for (const meter of wanted) meters.set(meter.id, meter);
        put.push(...wanted.map(({ id }) => id));
      },
    },
    view: () => view,
    attachments: () => attachments,
    means: () => means,
    isConnected: () => true,
    onRepair: () => counts.repairs++,
    log: pino({ level: "silent" }),
    signal: controller.signal,
  });
  const settled = () => keeper.loop.done(AbortSignal.timeout(5_000));
  return {
    ...{ keeper, ports, meters, put, broken, counts, settled },
    wantedCeiling: (id: number) => limitMeterOf({ view, means, attachments }, id),
    change: async (change: Change, endpointKeys: readonly string[] = ["b"]) => {
      view = viewOf(change, 2);
      keeper.onView(changesOf(endpointKeys));
      await settled();
    },
    attach: (...list: readonly Attachment[]) => {
      attachments = new Map(list.map((each) => [each.endpointKey, each]));
      keeper.onPorts();
    },
  };
}

const rateOf = (state: PortState | undefined) => [state?.near?.rateBytesPerSecond, state?.far?.rateBytesPerSecond];

describe("limits of a node's ports", () => {
  it("follow the netprofile: set, changed, detached", async () => {
    const { ports, settled, change, counts } = world({ profile: SHAPED });
    await settled();
    expect(rateOf(ports.get("cvh1"))).toEqual([1e6, 1e6]);
    expect(ports.get("cvh2")).toBe(BARE_PORT);
    await change({ profile: { ...SHAPED, bandwidth: "16m" } });
    expect(rateOf(ports.get("cvh1"))).toEqual([2e6, 2e6]);
    await change({});
    expect(isBare(ports.get("cvh1") ?? BARE_PORT)).toBe(true);
    expect(counts).toEqual({ changes: 3, repairs: 0 });
  });

  it("change where the mechanism does", async () => {
    const { ports, meters, settled, change } = world({ profile: SHAPED });
    await settled();
    await change({ profile: { bandwidth: "8m" } });
    expect(rateOf(ports.get("cvh1"))).toEqual([1e6, undefined]);
    expect(meters.get(11)?.bands).toEqual([{ kind: "drop", rate: 8_000, burst: 8_000 }]);
    expect(meters.size).toBe(1);
  });

  it("are an endpoint's own before its group's", async () => {
    const { ports, settled } = world({ limits: { annotation: { podIngress: { rateBitPerSecond: 8e3 } } } });
    await settled();
    expect(rateOf(ports.get("cvh2"))).toEqual([1e3, undefined]);
  });

  it("come back when somebody has taken them away, and that is counted", async () => {
    const { ports, settled, keeper, counts } = world({ profile: SHAPED });
    await settled();
    ports.set("cvh1", BARE_PORT);
    keeper.onLinks(new Set([1]), new Set());
    await settled();
    expect(rateOf(ports.get("cvh1"))).toEqual([1e6, 1e6]);
    expect(counts.repairs).toBe(1);
  });

  it("are nobody else's: what is set on a port without limits goes, and that is counted", async () => {
    const { ports, settled, keeper, counts } = world({ profile: SHAPED });
    await settled();
    ports.set("cvh2", { ...BARE_PORT, foreign: { far: "tbf" } });
    keeper.onLinks(new Set([2]), new Set()); // an ADD or DEL
    await settled();
    expect(counts.repairs).toBe(0);
    keeper.onLinks(new Set([2]), new Set([2]));
    await settled();
    expect(ports.get("cvh2")).toEqual(BARE_PORT);
    expect(counts.repairs).toBe(1);
    ports.set("spare", { ...BARE_PORT, foreign: { near: "netem" } });
    keeper.onLinks(new Set([2]), new Set([2]));
    await settled();
    expect(ports.get("spare")).toEqual(BARE_PORT);
    expect(counts.repairs).toBe(2);
  });

  it("are found on the port after a restart, and taken off where nobody wants them", async () => {
    const first = world({ profile: SHAPED });
    await first.settled();
    const limited = first.ports.get("cvh1") ?? BARE_PORT;
    const second = world();
    second.ports.set("cvh1", limited);
    second.ports.set("spare", limited);
    await second.settled();
    expect([...second.ports.values()].every(isBare)).toBe(true);
  });

  it("come with the meters of the ceilings over them: one for all, changed in place", async () => {
    const { meters, keeper, settled, change, wantedCeiling } = world({ ceiling: "8m" });
    await settled();
    const [[id = 0] = []] = meters;
    expect([...meters.values()].map(({ bands }) => bands)).toEqual([[{ kind: "drop", rate: 8_000, burst: 8_000 }]]);
    expect(keeper.statuses().get("b")?.plan.ceilings).toHaveLength(1);
    await change({ ceiling: "9m" });
    expect(meters.get(id)?.bands[0]?.rate).toBe(9_000);
    expect(wantedCeiling(id)).toEqual(meters.get(id));
    await change({});
    expect(wantedCeiling(id)).toBeUndefined();
    expect(keeper.statuses().size).toBe(0);
  });

  it("refuse a strict pod under a ceiling that the node cannot keep", async () => {
    const profile = { ...SHAPED, strict: true };
    const { keeper } = world({ profile, ceiling: "8m" }, { ...MEANS, meters: false });
    const answer = keeper.enforced("a", AbortSignal.timeout(5_000));
    await expect(answer).rejects.toThrow(/no meters, so the egress ceiling of tenant t1 is not kept/);
    await keeper.enforced("b", AbortSignal.timeout(5_000));
    expect(keeper.statuses().get("b")?.plan.shortfalls).toHaveLength(1);
  });

  it("do not stay on a port for the next pod", async () => {
    const { ports, settled, attach, keeper } = world({ profile: SHAPED });
    await settled();
    attach(attachment("b", "cvh1", 11));
    await keeper.enforced("b", AbortSignal.timeout(5_000));
    expect(isBare(ports.get("cvh1") ?? BARE_PORT)).toBe(true);
  });

  it("are taken off a port that waits for another pod", async () => {
    const { ports, attach, settled } = world({ profile: SHAPED });
    await settled();
    attach(attachment("b", "cvh2", 12));
    await settled();
    expect(isBare(ports.get("cvh1") ?? BARE_PORT)).toBe(true);
  });

  it("of a port that refuses are reported, tried again, and do not keep others from theirs", async () => {
    const limits = { rest: { podIngress: { rateBitPerSecond: 8e3 } } };
    const { ports, broken, keeper, settled } = world({ profile: SHAPED, limits });
    broken.add("cvh1");
    await settled();
    expect(keeper.statuses().get("a")?.failure).toBe("the kernel says no");
    expect(rateOf(ports.get("cvh2"))).toEqual([1e3, undefined]);
    await keeper.enforced("a", AbortSignal.timeout(5_000)); // a warning, not an error: the profile is not strict
    broken.clear();
    await sleep(2_200);
    expect(keeper.statuses().get("a")?.failure).toBeUndefined();
    expect(rateOf(ports.get("cvh1"))).toEqual([1e6, 1e6]);
  });

  it("of a port that refuses are tried again as soon as anything changes that limits follow from", async () => {
    const { broken, keeper, settled, change, ports } = world({ profile: SHAPED });
    broken.add("cvh1");
    await settled();
    broken.clear();
    await change({ profile: SHAPED }); // all the same; the regular attempt comes after 2 s
    expect(keeper.statuses().get("a")?.failure).toBeUndefined();
    expect(rateOf(ports.get("cvh1"))).toEqual([1e6, 1e6]);
  });

  it("of those whom a change does not touch are left alone", async () => {
    const limits = { rest: { podEgress: { rateBitPerSecond: 8e3 } } };
    const { change, settled, put } = world({ profile: { bandwidth: "8m" }, limits });
    await settled();
    put.length = 0;
    await change({ profile: { bandwidth: "16m" }, limits }, []);
    expect(put).toEqual([11]);
    await change({ profile: { bandwidth: "16m" }, limits }, []);
    expect(put).toEqual([11]);
  });

  it("of a strict profile are in force or the pod is refused", async () => {
    const strict = { ...SHAPED, strict: true };
    const { broken, keeper, settled } = world({ profile: strict });
    await settled();
    await keeper.enforced("a", AbortSignal.timeout(5_000));
    broken.add("cvh1");
    const poor = world({ profile: strict }, { ...MEANS, tbf: false });
    await expect(poor.keeper.enforced("a", AbortSignal.timeout(5_000))).rejects.toMatchObject({ code: "UNSUPPORTED" });
    const refusing = world({ profile: strict });
    refusing.broken.add("cvh1");
    await expect(refusing.keeper.enforced("a", AbortSignal.timeout(5_000))).rejects.toMatchObject({ code: "REJECTED" });
  });
});
