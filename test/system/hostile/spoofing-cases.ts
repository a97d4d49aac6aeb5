import { frameOf } from "../../fakes/ip-packets.ts";
import { between, type HostileCase, OPEN_PAIRS, type Pair, pair } from "./case.ts";
import { arp, discovery, FAMILIES, type Family, marked, Nd, packet } from "./packets.ts";
import {
  ALL_NODES,
  actor,
  BROADCAST,
  CONTROL_ADDRESS,
  company,
  GATEWAY_MAC,
  GATEWAYS,
  NODE_ADDRESSES,
} from "./stage.ts";

const PORT = 53;
const STRANGER_MAC = "02:02:0a:63:63:63";
const SOURCE_OPTION = 1;
const TARGET_OPTION = 2;
const REQUEST = 1;
const REPLY = 2;

/** Sources that are not the sender's. */
function falseSources({ from, to }: Pair, family: Family): readonly (readonly [string, string])[] {
  const other = from.net === "vx" ? actor("srv1") : actor("vq1");
  if (family === 4) {
    return [
      ["another's address", other.ipv4],
      ["the receiver's own address", to.ipv4],
      ["the gateway's address", GATEWAYS[from.net]],
      ["a node's address", NODE_ADDRESSES[1]],
      ["0.0.0.0", "0.0.0.0"],
      ["127.0.0.1", "127.0.0.1"],
      ["a group address", "224.0.0.1"],
      ["the broadcast address", "255.255.255.255"],
      ["an address of nobody", "192.0.2.9"],
    ];
  }
  return [
    ["another's address", other.ipv6],
    ["the receiver's own address", to.ipv6],
    ["another's link-local address", other.linkLocal],
    ["an unspecified source", "::"],
    ["::1", "::1"],
    ["a group address", "ff02::1"],
    ["a mapped IPv4 address", `::ffff:${from.ipv4}`],
    ["an address of nobody", "2001:db8::9"],
  ];
}

function addressLies(pairOf: Pair): readonly HostileCase[] {
  return FAMILIES.flatMap((family) => {
    const { link, ends } = between(pairOf, family);
    return falseSources(pairOf, family).map(([what, src]): HostileCase => {
      const frames: HostileCase["frames"] = ({ mark }) => [
        frameOf(link, packet({ ...ends, src }, { port: PORT }, marked(mark))),
        frameOf(link, packet({ ...ends, src }, { protocol: "tcp", port: PORT }, marked(mark))),
        frameOf({ ...link, dst: BROADCAST }, packet({ ...ends, src }, { port: PORT }, marked(mark))),
      ];
      return { name: `IPv${family} from ${what} (${pairOf.words})`, from: pairOf.from.name, frames };
    });
  });
}

function macLies(pairOf: Pair): readonly HostileCase[] {
  const { from, to } = pairOf;
  const sources = {
    "the receiver's MAC": to.mac,
    "a strange MAC": STRANGER_MAC,
    "the gateway's MAC": GATEWAY_MAC,
    "a group MAC": ALL_NODES,
  };
  return Object.entries(sources).map(([what, src]) => ({
    name: `frames from ${what} (${pairOf.words})`,
    from: from.name,
    frames: ({ mark }) =>
      FAMILIES.flatMap((family) =>
        [to.mac, BROADCAST].map((dst) =>
          frameOf({ src, dst }, packet(between(pairOf, family).ends, { port: PORT }, marked(mark))),
        ),
      ),
  }));
}

function arpLies(pairOf: Pair): readonly HostileCase[] {
  const { from, to } = pairOf;
  const other = from.net === "vx" ? actor("srv1") : actor("vq1");
  const gateway = GATEWAYS[from.net];
  const lies: Readonly<Record<string, { op: number; sha: string; spa: string; tpa: string }>> = {
    "a reply that names another": { op: REPLY, sha: from.mac, spa: other.ipv4, tpa: to.ipv4 },
    "a reply with another's MAC": { op: REPLY, sha: other.mac, spa: from.ipv4, tpa: to.ipv4 },
    "a request in another's name": { op: REQUEST, sha: from.mac, spa: other.ipv4, tpa: to.ipv4 },
    "a reply for the gateway": { op: REPLY, sha: from.mac, spa: gateway, tpa: to.ipv4 },
    "an announcement of the gateway": { op: REQUEST, sha: from.mac, spa: gateway, tpa: gateway },
    "an announcement of another": { op: REQUEST, sha: from.mac, spa: other.ipv4, tpa: other.ipv4 },
    "a probe for another's address": { op: REQUEST, sha: from.mac, spa: "0.0.0.0", tpa: to.ipv4 },
    "in its own name, of no kind that there is": { op: 25, sha: from.mac, spa: from.ipv4, tpa: to.ipv4 },
    "in its own name, of kind 257": { op: 257, sha: from.mac, spa: from.ipv4, tpa: to.ipv4 },
    "a reverse request": { op: 3, sha: from.mac, spa: other.ipv4, tpa: to.ipv4 },
  };
  return Object.entries(lies).map(([what, message]) => ({
    name: `ARP: ${what} (${pairOf.words})`,
    from: from.name,
    frames: ({ mark }) => [to.mac, BROADCAST].map((dst) => arp({ src: from.mac, dst }, message, mark)),
  }));
}

function discoveryLies(pairOf: Pair): readonly HostileCase[] {
  const { from, to } = pairOf;
  const other = from.net === "vx" ? actor("srv1") : actor("vq1");
  const own = { type: TARGET_OPTION, mac: from.mac };
  const lies: readonly (readonly [string, string, Parameters<typeof discovery>[1]])[] = [
    ["an advertisement of another's address", from.ipv6, { type: Nd.advertisement, target: other.ipv6, option: own }],
    ["an advertisement in another's name", other.ipv6, { type: Nd.advertisement, target: other.ipv6, option: own }],
    [
      "an advertisement with another's MAC",
      from.ipv6,
      { type: Nd.advertisement, target: from.ipv6, option: { ...own, mac: other.mac } },
    ],
    [
      "a solicitation with another's MAC",
      from.ipv6,
      { type: Nd.solicitation, target: to.ipv6, option: { type: SOURCE_OPTION, mac: other.mac } },
    ],
    ...[
      ["the lie first", other.mac, from.mac],
      ["the lie last", from.mac, other.mac],
      ["lies both", other.mac, other.mac],
    ].map(([what, mac = "", second = ""]): (typeof lies)[number] => [
      `a solicitation with two MACs, ${what}`,
      from.ipv6,
      {
        ...{ type: Nd.solicitation, target: to.ipv6 },
        option: { type: SOURCE_OPTION, mac },
        secondOption: { type: SOURCE_OPTION, mac: second },
      },
    ]),
    ["a search for duplicates of another's address", "::", { type: Nd.solicitation, target: to.ipv6 }],
    ["a router advertisement", from.linkLocal, { type: Nd.routerAdvertisement, target: "::" }],
    ["a redirect", from.linkLocal, { type: Nd.redirect, target: from.linkLocal }],
    ["a redirect in the gateway's name", "fe80::200:ff:fe11:1111", { type: Nd.redirect, target: from.linkLocal }],
    [
      "an advertisement with hop limit 64",
      from.ipv6,
      { type: Nd.advertisement, hopLimit: 64, target: from.ipv6, option: own },
    ],
    ["an advertisement with code 1", from.ipv6, { type: Nd.advertisement, code: 1, target: from.ipv6, option: own }],
    [
      "a solicitation with hop limit 254",
      from.ipv6,
      { type: Nd.solicitation, hopLimit: 254, target: "fd00:1::77", option: { type: SOURCE_OPTION, mac: from.mac } },
    ],
    [
      "a router solicitation with hop limit 1",
      from.linkLocal,
      { type: Nd.routerSolicitation, hopLimit: 1, target: "::" },
    ],
  ];
  return lies.map(([what, src, message]) => ({
    name: `ND: ${what} (${pairOf.words})`,
    from: from.name,
    frames: ({ mark }) => [
      frameOf({ src: from.mac, dst: to.mac }, discovery({ src, dst: to.ipv6 }, message, mark)),
      frameOf({ src: from.mac, dst: ALL_NODES }, discovery({ src, dst: "ff02::1" }, message, mark)),
    ],
  }));
}

function truths(pairOf: Pair): readonly HostileCase[] {
  const { from, to } = pairOf;
  const option = { type: TARGET_OPTION, mac: from.mac };
  return [
    ...FAMILIES.map((family): HostileCase => {
      const { link, ends } = between(pairOf, family);
      return {
        name: `legal: IPv${family} in its own name (${pairOf.words})`,
        ...{ from: from.name, must: [to.name] },
        frames: ({ mark }) => [frameOf(link, packet(ends, { port: PORT }, marked(mark)))],
      };
    }),
    {
      name: `legal: an advertisement of its own address (${pairOf.words})`,
      ...{ from: from.name, must: [to.name] },
      frames: ({ mark }) => {
        const ends = { src: from.ipv6, dst: to.ipv6 };
        const message = { type: Nd.advertisement, target: from.ipv6, option };
        return [frameOf({ src: from.mac, dst: to.mac }, discovery(ends, message, mark))];
      },
    },
    {
      name: `legal: an ARP reply in its own name (${pairOf.words})`,
      ...{ from: from.name, must: [to.name] },
      frames: ({ mark }) => [
        arp({ src: from.mac, dst: to.mac }, { op: REPLY, sha: from.mac, spa: from.ipv4, tpa: to.ipv4 }, mark),
      ],
    },
  ];
}

/** Who asks for what is not a pod's is heard by pods of its network at most, and answered by nobody (the suite looks at all MACs). */
function strangersAsked(): readonly HostileCase[] {
  const asked = {
    "its node": NODE_ADDRESSES[1],
    "the other node": NODE_ADDRESSES[2],
    "a machine of the underlay": CONTROL_ADDRESS,
  };
  return Object.entries(asked).flatMap(([what, tpa]) =>
    ["atk1", "vatk"].map((name): HostileCase => {
      const from = actor(name);
      return {
        name: `ARP: a request for the address of ${what} (${from.net})`,
        ...{ from: name, may: company(name) },
        frames: ({ mark }) => [
          arp({ src: from.mac, dst: BROADCAST }, { op: REQUEST, sha: from.mac, spa: from.ipv4, tpa }, mark),
        ],
      };
    }),
  );
}

/** Who lies about where it comes from, in every layer that says it. */
export function spoofingCases(): readonly HostileCase[] {
  const discoveryPairs = [...OPEN_PAIRS, pair("atk1", "all1"), pair("atk1", "all2")];
  return [
    ...OPEN_PAIRS.flatMap((each) => [...addressLies(each), ...macLies(each), ...arpLies(each), ...truths(each)]),
    ...discoveryPairs.flatMap(discoveryLies),
    ...strangersAsked(),
  ];
}
