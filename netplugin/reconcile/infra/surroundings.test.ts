import { describe, expect, it } from "vitest";
import type { AddressRow } from "../../../drivers/netlink/address.ts";
import type { LinkRow } from "../../../drivers/netlink/link-row.ts";
import { formatRange } from "../../../state/address.ts";
import { worldView } from "../../../test/fakes/world.ts";
import { surroundingsOf } from "./surroundings.ts";

const LINKS = [
  { ifindex: 1, name: "lo" },
  { ifindex: 2, name: "cu-eth0" },
  { ifindex: 3, name: "infra1" },
] as unknown as LinkRow[];

function address(ifindex: number, text: string, scope = 0): AddressRow {
  const [ip = "", length] = text.split("/");
  return { ifindex, address: ip, prefixLengthBits: Number(length), scope } as AddressRow;
}

describe("surroundings of infra ports", () => {
  it("are the node's subnets and every node's tunnel address, but not the infra ports' own", () => {
    const { reserved, takenNames } = surroundingsOf({
      links: LINKS,
      addresses: [
        address(1, "127.0.0.1/8", 254),
        address(2, "192.0.2.1/24"),
        address(2, "2001:db8::1/64"),
        address(2, "fe80::1/64", 253),
        address(3, "10.1.1.1/24"),
      ],
      portNames: ["contiv-vxlan", "infra1"],
      infraNames: new Set(["infra1"]),
      view: worldView("node n1 192.0.2.1\nnode n2 198.51.100.7\nnode n3 2001:db8:f::3"),
    });
    expect(reserved.map(({ subnet, what }) => `${formatRange(subnet.family, subnet)} ${what}`)).toEqual([
      "127.0.0.0-127.255.255.255 127.0.0.1/8 of lo",
      "192.0.2.0-192.0.2.255 192.0.2.1/24 of cu-eth0",
      "2001:db8::-2001:db8::ffff:ffff:ffff:ffff 2001:db8::1/64 of cu-eth0",
      "192.0.2.1 192.0.2.1, the tunnel address of node n1,",
      "198.51.100.7 198.51.100.7, the tunnel address of node n2,",
      "2001:db8:f::3 2001:db8:f::3, the tunnel address of node n3,",
    ]);
    expect([...takenNames].sort()).toEqual(["contiv-vxlan", "cu-eth0", "lo"]);
  });
});
