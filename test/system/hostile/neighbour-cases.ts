import { frameOf } from "../../fakes/ip-packets.ts";
import { type HostileCase, OPEN_PAIRS, type Pair, pair } from "./case.ts";
import { arp, type Discovery, discovery, Nd } from "./packets.ts";
import { actor } from "./stage.ts";

const SOURCE_OPTION = 1;
const TARGET_OPTION = 2;
const REQUEST = 1;
const REPLY = 2;
/** Bytes of data that make frames as long as is allowed, or as long as ND's options of 8 bytes come to it, and the next longer ones. */
const ARP_BYTES = { most: 214, over: 215, far: 1_400 } as const;
const LINK_OPTION_BYTES = 8;
const OPTION_BYTES = { most: 166, over: 174, far: 1_342 } as const;

/** Addresses of nobody: the switch does not answer for them. */
const NOBODY = { vx: ["10.1.0.200", "fd00:1::77"], vl: ["10.2.0.200", "fd00:2::77"] } as const;

type Size = keyof typeof ARP_BYTES;
type Maker = (mark: number, size: Size) => string;

/** Messages that are true, and reach the receiver. */
function trueMessages({ from, to }: Pair): Readonly<Record<string, Maker>> {
  const link = { src: from.mac, dst: to.mac };
  const [nobody4, nobody6] = NOBODY[from.net];
  const say = (src: string, message: Discovery) => discoveryMaker(from.mac, to, src, message);
  const ask = { op: REQUEST, sha: from.mac, spa: from.ipv4, tpa: nobody4 };
  const source = { type: SOURCE_OPTION, mac: from.mac };
  const target = { type: TARGET_OPTION, mac: from.mac };
  return {
    "an ARP request": (mark, size) => arp(link, ask, mark, ARP_BYTES[size]),
    "an ARP reply": (mark, size) => arp(link, { ...ask, op: REPLY, tpa: to.ipv4 }, mark, ARP_BYTES[size]),
    "a router solicitation": say(from.linkLocal, { type: Nd.routerSolicitation, target: "::" }),
    "a solicitation": say(from.ipv6, { type: Nd.solicitation, target: nobody6, option: source }),
    "a search for duplicates": say("::", { type: Nd.solicitation, target: from.ipv6 }),
    "an advertisement": say(from.ipv6, { type: Nd.advertisement, target: from.ipv6, option: target }),
  };
}

/** Routers' messages, which pods may not send at all. */
function routersMessages({ from, to }: Pair): Readonly<Record<string, Maker>> {
  const say = (message: Discovery) => discoveryMaker(from.mac, to, from.linkLocal, message);
  return {
    "a router advertisement": say({ type: Nd.routerAdvertisement, target: "::" }),
    "a redirect": say({ type: Nd.redirect, target: from.linkLocal }),
  };
}

function discoveryMaker(mac: string, to: Pair["to"], src: string, message: Discovery): Maker {
  const sparedBytes = message.option === undefined ? LINK_OPTION_BYTES : 0;
  return (mark, size) => {
    const sized = { ...message, dataBytes: OPTION_BYTES[size] + sparedBytes };
    return frameOf({ src: mac, dst: to.mac }, discovery({ src, dst: to.ipv6 }, sized, mark));
  };
}

/** What policies do not judge carries next to nothing: also to pods that deny everything. */
export function neighbourCases(): readonly HostileCase[] {
  return [...OPEN_PAIRS, pair("atk1", "all1"), pair("atk1", "all2")].flatMap((pairOf) => {
    const { from, to, words } = pairOf;
    const honest = trueMessages(pairOf);
    return [
      ...Object.entries({ ...honest, ...routersMessages(pairOf) }).map(
        ([what, make]): HostileCase => ({
          ...{ name: `oversized: ${what} (${words})`, from: from.name },
          frames: ({ mark }) => [make(mark, "over"), make(mark, "far")],
        }),
      ),
      ...Object.entries(honest).map(
        ([what, make]): HostileCase => ({
          ...{ name: `legal: ${what} as long as is allowed (${words})`, from: from.name, must: [to.name] },
          frames: ({ mark }) => [make(mark, "most")],
        }),
      ),
    ];
  });
}

/** Solicitations for an address of nobody, each with a mark of its own. */
export function solicitations(marks: readonly number[]): readonly string[] {
  const make = trueMessages(pair("atk1", "all1"))["a solicitation"];
  return make === undefined ? [] : marks.map((mark) => make(mark, "most"));
}

/** True messages of both kinds, of one pod to another. */
export function neighbourTruths(from: string, to: string, mark: number): readonly string[] {
  const honest = trueMessages({ from: actor(from), to: actor(to), words: "" });
  return ["an ARP reply", "an advertisement"].flatMap((what) => honest[what]?.(mark, "most") ?? []);
}
