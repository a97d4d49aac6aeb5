import { type Expression, META_IIFNAME, META_L4PROTO, META_OIFNAME, NF_DROP } from "../netlink/nftables/expression.ts";
import { type BaseChain, NF_ACCEPT, type Table, type TableFamily } from "../netlink/nftables/table.ts";

/** Links whose frames belong to the switch alone, as the packet filter knows them: by name. */
export interface ClosedLinks {
  /** Near ends of pods' ports begin so. */
  readonly nearEndPrefix: string;
  /** NICs that are plugged into an uplink bridge, and the kernel's tunnel device. */
  readonly names: readonly string[];
  /** Links on which the switch ends tunnels: what is meant for this UDP port there is the switch's. */
  readonly tunnels: { readonly names: readonly string[]; readonly udpPort: number };
}

/** Name of our tables, one per family. */
export const TABLE_NAME = "contiv-ts";

/** linux/netfilter_ipv4.h orders hooks by it: before fragments are put together (-400) and connections tracked (-200). */
const PRIORITY = -500;
const NF_INET_PRE_ROUTING = 0;
const NF_ARP_IN = 0;
/** linux/netfilter_bridge.h */
const NF_BR_PRE_ROUTING = 0;
const NF_BR_POST_ROUTING = 4;
const IFNAMSIZ = 16;
const IPPROTO_UDP = 17;
const UDP_PORT_OFFSET_BYTES = 2;

/**
 * What keeps the kernel's stack from these links. Both hooks come after packet sockets and after the kernel's own switch have had their
 * frame, so a switch on either datapath gets everything; a hook of the `netdev` family would come before the kernel's.
 */
export function closingTable(family: TableFamily, links: ClosedLinks): Table {
  const chains = family === "bridge" ? bridgeChains(links) : [closingChain(family, links)];
  return { address: { family, name: TABLE_NAME }, flags: 0, chains };
}

/**
 * A near end that somebody has put into one of the kernel's bridges: nothing comes in by it nor leaves by it until it is taken out. The
 * other tables do not see it, for what a bridge hands to the stack comes in by the bridge.
 */
function bridgeChains({ nearEndPrefix }: ClosedLinks): readonly BaseChain[] {
  const prefix = nameBytes(nearEndPrefix);
  const common = { priority: PRIORITY, policy: NF_ACCEPT };
  return [
    { ...common, name: "prerouting", hook: NF_BR_PRE_ROUTING, rules: [dropOf(META_IIFNAME, prefix)] },
    { ...common, name: "postrouting", hook: NF_BR_POST_ROUTING, rules: [dropOf(META_OIFNAME, prefix)] },
  ];
}

function closingChain(family: "inet" | "arp", { nearEndPrefix, names, tunnels }: ClosedLinks): BaseChain {
  const place =
    family === "inet" ? { name: "prerouting", hook: NF_INET_PRE_ROUTING } : { name: "input", hook: NF_ARP_IN };
  const onTunnels = family === "inet" ? sorted(tunnels.names) : [];
  return {
    ...place,
    priority: PRIORITY,
    policy: NF_ACCEPT,
    rules: [
      dropOf(META_IIFNAME, nameBytes(nearEndPrefix)),
      ...sorted(names).map((name) => dropOf(META_IIFNAME, wholeName(name))),
      ...onTunnels.map((name) => dropTunnel(name, tunnels.udpPort)),
    ],
  };
}

function sorted(names: readonly string[]): readonly string[] {
  return [...new Set(names)].sort();
}

function dropOf(key: number, name: Buffer): readonly Expression[] {
  return [...named(key, name), { kind: "counter" }, { kind: "verdict", verdict: NF_DROP }];
}

function dropTunnel(name: string, udpPort: number): readonly Expression[] {
  return [
    ...named(META_IIFNAME, wholeName(name)),
    { kind: "meta", key: META_L4PROTO },
    { kind: "equals", hex: Buffer.of(IPPROTO_UDP).toString("hex") },
    { kind: "transport", offsetBytes: UDP_PORT_OFFSET_BYTES, lengthBytes: 2 },
    { kind: "equals", hex: Buffer.of(udpPort >> 8, udpPort & 0xff).toString("hex") },
    { kind: "counter" },
    { kind: "verdict", verdict: NF_DROP },
  ];
}

function named(key: number, name: Buffer): readonly Expression[] {
  return [
    { kind: "meta", key },
    { kind: "equals", hex: name.toString("hex") },
  ];
}

function nameBytes(name: string): Buffer {
  return Buffer.from(name, "utf8");
}

/** Padded to the kernel's fixed length, so that a longer name does not match. */
function wholeName(name: string): Buffer {
  const padded = Buffer.alloc(IFNAMSIZ);
  padded.write(name, "utf8");
  return padded;
}
