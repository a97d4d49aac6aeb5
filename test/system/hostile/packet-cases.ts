import { frameOf, optionsHeader, payload } from "../../fakes/ip-packets.ts";
import { between, type HostileCase, JUDGED_PAIRS, OPEN_PAIRS, type Pair, pair } from "./case.ts";
import {
  echoRequest,
  FAMILIES,
  hex,
  icmpError,
  ip,
  marked,
  Protocol,
  packet,
  segment,
  TcpFlags,
  withOptions,
} from "./packets.ts";
import { actor } from "./stage.ts";

const ALLOWED_PORT = 80;
const DENIED_PORT = 81;
const OPEN_PORT = 53;

/** IPv4 options (RFC 791 §3.1, RFC 2113), filled up to whole words. */
const OPTIONS = {
  "loose source routing": "830b040a0100050a01000600",
  "strict source routing": "890b040a0100050a01000600",
  "record route": "070b04000000000000000000",
  timestamps: "440c05000000000000000000",
  "router alert": "94040000",
  "a stream of noops": "01010101",
  "an option of no known kind": "9e040000",
};

/** No option opens a way that the rules close. */
function options({ from, to, words }: Pair): readonly HostileCase[] {
  const ends = { src: from.ipv4, dst: to.ipv4 };
  const link = { src: from.mac, dst: to.mac };
  return Object.entries(OPTIONS).map(([what, bytes]) => ({
    name: `IPv4 options: ${what}, denied port (${words})`,
    from: from.name,
    frames: ({ mark }) => [
      frameOf(link, withOptions(ends, bytes, Protocol.udp, segment(ends, { port: DENIED_PORT }, marked(mark)))),
      frameOf(
        link,
        withOptions(ends, bytes, Protocol.tcp, segment(ends, { protocol: "tcp", port: DENIED_PORT }, marked(mark))),
      ),
    ],
  }));
}

/** Headers that lie about themselves. The receiver may not see them: nothing could judge them. */
function lyingHeaders({ from, to, words }: Pair): readonly HostileCase[] {
  const four = { src: from.ipv4, dst: to.ipv4 };
  const six = { src: from.ipv6, dst: to.ipv6 };
  const link = { src: from.mac, dst: to.mac };
  const lie = (what: string, change: (mark: number) => string): HostileCase => {
    return { name: `header: ${what} (${words})`, from: from.name, frames: ({ mark }) => [change(mark)] };
  };
  const whole4 = (mark: number) => frameOf(link, packet(four, { port: OPEN_PORT }, marked(mark)));
  const whole6 = (mark: number) => frameOf(link, packet(six, { port: OPEN_PORT }, marked(mark)));
  const at = (frame: string, byte: number, bytes: string) => {
    return frame.slice(0, byte * 2) + bytes + frame.slice(byte * 2 + bytes.length);
  };
  return [
    lie("IPv4, header length below 20 bytes", (mark) => at(whole4(mark), 14, "44")),
    lie("IPv4, header longer than the packet", (mark) => at(whole4(mark), 14, "4f").slice(0, 128)),
    lie("IPv4, total length below its header", (mark) => at(whole4(mark), 16, "0013")),
    lie("IPv4, total length beyond the frame", (mark) => at(whole4(mark), 16, "0400")),
    lie("IPv6, payload length beyond the frame", (mark) => at(whole6(mark), 18, "0400")),
    lie("IPv6, a jumbogram", (mark) => {
      const data = segment(six, { port: OPEN_PORT }, marked(mark));
      const option = `${hex(Protocol.udp, 1)}00c204${hex(8 + data.length / 2, 4)}`;
      return at(frameOf(link, ip(six, Protocol.hopByHop, option + data)), 18, "0000");
    }),
    lie("IPv6, a chain that is cut", (mark) =>
      frameOf(link, ip(six, Protocol.destinationOptions, `1120${marked(mark, 18)}`)),
    ),
    lie("IPv6, a chain of nothing but options", (mark) => {
      return frameOf(
        link,
        ip(six, Protocol.destinationOptions, `${hex(Protocol.destinationOptions, 1)}02${marked(mark, 22)}`),
      );
    }),
  ];
}

/** Extension headers do not hide the port that is denied. */
function chains({ from, to, words }: Pair): readonly HostileCase[] {
  const ends = { src: from.ipv6, dst: to.ipv6 };
  const options = optionsHeader(Protocol.udp);
  const heads: Readonly<Record<string, readonly [number, string]>> = {
    "destination options": [Protocol.destinationOptions, options],
    "hop-by-hop options": [Protocol.hopByHop, options],
    "both kinds of options": [Protocol.hopByHop, optionsHeader(Protocol.destinationOptions) + options],
    "a routing header of type 0": [
      Protocol.routing,
      `${hex(Protocol.udp, 1)}02000100000000fd000001000000000000000000000006`,
    ],
    "a routing header of type 2": [Protocol.routing, `${hex(Protocol.udp, 1)}0002000000000000`.slice(0, 16)],
    "a routing header of type 4 without segments left": [Protocol.routing, `${hex(Protocol.udp, 1)}00040000000000`],
    "an atomic fragment": [Protocol.fragment, `${hex(Protocol.udp, 1)}00000000004d00`.padEnd(16, "0")],
    "sixteen headers": [Protocol.destinationOptions, optionsHeader(Protocol.destinationOptions).repeat(15) + options],
  };
  return Object.entries(heads).map(([what, [protocol, head]]) => ({
    name: `IPv6 chain: ${what}, denied port (${words})`,
    from: from.name,
    frames: ({ mark }) => [
      frameOf(
        { src: from.mac, dst: to.mac },
        ip(ends, protocol, head + segment(ends, { port: DENIED_PORT }, marked(mark))),
      ),
    ],
  }));
}

/** `all1` and `all2` deny everything but UDP to port 80. */
function deniedProtocols(): readonly HostileCase[] {
  const protocols = Object.entries(Protocol).filter(([, number]) => {
    return number !== Protocol.udp && number !== Protocol.icmpv6;
  });
  return ["all1", "all2"].flatMap((name) => {
    const deniedPair = pair("atk1", name);
    return FAMILIES.flatMap((family) => {
      const { link, ends } = between(deniedPair, family);
      const denied = (what: string, data: (mark: number) => string): HostileCase => ({
        name: `denied: ${what} in IPv${family} (${deniedPair.words})`,
        from: "atk1",
        frames: ({ mark }) => [frameOf(link, data(mark))],
      });
      return [
        ...protocols.map(([word, number]) =>
          denied(word, (mark) => ip(ends, number, payload("\0\0\0\0") + marked(mark))),
        ),
        denied("a ping", (mark) => {
          return ip(ends, family === 4 ? Protocol.icmp : Protocol.icmpv6, echoRequest(ends, marked(mark)));
        }),
        denied("UDP to port 81", (mark) => packet(ends, { port: DENIED_PORT }, marked(mark))),
        denied("UDP from port 80", (mark) => packet(ends, { port: DENIED_PORT, srcPort: ALLOWED_PORT }, marked(mark))),
        denied("6in4 or IP in IP for another tenant", (mark) => {
          const inner = packet({ src: "10.1.0.1", dst: "10.1.0.3" }, { port: ALLOWED_PORT }, marked(mark));
          return ip(ends, Protocol.ipInIp, inner);
        }),
        {
          ...{ name: `legal: UDP to port 80 in IPv${family} (${deniedPair.words})`, from: "atk1", must: [name] },
          frames: ({ mark }): readonly string[] => [frameOf(link, packet(ends, { port: ALLOWED_PORT }, marked(mark)))],
        },
      ];
    });
  });
}

/** TCP of every kind to ports that are denied: nothing but a connection's own segments could pass. */
function deniedTcp(): readonly HostileCase[] {
  const targets = [pair("atk1", "srv1"), pair("atk1", "srv2"), pair("vatk", "vq2")];
  return targets.flatMap((target) =>
    FAMILIES.flatMap((family) => {
      const { link, ends } = between(target, family);
      const { from, to, words } = target;
      const send = (flags: number, port: number, srcPort: number) => (mark: number) =>
        frameOf(link, packet(ends, { protocol: "tcp", flags, port, srcPort }, marked(mark)));
      return [
        ...Object.entries({ ...TcpFlags, "syn and ack": 0x12, "fin and ack": 0x11, "rst and ack": 0x14 }).map(
          ([word, flags]): HostileCase => ({
            name: `denied: TCP with flags ${word} in IPv${family} to ${to.name} (${words})`,
            from: from.name,
            frames: ({ mark }) => [send(flags, DENIED_PORT, 40_001)(mark), send(flags, DENIED_PORT, 80)(mark)],
          }),
        ),
        {
          ...{
            name: `legal: TCP to port 80 in IPv${family} to ${to.name} (${words})`,
            from: from.name,
            must: [to.name],
          },
          frames: ({ mark }): readonly string[] => [send(TcpFlags.syn, ALLOWED_PORT, 40_001)(mark)],
        },
      ];
    }),
  );
}

const PORT_UNREACHABLE = { 4: [3, 3], 6: [1, 4] } as const;
/** Errors that routers send (RFC 792, RFC 1191, RFC 4443), with names. */
const ROUTERS_ERRORS = {
  4: {
    "fragmentation needed": [3, 4],
    "network unreachable": [3, 0],
    "administratively prohibited": [3, 13],
    "source quench": [4, 0],
    redirect: [5, 1],
    "time exceeded": [11, 0],
    "reassembly time exceeded": [11, 1],
    "parameter problem": [12, 0],
  },
  6: {
    "packet too big": [2, 0],
    "no route": [1, 0],
    "administratively prohibited": [1, 1],
    "address unreachable": [1, 3],
    "hop limit exceeded": [3, 0],
    "reassembly time exceeded": [3, 1],
    "parameter problem": [4, 0],
  },
} as const satisfies Record<4 | 6, Record<string, readonly [number, number]>>;

/** Connections of others that errors quote: of `atk2` to UDP port 80 of `all1`, and of `all1` to a port of `atk2`. */
function quotedConnections(family: 4 | 6) {
  const [client, server, liar] = [actor("atk2"), actor("all1"), actor("atk1")];
  const [asks, asked] = [
    { srcPort: 40_100 + family, port: ALLOWED_PORT },
    { srcPort: 40_200 + family, port: 9_999 },
  ];
  const toServer = between({ from: client, to: server, words: "" }, family);
  const toClient = between({ from: server, to: client, words: "" }, family);
  const reply = { srcPort: asks.port, port: asks.srcPort };
  return {
    ...{ client, server, liar, toServer, toClient, asks },
    before: [
      { by: client.name, frames: () => [frameOf(toServer.link, packet(toServer.ends, asks, payload("begin")))] },
      { by: server.name, frames: () => [frameOf(toClient.link, packet(toClient.ends, asked, payload("begin")))] },
    ],
    quotes: (mark: number) => [packet(toClient.ends, reply, marked(mark)), packet(toClient.ends, asked, marked(mark))],
    error: (from: typeof liar, to: typeof liar, what: readonly [number, number], quoted: string) => {
      const { link, ends } = between({ from, to, words: "" }, family);
      return frameOf(link, icmpError(ends, what, quoted, 0x240));
    },
  };
}

/** Of each kind that hosts and routers send. */
function icmpErrors(family: 4 | 6): readonly HostileCase[] {
  const { client, server, liar, toServer, asks, before, quotes, error } = quotedConnections(family);
  const all = { "port unreachable": PORT_UNREACHABLE[family], ...ROUTERS_ERRORS[family] };
  return [
    ...Object.entries(all).map(
      ([word, what]): HostileCase => ({
        ...{ name: `ICMP error of IPv${family}: ${word} about others' connections`, from: liar.name, before },
        frames: ({ mark }) => quotes(mark).map((quoted) => error(liar, server, what, quoted)),
      }),
    ),
    ...Object.entries(ROUTERS_ERRORS[family]).map(
      ([word, what]): HostileCase => ({
        ...{ name: `ICMP error of IPv${family}: ${word} by the addressee itself`, from: client.name, before },
        frames: ({ mark }) => quotes(mark).map((quoted) => error(client, server, what, quoted)),
      }),
    ),
    ...Object.entries(ROUTERS_ERRORS[family]).map(
      ([word, what]): HostileCase => ({
        ...{ name: `ICMP error of IPv${family}: ${word} to a pod without policies`, from: liar.name },
        frames: ({ mark }) => [error(liar, client, what, packet(toServer.ends, asks, marked(mark)))],
      }),
    ),
  ];
}

/** Those that say "nobody listens": of no connection, in another's name, and the one that is right. */
function unreachables(family: 4 | 6): readonly HostileCase[] {
  const { client, server, liar, toServer, toClient, before, quotes, error } = quotedConnections(family);
  return [
    {
      ...{ name: `ICMP error of IPv${family}: port unreachable about no connection`, from: liar.name },
      frames: ({ mark }): readonly string[] => {
        const quoted = packet(toClient.ends, { srcPort: 7, port: 7 }, marked(mark));
        return [error(liar, server, PORT_UNREACHABLE[family], quoted)];
      },
    },
    {
      ...{ name: `ICMP error of IPv${family} in the addressee's name`, from: liar.name, before },
      frames: ({ mark }): readonly string[] => {
        const { ends } = toServer;
        const link = { src: liar.mac, dst: server.mac };
        return quotes(mark).map((quoted) => frameOf(link, icmpError(ends, PORT_UNREACHABLE[family], quoted)));
      },
    },
    {
      ...{ name: `legal: port unreachable of IPv${family} by the addressee`, from: client.name, before },
      must: [server.name],
      frames: ({ mark }): readonly string[] =>
        quotes(mark).map((quoted) => error(client, server, PORT_UNREACHABLE[family], quoted)),
    },
  ];
}

/** Packets that no rule, or a rule against them, lets pass, however they are written. */
export function packetCases(): readonly HostileCase[] {
  return [
    ...JUDGED_PAIRS.flatMap((each) => [...options(each), ...chains(each)]),
    ...OPEN_PAIRS.flatMap(lyingHeaders),
    ...deniedProtocols(),
    ...deniedTcp(),
    ...FAMILIES.flatMap((family) => [...icmpErrors(family), ...unreachables(family)]),
  ];
}
