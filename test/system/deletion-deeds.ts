import type { DeletionSite as Site } from "./deletion-site.ts";

type DeletionSite = Omit<Site, "withoutSwitch">;

/** Something that we have made, how it is taken away or changed by hand, and how the log names it. */
export interface Deed {
  readonly what: string;
  readonly delete: (site: DeletionSite) => Promise<unknown>;
  /** The line of the log, with its members, that says what was found. */
  readonly line: RegExp;
  /** Is it back? Where pings would not show it. */
  readonly isBack?: (site: DeletionSite) => Promise<boolean>;
}

const PLUGGED = /plugged in again/;
const RENEWED = /have new interfaces/;
const LINKS = /Links of pods' ports/;
const BASE = /not as they should be; they are repaired/;
const FLOWS = /Flows were not as they should be; they are repaired/;
const LIMITS = /limits of a port were not as they should be/;
const CLOSED = /could reach this node's kernel/;
const NIC = "eth0";

const isBackIn = (show: (site: DeletionSite) => Promise<string>, pattern: RegExp) => async (site: DeletionSite) =>
  pattern.test(await show(site));

const marksOf = async (site: DeletionSite, port: string) =>
  (await site.vsctl("get", "Port", port, "external_ids")).trim();

const PORTS: readonly Deed[] = [
  {
    what: "a pod's port",
    delete: async (site) => site.vsctl("del-port", "contiv-int", await site.port("a1")),
    line: PLUGGED,
  },
  {
    what: "a port's marks",
    delete: async (site) => site.vsctl("clear", "Port", await site.port("a1"), "external_ids"),
    line: PLUGGED,
  },
  {
    what: "one mark",
    delete: async (site) => site.vsctl("remove", "Port", await site.port("a1"), "external_ids", "contiv-endpoint"),
    line: PLUGGED,
  },
  {
    what: "a port's role",
    delete: async (site) => site.vsctl("set", "Port", await site.port("a1"), "external_ids:contiv-role=infra"),
    line: PLUGGED,
  },
  {
    what: "a port's marks, overwritten by another pod's",
    delete: async (site) => {
      const [port, other] = [await site.port("a1"), await site.port("a3")];
      await site.vsctl("set", "Port", port, `external_ids='${await marksOf(site, other)}'`);
    },
    line: PLUGGED,
  },
  {
    what: "the marks of two pods' ports, exchanged",
    delete: async (site) => {
      const [port, other] = [await site.port("a1"), await site.port("v1")];
      const [marks, others] = [await marksOf(site, port), await marksOf(site, other)];
      const exchange = ["set", "Port", port, `external_ids='${others}'`, "--", "set", "Port", other];
      await site.vsctl(...exchange, `external_ids='${marks}'`);
    },
    line: PLUGGED,
  },
  {
    what: "a limited pod's port",
    delete: async (site) => site.vsctl("del-port", "contiv-int", await site.port("a3")),
    line: PLUGGED,
    isBack: isBackIn((site) => site.ofctl("dump-meters", "contiv-int"), /rate=20000/),
  },
  {
    what: "a VLAN pod's port",
    delete: async (site) => site.vsctl("del-port", "contiv-int", await site.port("v1")),
    line: PLUGGED,
  },
];

const BRIDGES: readonly Deed[] = [
  { what: "the integration bridge", delete: ({ vsctl }) => vsctl("del-br", "contiv-int"), line: PLUGGED },
  {
    what: "the bridge's marks",
    delete: ({ vsctl }) => vsctl("clear", "Bridge", "contiv-int", "external_ids"),
    line: BASE,
  },
  { what: "the fail mode", delete: ({ vsctl }) => vsctl("del-fail-mode", "contiv-int"), line: BASE },
  { what: "the tunnel port", delete: ({ vsctl }) => vsctl("del-port", "contiv-int", "contiv-vxlan"), line: BASE },
  {
    what: "the tunnel port's options",
    delete: ({ vsctl }) => vsctl("clear", "Interface", "contiv-vxlan", "options"),
    line: BASE,
  },
  { what: "the patch port", delete: ({ vsctl }) => vsctl("del-port", "contiv-int", `cpi-${NIC}`), line: BASE },
  {
    what: "the uplink bridge's patch port",
    delete: ({ vsctl }) => vsctl("del-port", `cu-${NIC}`, `cpu-${NIC}`),
    line: BASE,
  },
  { what: "the NIC's port", delete: ({ vsctl }) => vsctl("del-port", `cu-${NIC}`, NIC), line: BASE },
  {
    what: "the uplink bridge",
    delete: ({ vsctl }) => vsctl("del-br", `cu-${NIC}`),
    line: BASE,
    isBack: async ({ vsctl }) =>
      /contiv-nic-settings.*disable_ipv6.*0/.test(await vsctl("br-get-external-id", `cu-${NIC}`)),
  },
  {
    what: "the uplink bridge's flows",
    delete: ({ ofctl }) => ofctl("del-flows", `cu-${NIC}`),
    line: BASE,
  },
  {
    what: "the addresses of the uplink",
    delete: ({ onNode }) => onNode(`ip address flush dev cu-${NIC}`),
    line: BASE,
  },
  { what: "the uplink's state", delete: ({ onNode }) => onNode(`ip link set cu-${NIC} down`), line: BASE },
  { what: "the NIC's state", delete: ({ onNode }) => onNode(`ip link set ${NIC} down`), line: BASE },
];

/** What was found stands in the line of the log, as `what` says it. */
const found = (what: string) => new RegExp(`${what}.*${BASE.source}`);

const IN_THE_DATABASE: readonly Deed[] = [
  {
    what: "a pod's port's type",
    delete: async (site) => site.vsctl("set", "Interface", await site.port("a1"), "type=internal"),
    line: found("type internal of port cvh"),
  },
  {
    what: "a pod's port's VLAN, number, queues, size and policing",
    delete: async (site) => {
      const port = await site.port("a1");
      const device = ["set", "Interface", port, "ofport_request=777", "mtu_request=600", "ingress_policing_rate=1"];
      const queues = ["--id=@q", "create", "QoS", "type=linux-htb", "other_config:max-rate=1000"];
      await site.vsctl("set", "Port", port, "tag=5", "qos=@q", "--", ...device, "--", ...queues);
    },
    line: found("tag 5 of port cvh.*ofport_request 777"),
    isBack: async (site) =>
      /^0\s*$/.test(await site.vsctl("get", "Interface", await site.port("a1"), "ingress_policing_rate")),
  },
  {
    what: "what the switch does with a pod's packets, and with fragments",
    delete: async (site) => {
      await site.ofctl("set-frags", "contiv-int", "drop");
      await site.ofctl("mod-port", "contiv-int", await site.port("a1"), "no-receive");
    },
    line: found("fragment handling drop of bridge contiv-int.*no-receive of port cvh"),
  },
  {
    what: "the tunnel port's type",
    delete: ({ vsctl }) => vsctl("set", "Interface", "contiv-vxlan", "type=gre", "options:key=3"),
    line: found("port contiv-vxlan is gone or has other options"),
  },
  {
    what: "the patch ports' types",
    delete: ({ vsctl }) =>
      vsctl("set", "Interface", `cpi-${NIC}`, "type=internal", "--", "set", "Interface", `cpu-${NIC}`, "type=gre"),
    line: found(`port cpi-${NIC} of bridge contiv-int is not as it should be`),
  },
  {
    what: "the NIC's port's type and isolation",
    delete: ({ vsctl }) =>
      vsctl("set", "Interface", NIC, "type=internal", "--", "set", "Port", `cpu-${NIC}`, "protected=true"),
    line: found(`port ${NIC} of bridge cu-${NIC} is not as it should be`),
  },
  {
    what: "the datapath",
    delete: ({ vsctl }) => vsctl("--no-wait", "set", "Bridge", "contiv-int", "datapath_type=system"),
    line: found("datapath type system of bridge contiv-int"),
  },
  {
    what: "the protocols",
    delete: ({ vsctl }) => vsctl("set", "Bridge", "contiv-int", "protocols=OpenFlow10"),
    line: found("protocols OpenFlow10 of bridge contiv-int"),
  },
  {
    what: "the uplink bridge's datapath, protocols and forwarding",
    delete: async ({ vsctl, ofctl }) => {
      await ofctl("del-flows", `cu-${NIC}`);
      const settings = ["datapath_type=system", "protocols=OpenFlow13,OpenFlow10"];
      await vsctl("--no-wait", "set", "Bridge", `cu-${NIC}`, ...settings);
    },
    line: found(`datapath type system of bridge cu-${NIC}.*protocols OpenFlow10 OpenFlow13 of bridge cu-${NIC}`),
  },
];

const LINKS_OF_PODS: readonly Deed[] = [
  {
    what: "a near end's state",
    delete: async (site) => site.onNode(`ip link set ${await site.port("a1")} down`),
    line: LINKS,
  },
  {
    what: "a near end's name",
    delete: async (site) => site.onNode(`ip link set ${await site.port("a1")} down name lost0 up`),
    line: LINKS,
  },
  {
    what: "a near end's size",
    delete: async (site) => site.onNode(`ip link set ${await site.port("a1")} mtu 600`),
    line: LINKS,
  },
  { what: "a near end", delete: async (site) => site.onNode(`ip link delete ${await site.port("a1")}`), line: RENEWED },
  {
    what: "a far end",
    delete: async (site) => site.inPanel(`ip link delete ${await site.farEnd("a1")}`),
    line: RENEWED,
  },
  {
    what: "a far end's state",
    delete: async (site) => site.inPanel(`ip link set ${await site.farEnd("a1")} down`),
    line: LINKS,
  },
  {
    what: "two pods' near ends, put into a bridge",
    delete: async (site) => {
      await site.onNode("ip link add brx type bridge; ip link set brx up");
      for (const pod of ["a1", "v1"]) await site.onNode(`ip link set ${await site.port(pod)} master brx`);
    },
    line: LINKS,
    isBack: async (site) => !/master/.test(await site.onNode("ip -o link show type veth")),
  },
  {
    what: "a ready port's near end, put into a bridge",
    delete: async (site) => {
      await site.onNode("ip link add bry type bridge; ip link set bry up");
      await site.onNode(`ip link set ${await site.readyPort()} master bry`);
    },
    line: LINKS,
    isBack: async (site) => !/master bry/.test(await site.onNode("ip -o link show type veth")),
  },
  {
    what: "a far end's finished checksums",
    delete: async (site) => site.inPanel(`ethtool -K ${await site.farEnd("a1")} tx on`),
    line: /Checksum offloading was on at pods' ports/,
    isBack: async (site) => /^tx-checksumming: off$/m.test(await site.inPanel(`ethtool -k ${await site.farEnd("a1")}`)),
  },
  {
    what: "a far end's alias",
    delete: async (site) => site.inPanel(`ip link set ${await site.farEnd("a1")} alias ''`),
    line: /written down again/,
    isBack: async (site) => /alias contiv/.test(await site.inPanel(`ip link show ${await site.farEnd("a1")}`)),
  },
];

const LIMITS_AND_FLOWS: readonly Deed[] = [
  {
    what: "what limits a pod's receiving",
    delete: async (site) => site.onNode(`tc qdisc delete dev ${await site.port("a2")} root`),
    line: LIMITS,
    isBack: async (site) => /tbf/.test(await site.onNode(`tc qdisc show dev ${await site.port("a2")}`)),
  },
  {
    what: "what limits a pod's sending",
    delete: async (site) => site.inPanel(`tc qdisc delete dev ${await site.farEnd("a2")} root`),
    line: LIMITS,
    isBack: async (site) => /tbf/.test(await site.inPanel(`tc qdisc show dev ${await site.farEnd("a2")}`)),
  },
  {
    what: "the bareness of pods without limits",
    delete: async (site) => {
      const tbf = "root tbf rate 8bit burst 100 latency 1s";
      await site.onNode(`tc qdisc replace dev ${await site.port("a1")} ${tbf}`);
      await site.inPanel(`tc qdisc replace dev ${await site.farEnd("v1")} ${tbf}`);
    },
    line: LIMITS,
    isBack: async (site) =>
      !/tbf/.test(await site.onNode(`tc qdisc show dev ${await site.port("a1")}`)) &&
      !/tbf/.test(await site.inPanel(`tc qdisc show dev ${await site.farEnd("v1")}`)),
  },
  {
    what: "the meters",
    delete: ({ ofctl }) => ofctl("del-meters", "contiv-int"),
    line: FLOWS,
    isBack: isBackIn((site) => site.ofctl("dump-meters", "contiv-int"), /^(?=.*rate=20000).*pktps.*rate=200 /s),
  },
  { what: "all flows", delete: ({ ofctl }) => ofctl("del-flows", "contiv-int"), line: FLOWS },
  { what: "the flows of a table", delete: ({ ofctl }) => ofctl("del-flows", "contiv-int", "table=90"), line: FLOWS },
];

const KERNEL: readonly Deed[] = [
  {
    what: "the tables of nftables",
    delete: ({ onNode }) => onNode("nft flush ruleset"),
    line: CLOSED,
    isBack: isBackIn((site) => site.onNode("nft list tables"), /(inet|arp) contiv-ts\ntable (inet|arp) contiv-ts/),
  },
  {
    what: "settings of a near end",
    delete: async (site) => {
      const port = await site.port("a1");
      await site.onNode(`sysctl -qw net.ipv4.conf.${port}.arp_ignore=0 net.ipv6.conf.${port}.disable_ipv6=0`);
    },
    line: CLOSED,
    isBack: async (site) => {
      const port = await site.port("a1");
      return /^8\s1\s$/.test(
        await site.onNode(`sysctl -n net.ipv4.conf.${port}.arp_ignore net.ipv6.conf.${port}.disable_ipv6`),
      );
    },
  },
  {
    what: "settings of the NIC",
    delete: ({ onNode }) => onNode(`sysctl -qw net.ipv4.conf.${NIC}.arp_ignore=0`),
    line: /settings of NIC eth0 .*arp_ignore 0/,
    isBack: isBackIn((site) => site.onNode(`sysctl -n net.ipv4.conf.${NIC}.arp_ignore`), /^8$/m),
  },
];

/** Each thing alone. */
export const DEEDS: readonly Deed[] = [
  ...PORTS,
  ...BRIDGES,
  ...IN_THE_DATABASE,
  ...LINKS_OF_PODS,
  ...LIMITS_AND_FLOWS,
  ...KERNEL,
];

function named(what: string): Deed {
  const found = DEEDS.find((each) => each.what === what);
  if (found === undefined) throw new Error(`no deed is called "${what}"`);
  return found;
}

/** Things that repair each other or say of each other what they are, both gone at once. */
export const PAIRS: readonly (readonly [Deed, Deed])[] = [
  ["a pod's port", "a near end"],
  ["a port's marks", "a far end's alias"],
  ["a far end", "a port's marks"],
  ["the integration bridge", "a near end"],
  ["the tunnel port's options", "the integration bridge"],
  ["the integration bridge", "the uplink bridge"],
  ["the addresses of the uplink", "the uplink bridge"],
  ["the patch port", "the uplink bridge's patch port"],
  ["the tunnel port", "all flows"],
  ["the meters", "what limits a pod's receiving"],
  ["the datapath", "the protocols"],
  ["the tables of nftables", "settings of a near end"],
].map(([one = "", other = ""]) => [named(one), named(other)] as const);

/** Gone while netplugin, or the switch, is away: one of each kind. */
export const WHILE_AWAY: readonly Deed[] = [
  "a port's marks, overwritten by another pod's",
  "the marks of two pods' ports, exchanged",
  "a near end",
  "the integration bridge",
  "the uplink bridge",
  "the datapath",
  "all flows",
  "the meters",
  "what limits a pod's sending",
  "the tables of nftables",
].map(named);

/** What the switch itself must be there for. */
export const NEEDS_SWITCH: ReadonlySet<string> = new Set(["all flows", "the meters", "the uplink bridge's flows"]);
