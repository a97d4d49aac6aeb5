import { frameOf, optionsHeader, payload } from "../../fakes/ip-packets.ts";
import { between, type HostileCase, JUDGED_PAIRS, OPEN_PAIRS, type Pair, pair } from "./case.ts";
import {
  discoveryBody,
  echoRequest,
  FAMILIES,
  type Family,
  fragment,
  hex,
  icmpError,
  marked,
  Nd,
  Protocol,
  packet,
  segment,
} from "./packets.ts";
import { actor } from "./stage.ts";

const ALLOWED_PORT = 80;
const DENIED_PORT = 81;
const FIRST_BYTES = 64;

let identifications = 0;

/** A packet cut in two behind its first bytes; the mark stands in both. */
function cut(ends: { src: string; dst: string }, protocol: number, data: string, firstBytes = FIRST_BYTES) {
  const identification = ++identifications;
  const at = firstBytes * 2;
  const first = fragment(ends, { protocol, offsetBytes: 0, isLast: false, identification }, data.slice(0, at));
  const last = { protocol, offsetBytes: firstBytes, isLast: true, identification };
  return { first, last: fragment(ends, last, data.slice(at)) };
}

/** Long enough that both halves hold the mark. */
const twice = (mark: number) => marked(mark, FIRST_BYTES - 8) + marked(mark, FIRST_BYTES);

interface Try {
  readonly what: string;
  /** Now, and when the switch would have given up the first. */
  readonly now: (mark: number) => readonly string[];
  readonly late?: (mark: number) => readonly string[];
}

/** Fragments of what is denied: whole packets, cut as only a liar cuts them, and with the last one so late that nobody waits for it. */
function deniedTries(pairOf: Pair, family: Family): readonly Try[] {
  const { ends } = between(pairOf, family);
  const udp = (mark: number, port = DENIED_PORT) => segment(ends, { port }, twice(mark));
  const tcp = (mark: number) => segment(ends, { protocol: "tcp", port: DENIED_PORT, flags: 0x02 }, twice(mark));
  const both = ({ first, last }: ReturnType<typeof cut>) => [first, last];
  const slow = new Map<number, ReturnType<typeof cut>>();
  const slowly = (mark: number) => {
    const made = slow.get(mark) ?? cut(ends, Protocol.udp, udp(mark));
    slow.set(mark, made);
    return made;
  };
  const later = (offsetBytes: number, mark: number, protocol: number = Protocol.udp) =>
    fragment(
      ends,
      { protocol, offsetBytes, isLast: true, identification: ++identifications },
      marked(mark, FIRST_BYTES),
    );
  const overlapping = (mark: number) => {
    const identification = ++identifications;
    const harmless = segment(ends, { port: ALLOWED_PORT }, payload(".".repeat(2 * FIRST_BYTES - 8)));
    const piece = { protocol: Protocol.udp, offsetBytes: 0, isLast: false, identification };
    const again = fragment(ends, piece, udp(mark).slice(0, FIRST_BYTES * 2));
    const rest = { ...piece, offsetBytes: FIRST_BYTES, isLast: true };
    return [
      fragment(ends, piece, harmless.slice(0, FIRST_BYTES * 2)),
      again,
      fragment(ends, rest, marked(mark, FIRST_BYTES)),
    ];
  };
  return [
    { what: "UDP in order", now: (mark) => both(cut(ends, Protocol.udp, udp(mark))) },
    { what: "UDP, last first", now: (mark) => both(cut(ends, Protocol.udp, udp(mark))).reverse() },
    { what: "TCP in order", now: (mark) => both(cut(ends, Protocol.tcp, tcp(mark))) },
    { what: "TCP cut inside its header", now: (mark) => both(cut(ends, Protocol.tcp, tcp(mark), 8)) },
    { what: "UDP cut behind its header", now: (mark) => both(cut(ends, Protocol.udp, udp(mark), 8)) },
    { what: "the last one alone", now: (mark) => [later(FIRST_BYTES, mark), later(1_280, mark), later(64_000, mark)] },
    {
      what: "the last one alone, of TCP",
      now: (mark) => [later(8, mark, Protocol.tcp), later(1_280, mark, Protocol.tcp)],
    },
    { what: "overlapping ones", now: overlapping },
    {
      what: "the first one now, the last one 17 s later",
      now: (mark) => [slowly(mark).first],
      late: (mark) => [slowly(mark).last],
    },
  ];
}

/** Chains that end, or hide, in the first fragment. */
function chainTries(pairOf: Pair): readonly Try[] {
  const { ends } = between(pairOf, 6);
  const udp = (mark: number) => segment(ends, { port: DENIED_PORT }, twice(mark));
  const atomic = (next: number) => `${hex(next, 1)}0000000000004e`;
  const both = ({ first, last }: ReturnType<typeof cut>) => [first, last];
  const options = optionsHeader(Protocol.udp);
  const twoOptions = optionsHeader(Protocol.destinationOptions) + options;
  return [
    {
      what: "the chain ends inside the first one",
      now: (mark) => both(cut(ends, Protocol.destinationOptions, twoOptions + udp(mark), 8)),
    },
    {
      what: "only options in the first one",
      now: (mark) => both(cut(ends, Protocol.destinationOptions, options + udp(mark), 8)),
    },
    {
      what: "half of UDP's header in the first one",
      now: (mark) => both(cut(ends, Protocol.destinationOptions, options + udp(mark), 8)),
    },
    { what: "options before UDP", now: (mark) => both(cut(ends, Protocol.destinationOptions, options + udp(mark))) },
    {
      what: "a fragment header inside",
      now: (mark) => both(cut(ends, Protocol.fragment, atomic(Protocol.udp) + udp(mark))),
    },
    {
      what: "another protocol named in the last one",
      now: (mark) => {
        const identification = ++identifications;
        const piece = { protocol: Protocol.udp, offsetBytes: 0, isLast: false, identification };
        const data = udp(mark);
        const rest = { protocol: Protocol.hip, offsetBytes: FIRST_BYTES, isLast: true, identification };
        return [
          fragment(ends, piece, data.slice(0, 2 * FIRST_BYTES)),
          fragment(ends, rest, data.slice(2 * FIRST_BYTES)),
        ];
      },
    },
  ];
}

function caseOf({ from, to, words }: Pair, family: Family, { what, now, late }: Try): HostileCase {
  const link = { src: from.mac, dst: to.mac };
  const framed = (packets: readonly string[]) => packets.map((each) => frameOf(link, each));
  return {
    name: `fragments of IPv${family} to a denied port: ${what} (${words})`,
    from: from.name,
    frames: ({ mark }) => framed(now(mark)),
    ...(late === undefined ? {} : { late: ({ mark }) => framed(late(mark)) }),
  };
}

/** A lone last fragment to the MAC that another tenant's pod has, too. Blue's pods may get it; red's, never, even when it is late. */
function acrossTenants(): readonly HostileCase[] {
  return [pair("atk1", "srv1"), pair("atk1", "srv2"), pair("atk2", "srv1"), pair("vatk", "vfar")].flatMap((pairOf) =>
    FAMILIES.map((family): HostileCase => {
      const { link, ends } = between(pairOf, family);
      const { from, to, words } = pairOf;
      return {
        ...{
          name: `fragments of IPv${family} without a first one, ${from.name} to ${to.name} (${words})`,
          from: from.name,
        },
        may: [to.name],
        frames: ({ mark }) =>
          [1_280, 1_344, 1_408].map((offsetBytes) => {
            const piece = { protocol: Protocol.udp, offsetBytes, isLast: true, identification: ++identifications };
            return frameOf(link, fragment(ends, piece, marked(mark, FIRST_BYTES)));
          }),
      };
    }),
  );
}

/** Fragments of what has no rights of its own: neighbour discovery and ICMP errors. */
function ofMessages(): readonly HostileCase[] {
  return [pair("atk1", "q1"), pair("atk1", "all2")].flatMap(({ from, to, words }): readonly HostileCase[] => {
    const link = { src: from.mac, dst: to.mac };
    const ends = { src: from.ipv6, dst: to.ipv6 };
    const advertisement = { type: Nd.advertisement, target: from.ipv6, option: { type: 2, mac: from.mac } };
    return [
      {
        ...{ name: `fragments of a neighbour advertisement to ${to.name} (${words})`, from: from.name },
        frames: ({ mark }) => {
          const identification = ++identifications;
          const body = discoveryBody(ends, advertisement, mark);
          const piece = { protocol: Protocol.icmpv6, offsetBytes: 0, isLast: false, identification };
          const whole = fragment(ends, piece, body);
          return [frameOf(link, `${whole.slice(0, 14)}ff${whole.slice(16)}`)];
        },
      },
      {
        ...{ name: `fragments of an ICMP error to ${to.name} (${words})`, from: from.name },
        frames: ({ mark }) => {
          const four = { src: from.ipv4, dst: to.ipv4 };
          const error = icmpError(
            four,
            [3, 4],
            packet({ src: to.ipv4, dst: from.ipv4 }, { port: ALLOWED_PORT }, twice(mark)),
          );
          return [frameOf(link, cut(four, Protocol.icmp, error.slice(40)).first)];
        },
      },
    ];
  });
}

/** A UDP packet in two parts; the mark stands in the second. */
export function legalFragments(pairOf: Pair, mark: number, family: Family = 4): readonly string[] {
  const { link, ends } = between(pairOf, family);
  const text = payload(".".repeat(FIRST_BYTES - 8)) + marked(mark, FIRST_BYTES);
  const { first, last } = cut(ends, Protocol.udp, segment(ends, { port: DENIED_PORT }, text));
  return [frameOf(link, first), frameOf(link, last)];
}

function legal(): readonly HostileCase[] {
  const open = [pair("atk1", "atk2"), pair("atk2", "atk1"), ...OPEN_PAIRS.filter(({ from }) => from.net === "vl")];
  return [
    ...open.flatMap((pairOf) =>
      FAMILIES.map((family): HostileCase => {
        const { from, to, words } = pairOf;
        return {
          ...{
            name: `legal: fragments of IPv${family}, ${from.name} to ${to.name} (${words})`,
            from: from.name,
            must: [to.name],
          },
          frames: ({ mark }) => legalFragments(pairOf, mark, family),
        };
      }),
    ),
    ...[pair("atk1", "q1"), pair("atk1", "q2"), pair("vatk", "vq2")].map((pairOf): HostileCase => {
      const { link, ends } = between(pairOf, 4);
      return {
        ...{
          name: `legal: fragments of a ping to ${pairOf.to.name} (${pairOf.words})`,
          from: pairOf.from.name,
          must: [pairOf.to.name],
        },
        frames: ({ mark }) => {
          const { first, last } = cut(ends, Protocol.icmp, echoRequest(ends, twice(mark)));
          return [frameOf(link, first), frameOf(link, last)];
        },
      };
    }),
  ];
}

/** Fragments: each is judged by what it shows, alone, at once, and belongs to the tenant that sent it. */
export function fragmentCases(): readonly HostileCase[] {
  const denied = [...JUDGED_PAIRS, pair("atk1", "all1"), pair("atk1", "all2")];
  return [
    ...denied.flatMap((each) => [
      ...FAMILIES.flatMap((family) => deniedTries(each, family).map((one) => caseOf(each, family, one))),
      ...chainTries(each).map((one) => caseOf(each, 6, one)),
    ]),
    ...acrossTenants(),
    ...ofMessages(),
    ...legal(),
  ];
}

/** First fragments whose others never come: more than a switch would keep. */
export function loneFirstFragments(count: number): readonly string[] {
  const { link, ends } = between({ from: actor("atk1"), to: actor("srv1"), words: "" }, 4);
  return Array.from({ length: count }, (_, index) => {
    const piece = { protocol: Protocol.udp, offsetBytes: 0, isLast: false, identification: 10_000 + index };
    return frameOf(link, fragment(ends, piece, payload(".".repeat(1_200))));
  });
}
