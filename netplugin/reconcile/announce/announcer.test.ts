import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { PacketOut } from "../../../drivers/ovs/openflow/packet.ts";
import { machineOf, worldView } from "../../../test/fakes/world.ts";
import type { Attachment } from "../../machine/attachment.ts";
import { createAnnouncer } from "./announcer.ts";

const WORLD = `
  mode bridge proxy
  node n1 192.0.2.1
  network t1:red vlan 100 10.1.1.0/24
  endpoint a t1:red n1 10.1.1.1
  endpoint b t1:red n1 10.1.1.2
`;

function attachment(endpointKey: string, epoch = "e1"): [string, Attachment] {
  const container = { containerId: endpointKey, ifName: "eth0", configName: "contiv", netnsPath: "" };
  return [endpointKey, { endpointKey, epoch, role: "pod", portName: `p-${endpointKey}`, ofport: 10, ...container }];
}

/** A node whose attachments and installed flows the test sets. */
function node(attached: readonly string[]) {
  const state = {
    world: WORLD,
    attachments: new Map(attached.map((key) => attachment(key))),
    installed: new Set<string>(),
    sent: [] as PacketOut[],
    outcomes: [] as string[],
    failure: undefined as Error | undefined,
  };
  const ending = new AbortController();
  const announcer = createAnnouncer({
    view: () => worldView(state.world),
    machine: () => machineOf("n1", { a: 10, b: 11 }),
    attachments: () => state.attachments,
    isInstalled: (owner) => state.installed.has(owner),
    generation: 1,
    send: async (packet) => {
      if (state.failure !== undefined) throw state.failure;
      state.sent.push(packet);
    },
    signal: ending.signal,
    onOutcome: (outcome) => state.outcomes.push(outcome),
    report: () => {},
  });
  return { state, announcer, ending };
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe("announcer", () => {
  it("announces a new attachment once, in three packets, when its flows are installed", async () => {
    const { state, announcer } = node([]);
    state.attachments = new Map([attachment("a")]);
    announcer.look();
    await vi.advanceTimersByTimeAsync(2_000);
    expect(state.sent).toHaveLength(0);
    state.installed.add("endpoint/a");
    announcer.look();
    announcer.look();
    await vi.advanceTimersByTimeAsync(150);
    expect(state.sent).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(100);
    expect(state.sent).toHaveLength(2);
    announcer.look();
    await vi.advanceTimersByTimeAsync(5_000);
    expect(state.sent).toHaveLength(3);
  });

  it("is silent about what was attached before it began", async () => {
    const { state, announcer } = node(["a"]);
    state.installed = new Set(["endpoint/a", "endpoint/b"]);
    announcer.look();
    state.attachments = new Map([attachment("a"), attachment("b")]);
    announcer.look();
    await vi.advanceTimersByTimeAsync(2_000);
    expect(state.sent.map(({ inPort }) => inPort)).toEqual([11, 11, 11]);
  });

  it("announces another lease of the same interface", async () => {
    const { state, announcer } = node(["a"]);
    state.installed.add("endpoint/a");
    state.attachments = new Map([attachment("a", "e2")]);
    state.world = WORLD.replace("10.1.1.1", "10.1.1.9 epoch e2");
    announcer.look();
    await vi.advanceTimersByTimeAsync(2_000);
    expect(state.sent).toHaveLength(3);
  });

  it("ends a burst when the endpoint has gone", async () => {
    const { state, announcer } = node([]);
    state.attachments = new Map([attachment("a")]);
    state.installed.add("endpoint/a");
    announcer.look();
    await vi.advanceTimersByTimeAsync(10);
    state.world = WORLD.replace(/.*endpoint a.*/, "");
    await vi.advanceTimersByTimeAsync(2_000);
    expect(state.sent).toHaveLength(1);
  });

  it("counts failures and goes on", async () => {
    const { state, announcer } = node([]);
    state.attachments = new Map([attachment("a")]);
    state.installed.add("endpoint/a");
    state.failure = new Error("no connection");
    announcer.look();
    await vi.advanceTimersByTimeAsync(100);
    state.failure = undefined;
    await vi.advanceTimersByTimeAsync(2_000);
    expect(state.outcomes).toEqual(["failed", "sent", "sent"]);
  });

  it("stops with its signal", async () => {
    const { state, announcer, ending } = node([]);
    state.attachments = new Map([attachment("a")]);
    state.installed.add("endpoint/a");
    announcer.look();
    await vi.advanceTimersByTimeAsync(10);
    ending.abort();
    await vi.advanceTimersByTimeAsync(2_000);
    expect(state.sent).toHaveLength(1);
  });
});
