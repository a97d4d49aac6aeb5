import { describe, expect, it } from "vitest";
import type { LeftOverUplink, Uplink } from "../../drivers/ovs/types.ts";
import { NetError } from "../../state/errors.ts";
import { UplinkLog } from "./uplink-log.ts";

const uplink = (warning?: string): Uplink => ({
  ...{ alias: "default", nic: "eth1", bridge: "cu-eth1", patchOfport: 1, mtuBytes: 1_500, addresses: [] },
  warning,
});

describe("the log of uplinks", () => {
  it("has one line when something begins, one when it changes, one when it is over", () => {
    const lines: string[] = [];
    const write = (level: string) => (fields: { reason?: string }, text: string) =>
      lines.push(`${level} ${fields.reason ?? ""}: ${text}`);
    let uplinks = new Map([["default", uplink()]]);
    let failures = new Map<string, NetError>();
    let leftOvers: readonly LeftOverUplink[] = [];
    const driver = { uplinks: () => uplinks, uplinkFailures: () => failures, leftOverUplinks: () => leftOvers };
    const log = new UplinkLog(driver, { warn: write("warn"), info: write("info") } as never);
    const look = () => {
      log.look();
      log.look();
      return lines.splice(0);
    };
    expect(look()).toEqual([]);
    uplinks = new Map([["default", uplink("no carrier")]]);
    expect(look()).toEqual(["warn no carrier: An uplink does not work as it should"]);
    uplinks = new Map();
    failures = new Map([["default", new NetError("NOT_FOUND", "no such NIC")]]);
    expect(look()).toEqual(["warn no such NIC: An uplink does not work as it should"]);
    uplinks = new Map([["default", uplink()]]);
    failures = new Map();
    expect(look()).toEqual(["info : The uplink works again"]);
    leftOvers = [{ nic: "eth5", bridge: "cu-eth5", warning: "left over" }];
    expect(look()).toEqual(["warn left over: An uplink of an earlier configuration is still there"]);
    leftOvers = [];
    expect(look()).toEqual(["info : The uplink of an earlier configuration is gone"]);
  });
});
