import { describe, expect, it } from "vitest";
import { objectKey } from "../../state/keys.ts";
import { Network, NetworkRecord } from "../../state/kinds/network.ts";
import { contractWorld } from "../rest/testing/contract-world.ts";
import { Interner, parseObject } from "../view/parse.ts";
import { plan } from "./plan.ts";

const EARLIER = [
  { subnet: "127.0.0.0/8" },
  { subnet: "224.0.0.0/24", gateway: "224.0.0.255" },
  { subnet: "10.1.1.0/24", gateway: "10.1.1.255" },
  { subnet: "10.1.1.0-10.1.1.0/24" },
  { subnet: "10.1.1.0/24", ipv6Subnet: "::/64", ipv6Gateway: "::1" },
  { subnet: "10.1.1.0/24", ipv6Subnet: "ff00::/8" },
];

describe("networks of an earlier release that would be refused now", () => {
  it.each(EARLIER)("%j are read, shown and deleted", async (members) => {
    const world = await contractWorld();
    const config = Network.parse({ tenantName: "t1", networkName: "old", encap: "vlan", ...members });
    const stored = NetworkRecord.parse({ key: "t1:old", networkId: 7, tenantId: 2, tag: 7, config });
    const { record } = parseObject(objectKey("network", "t1:old"), JSON.stringify(stored), new Interner());
    const puts = [{ kind: "network", key: "t1:old", record: record as NetworkRecord }] as const;
    world.cluster.run(() => plan(null, { puts }), undefined);
    await world.must("GET", "networks/t1:old");
    await world.must("GET", "inspect/networks/t1:old");
    await world.must("GET", "inspect/tenants/t1");
    expect(await world.send("POST", "networks/t1:old", config)).toBe("409 immutable");
  });
});
