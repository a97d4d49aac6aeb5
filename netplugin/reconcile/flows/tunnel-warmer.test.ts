import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { PacketOut } from "../../../drivers/ovs/openflow/packet.ts";
import { machineOf, worldView } from "../../../test/fakes/world.ts";
import { createTunnelWarmer } from "./tunnel-warmer.ts";

const ALONE = `
  mode bridge proxy
  node n1 192.0.2.1
`;
const WITH_PEERS = `${ALONE}
  node n2 192.0.2.2
  node n3 192.0.2.3
`;

function node(tunnelOfport: number | undefined = 5) {
  const state = { world: ALONE, sent: [] as string[], errors: [] as string[], failure: undefined as Error | undefined };
  const warmer = createTunnelWarmer({
    view: () => worldView(state.world),
    machine: () => ({ ...machineOf("n1", {}), vtepIp: "192.0.2.1", tunnelOfport }),
    send: async (packet) => {
      if (state.failure !== undefined) throw state.failure;
      state.sent.push(destinationOf(packet));
    },
    signal: new AbortController().signal,
    report: (error) => state.errors.push(error.message),
  });
  return { state, warmer };
}

function destinationOf({ actions }: PacketOut): string {
  for (const action of actions) {
    if (action.kind === "setField" && action.field === "tunDst") return String(action.value);
  }
  return "none";
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe("tunnel warmer", () => {
  it("leaves peers alone that have no tunnel address", async () => {
    const { state, warmer } = node();
    state.world = `${WITH_PEERS}\n node n4`;
    warmer.look();
    await vi.advanceTimersByTimeAsync(1_000);
    expect([...new Set(state.sent)].sort()).toEqual(["192.0.2.2", "192.0.2.3"]);
    expect(state.errors).toEqual([]);
  });

  it("probes each new peer three times, never itself, and then leaves it alone", async () => {
    const { state, warmer } = node();
    warmer.look();
    state.world = WITH_PEERS;
    warmer.look();
    await vi.advanceTimersByTimeAsync(1_000);
    warmer.look();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(state.sent.sort()).toEqual(["192.0.2.2", "192.0.2.2", "192.0.2.2", "192.0.2.3", "192.0.2.3", "192.0.2.3"]);
  });

  it("probes again after the switch has started anew, and every five minutes", async () => {
    const { state, warmer } = node();
    state.world = WITH_PEERS;
    warmer.look();
    await vi.advanceTimersByTimeAsync(1_000);
    warmer.forget();
    warmer.look();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(state.sent).toHaveLength(12);
    await vi.advanceTimersByTimeAsync(5 * 60_000);
    expect(state.sent).toHaveLength(18);
  });

  it("reports what cannot be sent and goes on", async () => {
    const { state, warmer } = node();
    state.world = WITH_PEERS;
    state.failure = new Error("no switch");
    warmer.look();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(state.errors).toHaveLength(6);
  });
});
