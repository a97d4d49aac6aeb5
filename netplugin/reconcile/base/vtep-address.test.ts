import { describe, expect, it } from "vitest";
import type { Uplink } from "../../../drivers/ovs/types.ts";
import { NetError } from "../../../state/errors.ts";
import { addressTowards } from "../../node-client/address-towards.ts";
import { VtepAddress } from "./vtep-address.ts";

const LOOPBACK = ["http://127.0.0.1:9001", "https://[::1]:9001", "http://localhost:9001"];

function node(given?: string) {
  const uplinks = new Map<string, Uplink>();
  const failures = new Map<string, NetError>();
  const driver = { uplinks: () => uplinks, uplinkFailures: () => failures };
  const withAddresses = (...addresses: string[]) => ({ alias: "default", nic: "eth1", addresses }) as unknown as Uplink;
  return { uplinks, failures, withAddresses, vtep: new VtepAddress({ driver, given, netmasterUrls: LOOPBACK }) };
}

describe("the tunnel address of a node", () => {
  it("is the one given, before the uplink's", async () => {
    const { uplinks, withAddresses, vtep } = node("192.0.2.7");
    uplinks.set("default", withAddresses("192.0.2.1/24"));
    expect(await vtep.registrable()).toBe("192.0.2.7");
    expect(vtep.missing()).toBeUndefined();
  });

  it("is the uplink's, and stays while the uplink has failed", async () => {
    const { uplinks, failures, withAddresses, vtep } = node();
    uplinks.set("default", withAddresses("192.0.2.1/24", "198.51.100.1/24"));
    expect(await vtep.registrable()).toBe("192.0.2.1");
    uplinks.clear();
    failures.set("default", new NetError("NOT_FOUND", 'there is no NIC "eth1"'));
    expect(vtep.current()).toBe("192.0.2.1");
    expect(vtep.missing()).toBeUndefined();
  });

  it("without one the error names uplink, reason and flags", async () => {
    const { uplinks, failures, withAddresses, vtep } = node();
    failures.set("default", new NetError("NOT_FOUND", 'there is no NIC "eth9"'));
    expect(vtep.current()).toBe("");
    const refusal = { code: "INVALID", reason: "no-tunnel-address" };
    await expect(vtep.registrable()).rejects.toMatchObject(refusal);
    expect(vtep.missing()).toMatch(/uplink "default": there is no NIC "eth9".*--uplink.*--vtep-ip/);
    failures.clear();
    uplinks.set("default", withAddresses());
    expect(vtep.missing()).toMatch(/uplink "default": NIC "eth1" has no address/);
  });
});

describe("this machine's address towards netmaster", () => {
  it("is none where other machines could not use it, or there is no way", async () => {
    expect(await addressTowards(LOOPBACK)).toBeUndefined();
    expect(await addressTowards(["http://no-such-name.invalid:9001"])).toBeUndefined();
  });
});
