import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { formatFlow } from "../../../drivers/ovs/openflow/text.ts";
import { flowsOfSet } from "../../../test/fakes/flows-of-set.ts";
import { type OvsNode, startOvsNode } from "../../../test/fakes/ovs-node.ts";
import { machineOf, worldView } from "../../../test/fakes/world.ts";
import { NO_CHANGES } from "../../view/node-view.ts";
import { newFlowSet, updateFlowSet } from "../flow-set/flow-set.ts";

/**
 * Where does a packet go? Worlds as text are compiled for node n1 and loaded into a real switch, which is asked to trace packets.
 * Ports: 1 tunnel, 2 uplink, 11 pod a, 12 pod b (same network), 13 pod c (another network of the tenant), 14 pod z (another tenant).
 */
const PORTS = { a: 11, b: 12, c: 13, z: 14 };

const NODES = `
  node n1 192.0.2.1
  node n2 192.0.2.2
  node n3 fd00::3
  node n4 192.0.2.4
`;

const ENDPOINTS = `
  endpoint a t1:red n1 10.1.1.1 2001:db8:1::1
  endpoint b t1:red n1 10.1.1.2 2001:db8:1::2
  endpoint r2 t1:red n2 10.1.1.20 2001:db8:1::20
  endpoint r3 t1:red n3 10.1.1.30 2001:db8:1::30
  endpoint lost t1:red n9 10.1.1.90
  endpoint c t1:green n1 10.1.2.1 2001:db8:2::1
  endpoint g2 t1:green n2 10.1.2.20 2001:db8:2::20
  endpoint z t2:red n1 10.1.1.1 2001:db8:1::1
  endpoint z2 t2:red n4 10.1.1.2 2001:db8:1::2
`;

function networks(encap: string): string {
  const gateways = (subnet: number) =>
    `gateway 10.1.${subnet}.254 ipv6 2001:db8:${subnet}::/64 gateway6 2001:db8:${subnet}::ff`;
  return `
    network t1:red ${encap} 100 10.1.1.0/24 ${gateways(1)}
    network t1:green ${encap} 200 10.1.2.0/24 ${gateways(2)}
    network t2:red ${encap} 300 10.1.1.0/24 ${gateways(1)}
  `;
}

const A = "dl_src=02:02:0a:01:01:01";
const B = "dl_dst=02:02:0a:01:01:02";
const R2 = "dl_dst=02:02:0a:01:01:14";
const R3 = "dl_dst=02:02:0a:01:01:1e";
const LOST = "dl_dst=02:02:0a:01:01:5a";
const UNKNOWN = "dl_dst=02:02:0a:01:01:63";
const BROADCAST = "dl_dst=ff:ff:ff:ff:ff:ff";
const GATEWAY = "dl_dst=00:00:11:11:11:11";
const FROM_A = `in_port=11,${A}`;
const IP_A = `${FROM_A},ip,nw_proto=47,nw_src=10.1.1.1,nw_ttl=64`;
const IP6_A = `${FROM_A},ipv6,nw_proto=47,ipv6_src=2001:db8:1::1,nw_ttl=64`;
const ARP_A = `${FROM_A},${BROADCAST},arp,arp_op=1,arp_spa=10.1.1.1,arp_sha=02:02:0a:01:01:01`;
const ND_MULTICAST = "dl_dst=33:33:ff:00:00:02";
const EUI_A = "fe80::2:aff:fe01:101";
const NS_A = `${FROM_A},${ND_MULTICAST},ipv6,nw_proto=58,nw_ttl=255,icmpv6_type=135,icmpv6_code=0`;
const NA_A = `${FROM_A},${ND_MULTICAST},ipv6,nw_proto=58,nw_ttl=255,icmpv6_type=136,icmpv6_code=0`;

let node: OvsNode;

beforeAll(async () => {
  node = await startOvsNode();
  const ports = Object.values(PORTS).flatMap((ofport) =>
    port(`p${ofport}`, ["type=internal", `ofport_request=${ofport}`]),
  );
  const tunnel = port("vxlan", ["type=vxlan", "options:remote_ip=flow", "options:key=flow", "ofport_request=1"]);
  const uplink = port("uplink", ["type=internal", "ofport_request=2"]);
  const bridge = ["add-br", "br0", "--", "set", "Bridge", "br0", "datapath_type=netdev", "fail_mode=secure"];
  await node.vsctl(...bridge, ...tunnel, ...uplink, ...ports);
});

afterAll(async () => {
  await node[Symbol.asyncDispose]();
});

function port(name: string, settings: readonly string[]): string[] {
  return ["--", "add-port", "br0", name, "--", "set", "Interface", name, ...settings];
}

async function load(world: string): Promise<void> {
  const input = { view: worldView(world), changes: NO_CHANGES, machine: machineOf("n1", PORTS) };
  const { set } = updateFlowSet(newFlowSet(), input);
  const text = [...flowsOfSet(set).values()].map(formatFlow).join("\n");
  await node.ofctl(["--bundle", "replace-flows", node.bridgeSocket("br0"), "-"], text);
}

interface Trail {
  readonly sent: string[];
  readonly fields: Map<string, string>;
}

/** What leaves, sorted: a port's number, `uplink.<VLAN>`, `<tunnel destination>#<VNI>`, `back` (with `.<VLAN>`). Empty = dropped. */
async function walk(packet: string): Promise<string[]> {
  const lines = (await node.appctl("ofproto/trace", "br0", packet)).split("\n").map((line) => line.trim());
  const trail: Trail = { sent: [], fields: new Map() };
  for (const [index, line] of lines.entries()) follow(trail, line, lines[index + 1] ?? "");
  return trail.sent.sort();
}

/** Reads the trace's steps, for its last line (the datapath's actions) shows no tunnel without a route to its end. */
function follow({ sent, fields }: Trail, line: string, next: string): void {
  const set = /^set_field:(\S+)->(\w+)$/.exec(line);
  if (set !== null) fields.set(set[2] ?? "", set[1] ?? "");
  const vlan = /OXM_OF_VLAN_VID\[\] is now (\d+)/.exec(line);
  if (vlan !== null) fields.set("vlan_vid", vlan[1] ?? "");
  const ofport = /^output:(\d+)$|^-> output port is (\d+)$/.exec(line);
  if (ofport !== null && !next.includes("skipping output to input port"))
    sent.push(exitName(fields, ofport[1] ?? ofport[2]));
  if (line === "IN_PORT") sent.push(fields.has("vlan_vid") ? `back.${vlanOf(fields)}` : "back");
}

function exitName(fields: Trail["fields"], ofport: string | undefined): string {
  if (ofport === "2") return `uplink.${vlanOf(fields)}`;
  if (ofport !== "1") return ofport ?? "";
  const ends = [fields.get("tun_dst"), fields.get("tun_ipv6_dst")].filter(
    (end) => end !== undefined && end !== "0.0.0.0",
  );
  return `${ends.join("+")}#${Number(fields.get("tun_id"))}`;
}

/** OpenFlow writes the id with bit 12 set; the trace's registers without. */
function vlanOf(fields: Trail["fields"]): number {
  return Number(fields.get("vlan_vid")) & 0xfff;
}

type Case = readonly [title: string, packet: string, exits: readonly string[]];

function table(name: string, world: string, cases: readonly Case[]): void {
  describe(name, () => {
    beforeAll(() => load(world));
    it.each(cases)("%s", async (_title, packet, exits) => {
      expect(await walk(packet)).toEqual([...exits].sort());
    });
  });
}

const VXLAN_FLOOD = ["12", "192.0.2.2#100", "fd00::3#100"];
const FROM_N2 = "in_port=1,tun_src=192.0.2.2,tun_id=100,dl_src=02:02:0a:01:01:14";
const FROM_UPLINK = "in_port=2,dl_vlan=100,dl_src=02:02:0a:01:01:14";
const ARP_ASK = `${BROADCAST},arp,arp_op=1`;

/** Holds in every mode: nothing but its own addresses gets past a pod's port. */
const SPOOFED: readonly Case[] = [
  ["another's MAC", `in_port=11,dl_src=02:02:0a:01:01:02,${R2},ip,nw_proto=47,nw_src=10.1.1.1`, []],
  ["another's IPv4", `${FROM_A},${R2},ip,nw_proto=47,nw_src=10.1.1.2`, []],
  ["another's IPv6", `${FROM_A},${R2},ipv6,nw_proto=47,ipv6_src=2001:db8:1::2`, []],
  ["another's link-local address", `${FROM_A},${R2},ipv6,nw_proto=47,ipv6_src=fe80::2`, []],
  ["unspecified IPv6 for anything else", `${FROM_A},${R2},udp6,udp_dst=5353,ipv6_src=::,ipv6_dst=ff02::1`, []],
  ["an ARP sender's address", `${FROM_A},${ARP_ASK},arp_spa=10.1.1.2,arp_sha=02:02:0a:01:01:01,arp_tpa=10.1.1.9`, []],
  ["an ARP sender's MAC", `${FROM_A},${ARP_ASK},arp_spa=10.1.1.1,arp_sha=02:02:0a:01:01:02,arp_tpa=10.1.1.9`, []],
  [
    "an ARP probe for another's address",
    `${FROM_A},${ARP_ASK},arp_spa=0.0.0.0,arp_sha=02:02:0a:01:01:01,arp_tpa=10.1.1.2`,
    [],
  ],
  [
    "a solicitation's source option",
    `${NS_A},ipv6_src=2001:db8:1::1,nd_target=2001:db8:1::63,nd_sll=02:02:0a:01:01:02`,
    [],
  ],
  ["a search for duplicates of another's address", `${NS_A},ipv6_src=::,nd_target=2001:db8:1::2`, []],
  ["an advertisement's target", `${NA_A},ipv6_src=2001:db8:1::1,nd_target=2001:db8:1::2,nd_tll=02:02:0a:01:01:01`, []],
  [
    "an advertisement's target option",
    `${NA_A},ipv6_src=2001:db8:1::1,nd_target=2001:db8:1::1,nd_tll=02:02:0a:01:01:02`,
    [],
  ],
  [
    "a router advertisement",
    `${FROM_A},${ND_MULTICAST},ipv6,nw_proto=58,icmpv6_type=134,icmpv6_code=0,ipv6_src=${EUI_A}`,
    [],
  ],
  ["a redirect", `${FROM_A},${B},ipv6,nw_proto=58,icmpv6_type=137,icmpv6_code=0,ipv6_src=${EUI_A}`, []],
  ["a VLAN tag", `${IP_A.replace("ip,", "dl_vlan=100,ip,")},${B}`, []],
  ["a priority tag", `${IP_A.replace("ip,", "dl_vlan=0,ip,")},${B}`, []],
  ["another protocol", `${FROM_A},${B},dl_type=0x88cc`, []],
];

table("VXLAN, bridge, proxy", `mode bridge proxy ${NODES} ${networks("vxlan")} ${ENDPOINTS}`, [
  ...SPOOFED,
  ["to a pod of this node", `${IP_A},${B},nw_dst=10.1.1.2`, ["12"]],
  ["to a pod behind an IPv4 tunnel", `${IP_A},${R2},nw_dst=10.1.1.20`, ["192.0.2.2#100"]],
  ["to a pod behind an IPv6 tunnel", `${IP6_A},${R3},ipv6_dst=2001:db8:1::30`, ["fd00::3#100"]],
  ["to a pod of a node without tunnel address", `${IP_A},${LOST},nw_dst=10.1.1.90`, []],
  ["unknown unicast", `${IP_A},${UNKNOWN},nw_dst=10.1.1.99`, VXLAN_FLOOD],
  ["broadcast", `${IP_A},${BROADCAST},nw_dst=255.255.255.255`, VXLAN_FLOOD],
  [
    "multicast from the link-local address",
    `${FROM_A},dl_dst=33:33:00:00:00:fb,udp6,udp_dst=5353,ipv6_src=${EUI_A},ipv6_dst=ff02::fb`,
    VXLAN_FLOOD,
  ],
  [
    "a group report",
    `${FROM_A},dl_dst=33:33:00:00:00:16,ipv6,nw_proto=58,icmpv6_type=143,ipv6_src=::,ipv6_dst=ff02::16`,
    VXLAN_FLOOD,
  ],
  ["to the gateway's MAC: nobody routes", `${IP_A},${GATEWAY},nw_dst=10.1.2.1`, []],
  ["ARP for a pod of this node", `${ARP_A},arp_tpa=10.1.1.2`, ["back"]],
  ["ARP for a remote pod", `${ARP_A},arp_tpa=10.1.1.20`, ["back"]],
  ["ARP for nobody known", `${ARP_A},arp_tpa=10.1.1.99`, VXLAN_FLOOD],
  ["ARP for the gateway, which nobody is", `${ARP_A},arp_tpa=10.1.1.254`, VXLAN_FLOOD],
  ["ARP announcement", `${ARP_A},arp_tpa=10.1.1.1`, VXLAN_FLOOD],
  ["ARP probe", `${ARP_A.replace("arp_spa=10.1.1.1", "arp_spa=0.0.0.0")},arp_tpa=10.1.1.1`, VXLAN_FLOOD],
  ["ARP reply", `${ARP_A.replace("arp_op=1", "arp_op=2").replace(BROADCAST, R2)},arp_tpa=10.1.1.20`, ["192.0.2.2#100"]],
  [
    "ND for a remote pod",
    `${NS_A},ipv6_src=2001:db8:1::1,nd_target=2001:db8:1::20,nd_sll=02:02:0a:01:01:01,nd_options_type=1`,
    ["back"],
  ],
  [
    "ND for a link-local address",
    `${NS_A},ipv6_src=${EUI_A},nd_target=fe80::2:aff:fe01:102,nd_sll=02:02:0a:01:01:01,nd_options_type=1`,
    ["back"],
  ],
  ["ND without option", `${NS_A},ipv6_src=2001:db8:1::1,nd_target=2001:db8:1::20`, ["back"]],
  [
    "ND for nobody known",
    `${NS_A},ipv6_src=2001:db8:1::1,nd_target=2001:db8:1::99,nd_sll=02:02:0a:01:01:01,nd_options_type=1`,
    VXLAN_FLOOD,
  ],
  ["search for duplicates", `${NS_A},ipv6_src=::,nd_target=2001:db8:1::1`, VXLAN_FLOOD],
  ["search for duplicates, link-local", `${NS_A},ipv6_src=::,nd_target=${EUI_A}`, VXLAN_FLOOD],
  [
    "unsolicited advertisement",
    `${NA_A},ipv6_src=2001:db8:1::1,nd_target=2001:db8:1::1,nd_tll=02:02:0a:01:01:01`,
    VXLAN_FLOOD,
  ],
  ["tunnel to a pod", `${FROM_N2},${B},ip,nw_proto=47,nw_src=10.1.1.20,nw_dst=10.1.1.2`, ["12"]],
  ["tunnel to a remote pod: no way back into the tunnel", `${FROM_N2},${R3},ip,nw_proto=47`, []],
  ["tunnel, unknown unicast: to pods only", `${FROM_N2},${UNKNOWN},ip,nw_proto=47`, ["11", "12"]],
  ["tunnel, broadcast: to pods only", `${FROM_N2},${BROADCAST},ip,nw_proto=47`, ["11", "12"]],
  [
    "tunnel, ARP: asked where the target is not known",
    `${FROM_N2},${ARP_ASK},arp_spa=10.1.1.20,arp_tpa=10.1.1.2`,
    ["11", "12"],
  ],
  ["tunnel from an address that is no node's", `in_port=1,tun_src=192.0.2.77,tun_id=100,${B},ip,nw_proto=47`, []],
  ["tunnel of a network without pods here", `in_port=1,tun_src=192.0.2.2,tun_id=999,${B},ip,nw_proto=47`, []],
  ["tunnel with a sender that lives here", `in_port=1,tun_src=192.0.2.2,tun_id=100,${A},${B},ip,nw_proto=47`, []],
  [
    "another tenant's same address stays apart",
    `in_port=14,${A},${B},ip,nw_proto=47,nw_src=10.1.1.1,nw_dst=10.1.1.2`,
    ["192.0.2.4#300"],
  ],
  ["another network's MAC is unknown here", `${IP_A},dl_dst=02:02:0a:01:02:01,nw_dst=10.1.2.1`, VXLAN_FLOOD],
]);

table("VXLAN, routing, flood", `mode routing flood ${NODES} ${networks("vxlan")} ${ENDPOINTS}`, [
  ...SPOOFED,
  ["routed to a pod of this node", `${IP_A},${GATEWAY},nw_dst=10.1.2.1`, ["13"]],
  ["routed to a remote pod", `${IP_A},${GATEWAY},nw_dst=10.1.2.20`, ["192.0.2.2#200"]],
  ["routed, IPv6", `${IP6_A},${GATEWAY},ipv6_dst=2001:db8:2::20`, ["192.0.2.2#200"]],
  ["routed within the network", `${IP_A},${GATEWAY},nw_dst=10.1.1.20`, ["192.0.2.2#100"]],
  ["routed to nobody", `${IP_A},${GATEWAY},nw_dst=10.1.2.99`, []],
  ["routed to a node without tunnel address", `${IP_A},${GATEWAY},nw_dst=10.1.1.90`, []],
  ["out of time", `${IP_A.replace("ttl=64", "ttl=1")},${GATEWAY},nw_dst=10.1.2.1`, []],
  [
    "not from link-local",
    `${FROM_A},${GATEWAY},ipv6,nw_proto=47,nw_ttl=64,ipv6_src=${EUI_A},ipv6_dst=2001:db8:2::1`,
    [],
  ],
  [
    "never into another tenant",
    `in_port=14,${A},${GATEWAY},ip,nw_proto=47,nw_ttl=64,nw_src=10.1.1.1,nw_dst=10.1.2.1`,
    [],
  ],
  ["ARP for the gateway", `${ARP_A},arp_tpa=10.1.1.254`, ["back"]],
  [
    "ND for the gateway",
    `${NS_A},ipv6_src=2001:db8:1::1,nd_target=2001:db8:1::ff,nd_sll=02:02:0a:01:01:01,nd_options_type=1`,
    ["back"],
  ],
  [
    "ping to the gateway",
    `${IP_A.replace("ip,nw_proto=47,", "icmp,icmp_type=8,icmp_code=0,")},${GATEWAY},nw_dst=10.1.1.254`,
    ["back"],
  ],
  [
    "ping to another gateway of the tenant",
    `${IP_A.replace("ip,nw_proto=47,", "icmp,icmp_type=8,icmp_code=0,")},${GATEWAY},nw_dst=10.1.2.254`,
    ["back"],
  ],
  [
    "ping6 to the gateway",
    `${IP6_A.replace("ipv6,nw_proto=47,", "ipv6,nw_proto=58,icmpv6_type=128,icmpv6_code=0,")},${GATEWAY},ipv6_dst=2001:db8:1::ff`,
    ["back"],
  ],
  ["ARP for a known pod floods", `${ARP_A},arp_tpa=10.1.1.20`, VXLAN_FLOOD],
  [
    "ND for a known pod floods",
    `${NS_A},ipv6_src=2001:db8:1::1,nd_target=2001:db8:1::20,nd_sll=02:02:0a:01:01:01,nd_options_type=1`,
    VXLAN_FLOOD,
  ],
  ["tunnel to the gateway's MAC", `${FROM_N2},${GATEWAY},ip,nw_proto=47,nw_dst=10.1.2.1`, []],
]);

const VLAN_FLOOD = ["12", "uplink.100"];

table("VLAN, bridge, proxy", `mode bridge proxy ${NODES} ${networks("vlan")} ${ENDPOINTS}`, [
  ...SPOOFED,
  ["to a pod of this node", `${IP_A},${B},nw_dst=10.1.1.2`, ["12"]],
  ["to a remote pod", `${IP_A},${R2},nw_dst=10.1.1.20`, ["uplink.100"]],
  ["unknown unicast", `${IP_A},${UNKNOWN},nw_dst=10.1.1.99`, ["uplink.100"]],
  ["broadcast", `${IP_A},${BROADCAST}`, VLAN_FLOOD],
  ["ARP for a remote pod", `${ARP_A},arp_tpa=10.1.1.20`, ["back"]],
  ["ARP for the real gateway", `${ARP_A},arp_tpa=10.1.1.254`, VLAN_FLOOD],
  ["uplink to a pod", `${FROM_UPLINK},${B},ip,nw_proto=47`, ["12"]],
  ["uplink, unknown unicast", `${FROM_UPLINK},${UNKNOWN},ip,nw_proto=47`, []],
  ["uplink to a remote pod", `${FROM_UPLINK},${R3},ip,nw_proto=47`, []],
  ["uplink, broadcast", `${FROM_UPLINK},${BROADCAST},ip,nw_proto=47`, ["11", "12"]],
  ["uplink, untagged", `in_port=2,${B},ip,nw_proto=47`, []],
  ["uplink, a VLAN without pods here", `in_port=2,dl_vlan=999,${B},ip,nw_proto=47`, []],
  ["uplink, our own frame come back", `in_port=2,dl_vlan=100,${A},${BROADCAST},ip,nw_proto=47`, []],
  [
    "uplink, our own router's frame come back",
    `in_port=2,dl_vlan=100,dl_src=02:ee:00:00:00:01,${BROADCAST},ip,nw_proto=47`,
    [],
  ],
  ["uplink, ARP for a pod of this node", `${FROM_UPLINK},${ARP_ASK},arp_spa=10.1.1.250,arp_tpa=10.1.1.1`, ["back.100"]],
  [
    "uplink, ARP for a remote pod: its own node answers",
    `${FROM_UPLINK},${ARP_ASK},arp_spa=10.1.1.250,arp_tpa=10.1.1.20`,
    [],
  ],
  [
    "uplink, ARP of a known source for nobody known",
    `${FROM_UPLINK},${ARP_ASK},arp_spa=10.1.1.20,arp_tpa=10.1.1.99`,
    ["11", "12"],
  ],
  [
    "uplink, ARP of the gateway for nobody known",
    `${FROM_UPLINK},${ARP_ASK},arp_spa=10.1.1.254,arp_tpa=10.1.1.254`,
    ["11", "12"],
  ],
  ["uplink, ARP with neither known", `${FROM_UPLINK},${ARP_ASK},arp_spa=10.1.1.250,arp_tpa=10.1.1.99`, []],
  ["uplink, ARP reply", `${FROM_UPLINK},${B},arp,arp_op=2,arp_spa=10.1.1.254,arp_tpa=10.1.1.2`, ["12"]],
  [
    "uplink, ND for a pod of this node",
    `${FROM_UPLINK},${ND_MULTICAST},ipv6,nw_proto=58,nw_ttl=255,icmpv6_type=135,icmpv6_code=0,ipv6_src=2001:db8:1::fa,nd_target=2001:db8:1::1,nd_options_type=1`,
    ["back.100"],
  ],
  [
    "uplink, ND with neither known",
    `${FROM_UPLINK},${ND_MULTICAST},ipv6,nw_proto=58,nw_ttl=255,icmpv6_type=135,icmpv6_code=0,ipv6_src=2001:db8:1::fa,nd_target=2001:db8:1::99,nd_options_type=1`,
    [],
  ],
  [
    "uplink, ND of a known source for nobody known",
    `${FROM_UPLINK},${ND_MULTICAST},ipv6,nw_proto=58,nw_ttl=255,icmpv6_type=135,icmpv6_code=0,ipv6_src=2001:db8:1::20,nd_target=2001:db8:1::99,nd_options_type=1`,
    ["11", "12"],
  ],
  [
    "uplink, ND that somebody has forwarded",
    `${FROM_UPLINK},${ND_MULTICAST},ipv6,nw_proto=58,nw_ttl=254,icmpv6_type=135,icmpv6_code=0,ipv6_src=2001:db8:1::20,nd_target=2001:db8:1::99,nd_options_type=1`,
    [],
  ],
  [
    "uplink, search for duplicates",
    `${FROM_UPLINK},${ND_MULTICAST},ipv6,nw_proto=58,nw_ttl=255,icmpv6_type=135,icmpv6_code=0,ipv6_src=::,nd_target=2001:db8:1::1`,
    ["11", "12"],
  ],
  [
    "uplink, router advertisement: pods take nothing from routers",
    `${FROM_UPLINK},dl_dst=33:33:00:00:00:01,ipv6,nw_proto=58,icmpv6_type=134,icmpv6_code=0,ipv6_src=fe80::fe`,
    [],
  ],
]);

table("VLAN, routing, proxy", `mode routing proxy ${NODES} ${networks("vlan")} ${ENDPOINTS}`, [
  ["routed to a pod of this node", `${IP_A},${GATEWAY},nw_dst=10.1.2.1`, ["13"]],
  ["routed to a remote pod", `${IP_A},${GATEWAY},nw_dst=10.1.2.20`, ["uplink.200"]],
  ["routed, IPv6", `${IP6_A},${GATEWAY},ipv6_dst=2001:db8:2::20`, ["uplink.200"]],
  ["ARP for the gateway", `${ARP_A},arp_tpa=10.1.1.254`, ["back"]],
  [
    "uplink, ARP for the gateway: every node is it, none answers",
    `${FROM_UPLINK},${ARP_ASK},arp_spa=10.1.1.20,arp_tpa=10.1.1.254`,
    ["11", "12"],
  ],
  [
    "uplink, in the gateway's name",
    `${FROM_UPLINK.replace(/dl_src=[^,]+/, "dl_src=00:00:11:11:11:11")},${B},ip,nw_proto=47`,
    [],
  ],
  ["uplink to the gateway's MAC", `${FROM_UPLINK},${GATEWAY},ip,nw_proto=47,nw_dst=10.1.2.1`, []],
]);

table("VLAN, bridge, flood", `mode bridge flood ${NODES} ${networks("vlan")} ${ENDPOINTS}`, [
  ...SPOOFED,
  ["ARP for a known pod", `${ARP_A},arp_tpa=10.1.1.20`, VLAN_FLOOD],
  ["uplink, ARP with neither known", `${FROM_UPLINK},${ARP_ASK},arp_spa=10.1.1.250,arp_tpa=10.1.1.99`, ["11", "12"]],
]);

const MIXED = networks("vxlan").replace("t1:green vxlan", "t1:green vlan");
const FROM_C = "in_port=13,dl_src=02:02:0a:01:02:01,ip,nw_proto=47,nw_src=10.1.2.1,nw_ttl=64";

table("VXLAN and VLAN in one tenant, routing", `mode routing proxy ${NODES} ${MIXED} ${ENDPOINTS}`, [
  ["from VXLAN to VLAN, remote", `${IP_A},${GATEWAY},nw_dst=10.1.2.20`, ["uplink.200"]],
  ["from VLAN to VXLAN, remote", `${FROM_C},${GATEWAY},nw_dst=10.1.1.20`, ["192.0.2.2#100"]],
  ["from VLAN to VXLAN, on this node", `${FROM_C},${GATEWAY},nw_dst=10.1.1.2`, ["12"]],
  [
    "VLAN broadcast stays on the VLAN",
    `in_port=13,dl_src=02:02:0a:01:02:01,${BROADCAST},ip,nw_proto=47,nw_src=10.1.2.1`,
    ["uplink.200"],
  ],
]);
