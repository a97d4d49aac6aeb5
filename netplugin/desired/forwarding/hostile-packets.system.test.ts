import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type FlowLab, startFlowLab } from "../../../test/fakes/flow-lab.ts";
import { sendFrames, sniff } from "../../../test/fakes/frames.ts";
import {
  advertisementBody,
  type Between,
  fragmentHeader,
  frameOf,
  icmp,
  ipv4,
  ipv6,
  optionsHeader,
  payload,
  tcp,
  udp,
} from "../../../test/fakes/ip-packets.ts";
import { macOf } from "../../../test/fakes/world.ts";

/**
 * Packets that no honest kernel sends, through the flows of two nodes with a real switch each. Of tenant t1: `a` (n1) and `p` (n2) without
 * policies; `q` (n1) and `q2` (n2) deny UDP to port 81; `d` (n1) denies all but UDP to port 80; `u` (n1) denies all but UDP. Of tenant
 * t2: `r` (n1) and `r2` (n2), with the addresses of `a` and `q2`. `v` (n1) is on VLAN 300, with a machine `host` on the underlay.
 */
const WORLD = `
  mode bridge proxy
  node n1 192.168.50.1
  node n2 192.168.50.2
  network t1:blue vxlan 100 10.1.1.0/24 ipv6 2001:db8:1::/64
  network t2:red vxlan 200 10.1.1.0/24 ipv6 2001:db8:1::/64
  network t1:wire vlan 300 10.1.3.0/24 ipv6 2001:db8:3::/64
  group t1:g7 t1:blue port81
  group t1:g8 t1:blue closed
  group t1:g9 t1:blue onlyudp
  group t2:g10 t2:red loose
  policy t1:port81
  policy t1:closed
  policy t1:onlyudp
  policy t2:loose
  rule t1:port81:deny in deny protocol udp port 81
  rule t1:closed:deny in deny
  rule t1:closed:allow in allow protocol udp port 80 priority 10
  rule t1:onlyudp:deny in deny
  rule t1:onlyudp:allow in allow protocol udp priority 10
  rule t2:loose:deny in deny protocol tcp port 9
  endpoint a t1:blue n1 10.1.1.1 2001:db8:1::1
  endpoint q t1:blue n1 10.1.1.2 2001:db8:1::2 group 7
  endpoint d t1:blue n1 10.1.1.3 2001:db8:1::3 group 8
  endpoint u t1:blue n1 10.1.1.4 2001:db8:1::4 group 9
  endpoint p t1:blue n2 10.1.1.11 2001:db8:1::11
  endpoint q2 t1:blue n2 10.1.1.12 2001:db8:1::12 group 7
  endpoint r t2:red n1 10.1.1.1 2001:db8:1::1 group 10
  endpoint r2 t2:red n2 10.1.1.12 2001:db8:1::12 group 10
  endpoint v t1:wire n1 10.1.3.1 2001:db8:3::1
`;
const FOUR: Readonly<Record<string, string>> = {
  ...{ a: "10.1.1.1", q: "10.1.1.2", d: "10.1.1.3", u: "10.1.1.4", p: "10.1.1.11", q2: "10.1.1.12" },
  ...{ r: "10.1.1.1", r2: "10.1.1.12", v: "10.1.3.1", host: "10.1.3.99" },
};
const six = (ipv4Address: string) => ipv4Address.replace(/^10\.1\.(\d+)\.(\d+)$/, "2001:db8:$1::$2");
const HOST_MAC = "02:aa:00:00:00:01";
const [UDP, TCP, ICMP, ICMPV6] = [17, 6, 1, 58];
const [HOP_BY_HOP, ROUTING, FRAGMENT, OPTIONS] = [0, 43, 44, 60];
const [SYN, ACK] = [0x02, 0x10];
/** A packet that passes is there by then; the first ones over a new way are slow. */
const ARRIVAL_MS = 3_000;
/** And one that should not is awaited so long behind the others. */
const GRACE_MS = 250;
/** Open vSwitch gives up a packet whose fragments do not come after 15 s. */
const EXPIRY_MS = 17_500;

let lab: FlowLab;
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const macOfPod = (pod: string) => (pod === "host" ? HOST_MAC : macOf(FOUR[pod] ?? ""));
const addressOf = (pod: string, family: 4 | 6) => (family === 4 ? (FOUR[pod] ?? "") : six(FOUR[pod] ?? ""));
const ends = (from: string, to: string, family: 4 | 6): Between => {
  return { src: addressOf(from, family), dst: addressOf(to, family) };
};

beforeAll(async () => {
  lab = await startFlowLab(WORLD);
  await lab.addHost("host", ["10.1.3.99/24", "2001:db8:3::99/64"], 300);
  await lab.exec("host", "ip", "link", "set", "eth0", "address", HOST_MAC);
  await lab.load(WORLD);
  for (const [from, to] of [
    ["a", "p"],
    ["r", "r2"],
    ["host", "v"],
  ] as const) {
    for (const family of [4, 6] as const) await reaches(from, addressOf(to, family));
  }
});

afterAll(async () => {
  await lab?.[Symbol.asyncDispose]();
});

/** Duplicate address detection and the first look for a tunnel's other end take their time. */
async function reaches(from: string, address: string): Promise<void> {
  const until = performance.now() + 20_000;
  while (!(await lab.reaches(from, address))) {
    if (performance.now() > until) throw new Error(`${from} does not reach ${address}`);
  }
}

async function send(from: string, to: string, packets: readonly string[]): Promise<void> {
  const link = { src: macOfPod(from), dst: macOfPod(to) };
  await sendFrames(
    lab.netnsOf(from),
    "eth0",
    packets.map((packet) => frameOf(link, packet)),
  );
}

type Packets = Readonly<Record<string, string | readonly string[]>>;

/** Sends packets in their order; names of those that arrive unchanged and whole. */
async function arriving(from: string, to: string, packets: Packets, wanted: readonly string[]): Promise<string[]> {
  await using sniffer = await sniff(lab.netnsOf(to), "eth0");
  const has = (packet: string) => sniffer.frames.some((frame) => frame.slice(28).startsWith(packet));
  const arrived = () => Object.keys(packets).filter((name) => [packets[name] ?? []].flat().every(has));
  await send(from, to, Object.values(packets).flat());
  const until = performance.now() + ARRIVAL_MS;
  while (performance.now() < until && !wanted.every((name) => arrived().includes(name))) await pause(25);
  await pause(GRACE_MS);
  return arrived();
}

async function expectArriving(from: string, to: string, packets: Packets, wanted: readonly string[]): Promise<void> {
  expect((await arriving(from, to, packets, wanted)).sort()).toEqual([...wanted].sort());
}

/** Both fragments of a UDP datagram. */
function udpFragments(between: Between, dstPort: number, text: string): string[] {
  const whole = udp(between, { srcPort: 40_001, dstPort }, payload(text.padEnd(56, ".")));
  const identification = 1_000 + text.length + dstPort;
  const [first, rest] = [whole.slice(0, 64), whole.slice(64)];
  if (!between.src.includes(":")) {
    const common = { ...between, protocol: UDP, identification };
    return [ipv4({ ...common, isFragment: true }, first), ipv4({ ...common, offsetBytes: 32 }, rest)];
  }
  const header = { ...between, nextHeader: FRAGMENT };
  return [
    ipv6(header, fragmentHeader(UDP, { offsetBytes: 0, isLast: false, identification }) + first),
    ipv6(header, fragmentHeader(UDP, { offsetBytes: 32, isLast: true, identification }) + rest),
  ];
}

/** IPv6 packets whose transport header the switch cannot find, and some that only look so. */
function chains(between: Between, dstPort: number): { readonly unreadable: Packets; readonly readable: Packets } {
  const datagram = udp(between, { srcPort: 40_001, dstPort }, payload("chain"));
  const packet = (nextHeader: number, data: string, payloadLengthBytes?: number) =>
    ipv6({ ...between, nextHeader, ...(payloadLengthBytes === undefined ? {} : { payloadLengthBytes }) }, data);
  const fragment = (nextHeader: number, data: string) => {
    return packet(FRAGMENT, fragmentHeader(nextHeader, { offsetBytes: 0, isLast: false, identification: 7 }) + data);
  };
  return {
    unreadable: {
      "first fragment ends inside the chain": fragment(OPTIONS, optionsHeader(OPTIONS)),
      "packet ends inside the chain": packet(OPTIONS, optionsHeader(OPTIONS)),
      jumbogram: packet(HOP_BY_HOP, `1100c2040000005c${datagram}`, 0),
      "length lies": packet(UDP, datagram, 500),
    },
    readable: {
      plain: packet(UDP, datagram),
      options: packet(OPTIONS, optionsHeader(UDP) + datagram),
      "hop by hop": packet(HOP_BY_HOP, optionsHeader(OPTIONS) + optionsHeader(UDP) + datagram),
      "routing, none left": packet(ROUTING, `1100040000000000${datagram}`),
      "atomic fragment": packet(
        FRAGMENT,
        fragmentHeader(UDP, { offsetBytes: 0, isLast: true, identification: 8 }) + datagram,
      ),
    },
  };
}

describe("packets that the switch cannot read", () => {
  it.each([
    ["a", "p"],
    ["a", "q"],
    ["p", "q"],
    ["host", "v"],
  ])("of %s do not get to %s; others with extension headers do", async (from, to) => {
    const { unreadable, readable } = chains(ends(from, to, 6), 80);
    await expectArriving(from, to, { ...unreadable, ...readable }, Object.keys(readable));
  });

  it("hide no port that a rule denies", async () => {
    const { unreadable, readable } = chains(ends("p", "q", 6), 81);
    await expectArriving("p", "q", { ...unreadable, ...readable }, []);
  });

  it("of IPv4 do not pass either", async () => {
    const between = ends("a", "p", 4);
    const datagram = udp(between, { srcPort: 40_001, dstPort: 80 }, payload("four"));
    const packets = {
      plain: ipv4({ ...between, protocol: UDP }, datagram),
      "protocol 0": ipv4({ ...between, protocol: 0 }, datagram),
      "length lies": ipv4({ ...between, protocol: UDP, totalLengthBytes: 500 }, datagram),
    };
    await expectArriving("a", "p", packets, ["plain"]);
  });

  it.each(["p", "q", "d"])("because they are cut off in the transport header do not get to %s", async (to) => {
    const cut = (family: 4 | 6) => {
      const between = ends("a", to, family);
      const wrap = (protocol: number, data: string) =>
        family === 4 ? ipv4({ ...between, protocol }, data) : ipv6({ ...between, nextHeader: protocol }, data);
      return { [`udp${family}`]: wrap(UDP, "9c410051"), [`tcp${family}`]: wrap(TCP, "9c41005100000000") };
    };
    await expectArriving("a", to, { ...cut(4), ...cut(6) }, []);
  });
});

describe("fragments", () => {
  it.each([
    ["a", "p", 81, ["first of 4", "later of 4", "first of 6", "later of 6"]],
    ["a", "q", 81, []],
    ["p", "q", 81, []],
    ["a", "q", 80, ["first of 4", "first of 6"]], // a later one may go to the port that is denied
    ["p", "q2", 80, ["first of 4", "first of 6"]],
    ["a", "d", 80, ["first of 4", "first of 6"]], // and does not show the port that is allowed
    ["a", "d", 81, []],
    ["a", "u", 81, ["first of 4", "later of 4", "first of 6"]], // in IPv6 it does not show its protocol either
    ["p", "u", 81, ["first of 4", "later of 4", "first of 6"]],
  ] as const)("from %s to %s (UDP port %i) that arrive: %j", async (from, to, port, wanted) => {
    const [four, six] = ([4, 6] as const).map((family) => udpFragments(ends(from, to, family), port, `${from}${to}`));
    const packets = {
      ...{ "first of 4": four?.[0] ?? "", "later of 4": four?.[1] ?? "" },
      ...{ "first of 6": six?.[0] ?? "", "later of 6": six?.[1] ?? "" },
    };
    await expectArriving(from, to, packets, wanted);
  });

  it("pass by what they show, in whatever order and however few they are", async () => {
    const [first = "", last = ""] = udpFragments(ends("a", "u", 4), 81, "order");
    await expectArriving("a", "u", { last }, ["last"]);
    await expectArriving("a", "u", { last, first }, ["last", "first"]);
  });

  it("of a protocol that no rule speaks of pass", async () => {
    const between = ends("a", "q", 4);
    const segment = tcp(between, { srcPort: 40_001, dstPort: 81 }, SYN, payload("x".repeat(40)));
    const common = { ...between, protocol: TCP, identification: 99 };
    const [first, last] = [segment.slice(0, 64), segment.slice(64)];
    const packets = {
      first: ipv4({ ...common, isFragment: true }, first),
      last: ipv4({ ...common, offsetBytes: 32 }, last),
    };
    await expectArriving("a", "q", packets, ["first", "last"]);
  });

  it("never come later, neither to their addressee nor to another tenant", async () => {
    await using neighbour = await sniff(lab.netnsOf("r2"), "eth0");
    await using addressee = await sniff(lab.netnsOf("q2"), "eth0");
    const [first4 = "", last4 = ""] = udpFragments(ends("a", "q2", 4), 81, "late4");
    const [first6 = "", last6 = ""] = udpFragments(ends("a", "q2", 6), 81, "late6");
    const { unreadable } = chains(ends("a", "q2", 6), 81);
    const lone = Array.from({ length: 20 }, (_, index) => {
      const between = { ...ends("a", "q2", 4), protocol: UDP, identification: 5_000 + index, isFragment: true };
      return ipv4(between, udp(between, { srcPort: 40_001, dstPort: 81 }, payload("lone".repeat(8))));
    });
    await send("a", "q2", [first4, first6, ...lone, ...Object.values(unreadable).flat()]);
    await pause(EXPIRY_MS);
    await send("a", "q2", [last4, last6]);
    for (const family of [4, 6] as const) {
      expect(await lab.reaches("r", addressOf("r2", family))).toBe(true);
      expect(await lab.reaches("a", addressOf("q2", family))).toBe(true);
    }
    const isFragment = (frame: string) =>
      (frame.slice(24, 28) === "0800" && (Number.parseInt(frame.slice(40, 44), 16) & 0x3fff) !== 0) ||
      (frame.slice(24, 28) === "86dd" && frame.slice(40, 42) === "2c");
    expect(neighbour.frames.filter(isFragment)).toEqual([]);
    expect(addressee.frames.filter(isFragment)).toEqual([]);
    expect(addressee.frames.filter((frame) => frame.includes(payload("late")))).toEqual([]);
  }, 60_000);

  it("do not use up what others need", async () => {
    const flood = Array.from({ length: 1_100 }, (_, index) => {
      const between = { ...ends("a", "q2", 4), protocol: UDP, identification: 10_000 + index, isFragment: true };
      return ipv4(between, udp(between, { srcPort: 40_001, dstPort: 81 }, payload("fill".repeat(8))));
    });
    await send("a", "q2", flood);
    await expectArriving("p", "u", { parts: udpFragments(ends("p", "u", 4), 80, "still") }, ["parts"]);
    expect((await lab.exec("r", "ping", "-c", "1", "-W", "2", "-s", "4000", addressOf("r2", 4))).exitCode).toBe(0);
  });
});

/** ICMP errors of `from` to `to` about the packet that `quoted` says `to` has sent. */
function errorsAbout(between: Between, quoted: string): Packets {
  const wrap = (type: number, code: number, word = "00000000") =>
    between.src.includes(":")
      ? ipv6({ ...between, nextHeader: ICMPV6, hopLimit: 64 }, icmp(between, type, code, word + quoted))
      : ipv4({ ...between, protocol: ICMP }, icmp(between, type, code, word + quoted));
  return between.src.includes(":")
    ? {
        "port unreachable": wrap(1, 4),
        "unknown next header": wrap(4, 1, "00000028"),
        "no route": wrap(1, 0),
        "packet too big": wrap(2, 0, "00000500"),
        "time exceeded": wrap(3, 0),
        "erroneous header": wrap(4, 0),
      }
    : {
        "port unreachable": wrap(3, 3),
        "protocol unreachable": wrap(3, 2),
        "host unreachable": wrap(3, 1),
        "fragmentation needed": wrap(3, 4, "00000240"),
        "source quench": wrap(4, 0),
        redirect: wrap(5, 1, "0a010101"),
        "time exceeded": wrap(11, 0),
        "parameter problem": wrap(12, 0),
      };
}

const OF_HOSTS = { 4: ["port unreachable", "protocol unreachable"], 6: ["port unreachable", "unknown next header"] };

describe.each([4, 6] as const)("ICMP errors, IPv%i", (family) => {
  const packet = (from: string, to: string, { srcPort, dstPort }: { srcPort: number; dstPort: number }) => {
    const between = ends(from, to, family);
    const datagram = udp(between, { srcPort, dstPort }, payload("quoted"));
    return family === 4
      ? ipv4({ ...between, protocol: UDP }, datagram)
      : ipv6({ ...between, nextHeader: UDP }, datagram);
  };

  it("pass from the end that the packet went to, and from no other", async () => {
    const question = packet("d", "p", { srcPort: 41_000, dstPort: 90 });
    await expectArriving("d", "p", { question }, ["question"]);
    await expectArriving("p", "d", errorsAbout(ends("p", "d", family), question), OF_HOSTS[family]);
    for (const liar of ["a", "q", "q2"]) {
      await expectArriving(liar, "d", errorsAbout(ends(liar, "d", family), question), []);
    }
  });

  it("about an answer are not believed, for their sender cannot be compared", async () => {
    const question = packet("p", "d", { srcPort: 41_001, dstPort: 80 });
    await expectArriving("p", "d", { question }, ["question"]);
    const answer = packet("d", "p", { srcPort: 80, dstPort: 41_001 });
    await expectArriving("d", "p", { answer }, ["answer"]);
    await expectArriving("p", "d", errorsAbout(ends("p", "d", family), answer), []);
    await expectArriving("q2", "d", errorsAbout(ends("q2", "d", family), answer), []);
  });

  it("about no connection, or another tenant's, are judged by the rules", async () => {
    const never = packet("d", "p", { srcPort: 41_002, dstPort: 90 });
    await expectArriving("p", "d", errorsAbout(ends("p", "d", family), never), []);
    const others = packet("r", "r2", { srcPort: 41_003, dstPort: 90 });
    await expectArriving("r", "r2", { others }, ["others"]);
    await expectArriving("q2", "d", errorsAbout(ends("q2", "d", family), others), []);
  });

  it("of pods are those of hosts also where nobody has policies", async () => {
    const question = packet("p", "a", { srcPort: 41_004, dstPort: 90 });
    await expectArriving("a", "p", errorsAbout(ends("a", "p", family), question), OF_HOSTS[family]);
  });
});

describe("neighbour discovery", () => {
  const advertisement = (from: string, to: string, { hopLimit = 255, code = 0 } = {}) => {
    const between = ends(from, to, 6);
    const body = advertisementBody(between.src, macOfPod(from));
    return ipv6({ ...between, nextHeader: ICMPV6, hopLimit }, icmp(between, 136, code, body));
  };
  const routers = (from: string, to: string) => {
    const between = { src: `fe80::${from === "host" ? "aa" : "2:aff:fe01:101"}`, dst: addressOf(to, 6) };
    const wrap = (type: number, rest: string) =>
      ipv6({ ...between, nextHeader: ICMPV6, hopLimit: 255 }, icmp(between, type, 0, rest));
    return {
      "router advertisement": wrap(134, "4000070800000000000000000304408000000e1000000e1000000000".padEnd(88, "0")),
      redirect: wrap(137, "".padEnd(72, "0")),
    };
  };

  it.each([
    ["a", "p"],
    ["a", "d"],
    ["p", "d"],
    ["host", "v"],
  ])("of %s reaches %s only as it must be, and says nothing of routers", async (from, to) => {
    const fragment = fragmentHeader(ICMPV6, { offsetBytes: 0, isLast: false, identification: 70 });
    const whole = advertisement(from, to);
    const packets = {
      right: whole,
      "hop limit": advertisement(from, to, { hopLimit: 64 }),
      code: advertisement(from, to, { code: 1 }),
      fragment: ipv6({ ...ends(from, to, 6), nextHeader: FRAGMENT, hopLimit: 255 }, fragment + whole.slice(80)),
      ...routers(from, to),
    };
    await expectArriving(from, to, packets, ["right"]);
  });
});

describe("TCP without its beginning", () => {
  it("passes only in the directions that the rules allow", async () => {
    const segment = (from: string, to: string, ports: { srcPort: number; dstPort: number }) => {
      const between = ends(from, to, 4);
      return ipv4({ ...between, protocol: TCP }, tcp(between, ports, ACK, payload("mid stream")));
    };
    for (const peer of ["a", "p"]) {
      const told = { told: segment("d", peer, { srcPort: 40_000, dstPort: 700 }) };
      await expectArriving("d", peer, told, ["told"]);
      await expectArriving(peer, "d", { heard: segment(peer, "d", { srcPort: 700, dstPort: 40_000 }) }, []);
      await expectArriving("d", peer, told, ["told"]);
    }
  });
});
