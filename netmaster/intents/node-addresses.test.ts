import { describe, expect, it } from "vitest";
import { NetError } from "../../state/errors.ts";
import { registration } from "../../test/system/node-registration.ts";
import { fakeCluster } from "../rest/testing/fake-cluster.ts";
import { registerNode } from "./node.ts";

function refusal(members: object): string {
  const cluster = fakeCluster();
  cluster.run(registerNode, registration("n1", "192.0.2.1"));
  cluster.run(registerNode, registration("n6", "2001:db8::1"));
  try {
    cluster.run(registerNode, { ...registration("n2", "192.0.2.2"), ...members });
    return "ok";
  } catch (error) {
    return error instanceof NetError ? `${error.reason} ${error.field}` : String(error);
  }
}

describe("a node registers", () => {
  it.each([
    ...["0.0.0.0", "0.1.2.3", "127.0.0.1", "169.254.1.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255"],
    ...["::", "::1", "::ffff:192.0.2.1", "::ffff:192.0.2.9", "::192.0.2.9", "fe80::1", "ff02::1"],
  ])("not with the tunnel address %s", (vtepIp) => expect(refusal({ vtepIp })).toBe("invalid-field vtepIp"));

  it.each(["192.0.2.1", "2001:db8::1", "2001:DB8:0::1", "2001:db8::0.0.0.1"])(
    "not with another node's tunnel address %s",
    (vtepIp) => expect(refusal({ vtepIp })).toBe("vtep-taken vtepIp"),
  );

  it.each(["junk", "", "02:03", "01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00", "02:03:04:05:06:0G"])(
    "not with the MAC address %j",
    (routerMac) => expect(refusal({ routerMac })).toBe("invalid-field routerMac"),
  );

  it("not with another node's MAC address", () =>
    expect(refusal({ routerMac: registration("n1", "192.0.2.1").routerMac })).toBe("router-mac-taken routerMac"));

  it.each(["10.0.0.1", "100.64.0.1", "203.0.113.9", "fd00::1", "2001:db8::2"])("with %s", (vtepIp) =>
    expect(refusal({ vtepIp })).toBe("ok"),
  );
});
