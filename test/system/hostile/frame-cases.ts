import { frameOf } from "../../fakes/ip-packets.ts";
import { type HostileCase, OPEN_PAIRS, type Pair, pair } from "./case.ts";
import {
  discovery,
  echoRequest,
  ethernet,
  FAMILIES,
  ip,
  marked,
  Nd,
  Protocol,
  packet,
  tagged,
  vxlan,
} from "./packets.ts";
import {
  ALL_NODES,
  actor,
  BROADCAST,
  CONTROL_ADDRESS,
  company,
  GATEWAY_MAC,
  NODE_ADDRESSES,
  VLAN,
  VNI,
  WIRE,
} from "./stage.ts";

const PORT = 53;
const VXLAN_PORT = 4789;
const NODE_PORTS = [22, 53, 67, 546, 6640, 9001, VXLAN_PORT];
const STORM_FRAMES = 200;
const UNKNOWN_MAC = "02:02:0a:01:00:c8";

/** Types that are neither IP nor ARP, and the addresses that they usually go to. */
const OTHER_TYPES: readonly (readonly [what: string, etherType: number, dst?: string | undefined, head?: string])[] = [
  ["STP (802.3 with LLC)", 0x26, "01:80:c2:00:00:00", "424203"],
  ["PVST (802.3 with SNAP)", 0x32, "01:00:0c:cc:cc:cd", "aaaa0300000c010b"],
  ["CDP (802.3 with SNAP)", 0x32, "01:00:0c:cc:cc:cc", "aaaa0300000c2000"],
  ["IPX (802.3 without LLC)", 0x26, undefined, "ffff"],
  ["a length that says more than there is", 0x5dc, undefined, "424203"],
  ["LLDP", 0x88cc, "01:80:c2:00:00:0e"],
  ["LACP", 0x8809, "01:80:c2:00:00:02"],
  ["a pause frame", 0x8808, "01:80:c2:00:00:01"],
  ["EAPOL", 0x888e, "01:80:c2:00:00:03"],
  ["PTP", 0x88f7, "01:1b:19:00:00:00"],
  ["PPPoE discovery", 0x8863],
  ["PPPoE session", 0x8864],
  ["MPLS", 0x8847],
  ["RARP", 0x8035],
  ["Wake-on-LAN", 0x0842],
  ["FCoE", 0x8906],
  ["MACsec", 0x88e5],
  ["NSH", 0x894f],
  ["a private type", 0x88b5],
];

function otherTypes(): readonly HostileCase[] {
  return [pair("atk1", "q2"), pair("vatk", "vfar")].flatMap(({ from, to, words }) =>
    OTHER_TYPES.map(([what, etherType, group, head = ""]) => ({
      name: `frames that are not IP: ${what} (${words})`,
      from: from.name,
      frames: ({ mark }) =>
        [group ?? BROADCAST, to.mac].map((dst) => ethernet({ src: from.mac, dst }, etherType, head + marked(mark))),
    })),
  );
}

function tags({ from, to, words }: Pair): readonly HostileCase[] {
  const [own, other] = [VLAN[from.tenant], VLAN.red];
  const sets = {
    "its network's VLAN": [{ vlan: own }],
    "another tenant's VLAN": [{ vlan: other }],
    "priority only": [{ vlan: 0 }],
    "VLAN 4095": [{ vlan: 4_095 }],
    "two tags": [{ vlan: own }, { vlan: other }],
    "a service tag": [{ vlan: other, type: 0x88a8 }],
    "a service tag and a tag": [{ vlan: own, type: 0x88a8 }, { vlan: other }],
    "two tags of the old kind": [{ vlan: 0, type: 0x9100 }, { vlan: other }],
  };
  return Object.entries(sets).map(([what, chosen]) => ({
    name: `tagged: ${what} (${words})`,
    from: from.name,
    frames: ({ mark }) =>
      [to.mac, BROADCAST].map((dst) =>
        tagged(
          frameOf({ src: from.mac, dst }, packet({ src: from.ipv4, dst: to.ipv4 }, { port: PORT }, marked(mark))),
          ...chosen,
        ),
      ),
  }));
}

/** What a pod says to its own node and to the other one, with each MAC that the node could take for its own. */
function nodesAddressed(): readonly HostileCase[] {
  const links = {
    "its near end's MAC": undefined,
    everybody: BROADCAST,
    "the gateway's MAC": GATEWAY_MAC,
    "all nodes": ALL_NODES,
  };
  const targets = {
    "its node": NODE_ADDRESSES[1],
    "the other node": NODE_ADDRESSES[2],
    "the node's loopback": "127.0.0.1",
  };
  return ["atk1", "vatk"].flatMap((name) =>
    Object.entries(links).flatMap(([whom, mac]) =>
      Object.entries(targets).map(([what, dst]): HostileCase => {
        const from = actor(name);
        return {
          name: `to the kernel: ${what} by ${whom} (${from.net})`,
          ...{ from: name, may: company(name) },
          frames: ({ mark, stage }) => {
            const link = { src: from.mac, dst: mac ?? stage.nearEnds.get(name) ?? "" };
            const ends = { src: from.ipv4, dst };
            const ports = NODE_PORTS.flatMap((port) =>
              (["tcp", "udp"] as const).map((protocol) => ({ protocol, port })),
            );
            return [
              ...ports.map((transport) => frameOf(link, packet(ends, transport, marked(mark)))),
              frameOf(link, ip(ends, Protocol.icmp, echoRequest(ends, marked(mark)))),
              frameOf(link, packet({ ...ends, src: NODE_ADDRESSES[2] }, { port: VXLAN_PORT }, marked(mark))),
            ];
          },
        };
      }),
    ),
  );
}

/** The kernel's link-local address of the near end, and the groups that every kernel joins. */
function nodesAddressedInIpv6(): readonly HostileCase[] {
  return ["atk1", "vatk"].flatMap((name) =>
    (["near end", "ff02::1", "ff02::2", "ff02::fb"] as const).map((whom): HostileCase => {
      const from = actor(name);
      return {
        name: `to the kernel: ${whom} in IPv6 (${from.net})`,
        ...{ from: name, may: company(name) },
        frames: ({ mark, stage }) => {
          const mac = stage.nearEnds.get(name) ?? "";
          const dst = whom === "near end" ? linkLocalOf(mac) : whom;
          const group = `33:33:00:00:00:${dst.split("::")[1]?.padStart(2, "0")}`;
          const link = { src: from.mac, dst: whom === "near end" ? mac : group };
          return [from.linkLocal, from.ipv6].flatMap((src) => [
            frameOf(link, ip({ src, dst }, Protocol.icmpv6, echoRequest({ src, dst }, marked(mark)))),
            ...NODE_PORTS.map((port) => frameOf(link, packet({ src, dst }, { port }, marked(mark)))),
            frameOf(link, packet({ src, dst }, { protocol: "tcp", port: 22 }, marked(mark))),
          ]);
        },
      };
    }),
  );
}

function linkLocalOf(mac: string): string {
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = mac.split(":").map((part) => Number.parseInt(part, 16));
  const words = [((a ^ 2) << 8) | b, (c << 8) | 0xff, 0xfe00 | d, (e << 8) | f];
  return `fe80::${words.map((word) => word.toString(16)).join(":")}`;
}

/** A tunnel packet for another tenant, made by a pod, or by a stranger on the underlay. */
function tunnels(): readonly HostileCase[] {
  const [spy, victim] = [actor("atk1"), actor("red4")];
  const links = { "its near end": undefined, everybody: BROADCAST, "the gateway": GATEWAY_MAC };
  const sources = { "a node": NODE_ADDRESSES[1], "a stranger": `192.168.213.13`, itself: spy.ipv4 };
  const inner = (mark: number) =>
    frameOf(
      { src: "02:02:0a:01:00:63", dst: victim.mac },
      packet({ src: "10.1.0.99", dst: victim.ipv4 }, { port: PORT }, marked(mark)),
    );
  const outer = (src: string, dst: string, mark: number) =>
    packet({ src, dst }, { port: VXLAN_PORT, srcPort: 50_000 }, vxlan(VNI.red, inner(mark)));
  const byPods = Object.entries(links).flatMap(([whom, mac]) =>
    Object.entries(sources).map(
      ([who, src]): HostileCase => ({
        name: `forged VXLAN of ${who} by way of ${whom}`,
        ...{ from: spy.name, may: src === spy.ipv4 ? company(spy.name) : [] },
        frames: ({ mark, stage }) =>
          [NODE_ADDRESSES[1], NODE_ADDRESSES[2]].map((dst) =>
            frameOf({ src: spy.mac, dst: mac ?? stage.nearEnds.get(spy.name) ?? "" }, outer(src, dst, mark)),
          ),
      }),
    ),
  );
  const byStranger: HostileCase = {
    name: "forged VXLAN of a machine that is no node, on the underlay",
    from: WIRE,
    frames: ({ mark }) =>
      [NODE_ADDRESSES[1], NODE_ADDRESSES[2]].map((dst) =>
        frameOf({ src: "02:aa:00:00:00:01", dst: BROADCAST }, outer(CONTROL_ADDRESS, dst, mark)),
      ),
  };
  return [...byPods, byStranger];
}

/** Loud, but in its own name: its network may hear it, nobody else. */
function storms(): readonly HostileCase[] {
  return ["atk1", "vatk"].flatMap((name): readonly HostileCase[] => {
    const from = actor(name);
    const [must, may] = [[name === "atk1" ? "atk2" : "vfar"], company(name)];
    const four = (dst: string, mac: string) => (mark: number) =>
      frameOf({ src: from.mac, dst: mac }, packet({ src: from.ipv4, dst }, { port: PORT }, marked(mark)));
    const storm = (what: string, frame: (mark: number) => string): HostileCase => ({
      name: `storm: ${what} (${from.net})`,
      ...{ from: name, must, may },
      frames: ({ mark }) => Array.from({ length: STORM_FRAMES }, () => frame(mark)),
    });
    return [
      storm("broadcast", four("255.255.255.255", BROADCAST)),
      storm("multicast", four("239.1.2.3", "01:00:5e:01:02:03")),
      storm("all hosts", four("224.0.0.1", "01:00:5e:00:00:01")),
      storm("IPv6 multicast", (mark) => {
        const ends = { src: from.linkLocal, dst: "ff02::1" };
        return frameOf({ src: from.mac, dst: ALL_NODES }, packet(ends, { port: PORT }, marked(mark)));
      }),
      {
        ...{ name: `unknown unicast (${from.net})`, from: name, may },
        frames: ({ mark }) => [four("10.1.0.200", UNKNOWN_MAC)(mark)],
      },
      {
        ...{ name: `its own MAC as receiver (${from.net})`, from: name },
        frames: ({ mark }) => [four(from.ipv4, from.mac)(mark)],
      },
    ];
  });
}

function dhcp(): readonly HostileCase[] {
  return ["atk1", "vatk"].flatMap((name): readonly HostileCase[] => {
    const from = actor(name);
    const everybody = { src: from.mac, dst: BROADCAST };
    return [
      {
        name: `DHCP: a discovery (${from.net})`,
        from: name,
        frames: ({ mark }) => [
          frameOf(
            everybody,
            packet({ src: "0.0.0.0", dst: "255.255.255.255" }, { port: 67, srcPort: 68 }, marked(mark, 240)),
          ),
        ],
      },
      {
        name: `DHCP: an offer in the gateway's name (${from.net})`,
        from: name,
        frames: ({ mark }) => [
          frameOf(
            everybody,
            packet({ src: "10.1.0.254", dst: "255.255.255.255" }, { port: 68, srcPort: 67 }, marked(mark, 240)),
          ),
        ],
      },
    ];
  });
}

/** What comes on a VLAN from machines that are no pods of ours. */
function vlanStrangers(): readonly HostileCase[] {
  const outside = { mac: "02:aa:00:00:00:02", ipv4: "10.2.0.200", linkLocal: "fe80::aa:ff:fe00:2" };
  const blue = ["vatk", "vfar", "vnear", "vq1", "vq2"];
  const at = (vlan: number, frame: string) => tagged(frame, { vlan });
  const data = (mark: number, src: string, dst: string) =>
    frameOf({ src, dst }, packet({ src: outside.ipv4, dst: "255.255.255.255" }, { port: PORT }, marked(mark)));
  const message = (what: string, fields: Parameters<typeof discovery>[1]): HostileCase => ({
    name: `VLAN: ${what} from the wire`,
    from: WIRE,
    frames: ({ mark }) => {
      const ends = { src: outside.linkLocal, dst: "ff02::1" };
      return [at(VLAN.blue, frameOf({ src: outside.mac, dst: ALL_NODES }, discovery(ends, fields, mark)))];
    },
  });
  return [
    {
      ...{ name: "legal: VLAN: a broadcast from the wire", from: WIRE, must: blue },
      frames: ({ mark }) => [at(VLAN.blue, data(mark, outside.mac, BROADCAST))],
    },
    {
      ...{ name: "VLAN: a broadcast from the wire in a VLAN of nobody", from: WIRE },
      frames: ({ mark }) => [at(302, data(mark, outside.mac, BROADCAST))],
    },
    {
      ...{ name: "VLAN: a frame from the wire with the MAC of a pod of the same node", from: WIRE },
      frames: ({ mark }) => [at(VLAN.blue, data(mark, actor("vnear").mac, actor("vatk").mac))],
    },
    message("a router advertisement", { type: Nd.routerAdvertisement, target: "::" }),
    message("a redirect", { type: Nd.redirect, target: outside.linkLocal }),
    message("an advertisement with hop limit 64", { type: Nd.advertisement, hopLimit: 64, target: outside.linkLocal }),
    message("an advertisement with code 1", { type: Nd.advertisement, code: 1, target: outside.linkLocal }),
  ];
}

/** The gateway is nobody in bridge mode, and routes within the tenant in the other. */
function gateways(): readonly HostileCase[] {
  const [from, near, far] = [actor("atk1"), actor("vnear"), actor("vfar")];
  const link = { src: from.mac, dst: GATEWAY_MAC };
  const send =
    (dst: string, src = from.ipv4, ttl = 64) =>
    (mark: number) =>
      frameOf(
        link,
        ip(
          { src, dst },
          Protocol.udp,
          packet({ src, dst }, { port: PORT }, marked(mark)).slice(src.includes(":") ? 80 : 40),
          ttl,
        ),
      );
  const routed = (name: string, frame: (mark: number) => string, must?: string): HostileCase => ({
    ...{ name: `gateway: ${name}`, from: from.name, mode: "routing", ...(must === undefined ? {} : { must: [must] }) },
    frames: ({ mark }) => [frame(mark)],
  });
  return [
    routed("legal: to another network of the tenant, same node", send(near.ipv4), "vnear"),
    routed("legal: to another network of the tenant, other node", send(far.ipv4), "vfar"),
    routed("legal: the same in IPv6", send(far.ipv6, from.ipv6), "vfar"),
    routed("from a link-local address", send(far.ipv6, from.linkLocal)),
    routed("TTL 1", send(far.ipv4, from.ipv4, 1)),
    routed("TTL 0", send(far.ipv4, from.ipv4, 0)),
    routed("hop limit 1", send(far.ipv6, from.ipv6, 1)),
    routed("to the other network's broadcast address", send("10.2.0.255")),
    routed("to everybody", send("255.255.255.255")),
    routed("to a group", send("224.0.0.1")),
    routed("to an IPv6 group", send("ff02::1", from.ipv6)),
    routed("to the node", send(NODE_ADDRESSES[1])),
    routed("in another's name", send(far.ipv4, actor("srv1").ipv4)),
    routed("to the gateway's own address, not a ping", send("10.1.0.254")),
    ...FAMILIES.map(
      (family): HostileCase => ({
        ...{
          name: `gateway: to another network in bridge mode, IPv${family}`,
          from: from.name,
          mode: "bridge" as const,
        },
        may: company(from.name),
        frames: ({ mark }) => [family === 4 ? send(far.ipv4)(mark) : send(far.ipv6, from.ipv6)(mark)],
      }),
    ),
  ];
}

/** Frames that go where no flow should take them: other protocols, tags, the node's kernel, tunnels, other tenants. */
export function frameCases(): readonly HostileCase[] {
  return [
    ...otherTypes(),
    ...OPEN_PAIRS.flatMap(tags),
    ...nodesAddressed(),
    ...nodesAddressedInIpv6(),
    ...tunnels(),
    ...storms(),
    ...dhcp(),
    ...vlanStrangers(),
    ...gateways(),
  ];
}
