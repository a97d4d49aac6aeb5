import { describe, expect, it } from "vitest";
import type { Flow } from "./flow.ts";
import { formatFlow, formatMatch, formatMod } from "./text.ts";

describe("text", () => {
  it("of a flow is what ovs-ofctl takes", () => {
    const flow: Flow = {
      table: 3,
      priority: 7,
      cookie: 0x12n,
      match: { ethType: 0x0800, tcpDst: { value: 0x50, mask: 0xf0 }, vlanVid: 5, ctState: "+trk-new", inPort: "local" },
      actions: [{ kind: "ct", commit: true, nat: { direction: "src", addressMin: "fd00::1", portMin: 1 } }],
      idleTimeoutS: 5,
      flags: 1,
      meter: 2,
      goto: 9,
    };
    expect(formatFlow(flow)).toBe(
      "cookie=0x12,table=3,idle_timeout=5,send_flow_rem,priority=7,tcp,in_port=LOCAL,dl_vlan=5,tcp_dst=80/0xf0,ct_state=+trk-new " +
        "actions=meter:2,ct(commit,nat(src=[fd00::1]:1)),goto_table:9",
    );
    expect(formatFlow({ table: 0, priority: 0, cookie: 0n, match: {}, actions: [] })).toBe(
      "cookie=0x0,table=0,priority=0 actions=drop",
    );
  });

  it("of a match names what it presupposes", () => {
    expect(formatMatch({ ethType: 0x86dd, udpDst: 53 })).toBe("udp6,udp_dst=53");
    expect(formatMatch({ arpTpa: "10.0.0.1" })).toBe("arp,arp_tpa=10.0.0.1");
    expect(formatMatch({ unknown: "0102" })).toBe("unknown(0102)");
  });

  it("of a modification is short", () => {
    expect(formatMod({ kind: "flow-delete", filter: {} })).toBe("flow-delete everything");
    expect(formatMod({ kind: "flow-delete", filter: { table: 1, cookie: 5n } })).toBe(
      "flow-delete table=1,cookie=0x5/-1",
    );
    expect(formatMod({ kind: "group-delete", id: "all" })).toBe("group-delete group_id=all");
    expect(formatMod({ kind: "meter-delete", id: 4 })).toBe("meter-delete meter=4");
  });
});
