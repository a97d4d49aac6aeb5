import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { podNetns } from "../../deploy/cluster/underlay.ts";
import { arpFrame, discoveryFrame, holdsText, type Sniffer, sendFrames, sniff, udpFrame } from "../fakes/frames.ts";
import { eventually, startTestCluster, type TestCluster } from "./test-cluster.ts";

/**
 * A pod cannot speak in another's name: MAC, IPv4, IPv6, ARP, ND (issue: "must be true at the end", 6). Frames are sent raw by a pod
 * that was attached with the real shim, and looked for at receivers on the same node and on the other one. Each round ends with a
 * true frame: where that has arrived, everything sent before it would have.
 */
let world: TestCluster;

interface Station {
  readonly name: string;
  readonly mac: string;
  readonly ipv4: string;
  readonly ipv6: string;
  readonly linkLocal: string;
}

const BROADCAST = "ff:ff:ff:ff:ff:ff";
const ALL_NODES = "33:33:00:00:00:01";
const NOBODY = "02:02:0a:63:63:63";
const ArpOp = { request: 1, reply: 2 } as const;
const Nd = { routerAdvertisement: 134, solicitation: 135, advertisement: 136, redirect: 137 } as const;
const SOURCE_OPTION = 1;
const TARGET_OPTION = 2;

beforeAll(async () => {
  world = await startTestCluster({ nodes: 2 });
  await world.rest.post("/api/v1/tenants/t1/", { tenantName: "t1" });
});

afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
});

async function attach(name: string, node: number, network: string): Promise<Station> {
  const { interfaces, ips } = await world.addPod(name, node, { tenant: "t1", network });
  const mac = interfaces.find((each) => each.sandbox !== undefined)?.mac ?? "";
  const [ipv4 = "", ipv6 = ""] = ips.map(({ address }) => address.split("/")[0]);
  const { stdout } = await world.inPod(name, ["ip", "-6", "-br", "address", "show", "eth0", "scope", "link"]);
  const linkLocal = /fe80::[0-9a-f:]+/.exec(stdout)?.[0] ?? "";
  return { name, mac, ipv4, ipv6, linkLocal };
}

interface Cast {
  readonly liar: Station;
  /** In whose name the liar speaks. */
  readonly victim: Station;
}

interface Lie {
  readonly what: string;
  readonly frame: string;
}

/** Everything that the liar may try against one receiver. */
function liesTo(receiver: Station, { liar, victim }: Cast): readonly Lie[] {
  const direct = { src: liar.mac, dst: receiver.mac };
  const everybody = { src: liar.mac, dst: BROADCAST };
  const allNodes = { src: liar.mac, dst: ALL_NODES };
  const text = `lie to ${receiver.name}`;
  return [
    {
      what: "another's MAC",
      frame: udpFrame({ ...direct, src: victim.mac }, { src: liar.ipv4, dst: receiver.ipv4, text }),
    },
    { what: "nobody's MAC", frame: udpFrame({ ...direct, src: NOBODY }, { src: liar.ipv4, dst: receiver.ipv4, text }) },
    {
      what: "another's MAC over IPv6",
      frame: udpFrame({ ...direct, src: victim.mac }, { src: liar.ipv6, dst: receiver.ipv6, text }),
    },
    { what: "another's IPv4 address", frame: udpFrame(direct, { src: victim.ipv4, dst: receiver.ipv4, text }) },
    {
      what: "another's MAC and IPv4 address",
      frame: udpFrame({ ...direct, src: victim.mac }, { src: victim.ipv4, dst: receiver.ipv4, text }),
    },
    { what: "nobody's IPv4 address", frame: udpFrame(direct, { src: "192.0.2.1", dst: receiver.ipv4, text }) },
    { what: "the unspecified IPv4 address", frame: udpFrame(direct, { src: "0.0.0.0", dst: receiver.ipv4, text }) },
    {
      what: "another's IPv4 address to everybody",
      frame: udpFrame(everybody, { src: victim.ipv4, dst: "255.255.255.255", text }),
    },
    { what: "another's IPv6 address", frame: udpFrame(direct, { src: victim.ipv6, dst: receiver.ipv6, text }) },
    {
      what: "another's link-local address",
      frame: udpFrame(direct, { src: victim.linkLocal, dst: receiver.ipv6, text }),
    },
    { what: "nobody's IPv6 address", frame: udpFrame(direct, { src: "2001:db8::1", dst: receiver.ipv6, text }) },
    { what: "the unspecified IPv6 address", frame: udpFrame(direct, { src: "::", dst: receiver.ipv6, text }) },
    ...arpLies(receiver, { liar, victim }),
    ...[direct, allNodes].flatMap((link) => discoveryLies(link, receiver, { liar, victim })),
  ];
}

function arpLies(receiver: Station, { liar, victim }: Cast): readonly Lie[] {
  const lies: Lie[] = [];
  for (const [op, word] of [
    [ArpOp.request, "request"],
    [ArpOp.reply, "reply"],
  ] as const) {
    for (const dst of [receiver.mac, BROADCAST]) {
      const link = { src: liar.mac, dst };
      const arp = (sha: string, spa: string) => ({ op, sha, spa, tpa: receiver.ipv4 });
      lies.push(
        { what: `ARP ${word} with another's address`, frame: arpFrame(link, arp(liar.mac, victim.ipv4)) },
        { what: `ARP ${word} with another's MAC inside`, frame: arpFrame(link, arp(victim.mac, liar.ipv4)) },
        { what: `ARP ${word} in another's name`, frame: arpFrame(link, arp(victim.mac, victim.ipv4)) },
        {
          what: `ARP ${word} in another's name and MAC`,
          frame: arpFrame({ ...link, src: victim.mac }, arp(victim.mac, victim.ipv4)),
        },
        { what: `ARP ${word} for the gateway`, frame: arpFrame(link, arp(liar.mac, gatewayOf(liar))) },
      );
    }
  }
  const announced = { op: ArpOp.request, sha: liar.mac, spa: victim.ipv4, tpa: victim.ipv4 };
  const probed = { op: ArpOp.request, sha: liar.mac, spa: "0.0.0.0", tpa: receiver.ipv4 };
  return [
    ...lies,
    { what: "gratuitous ARP for another", frame: arpFrame({ src: liar.mac, dst: BROADCAST }, announced) },
    { what: "ARP probe for another's address", frame: arpFrame({ src: liar.mac, dst: BROADCAST }, probed) },
  ];
}

function gatewayOf({ ipv4 }: Station): string {
  return ipv4.replace(/\.\d+$/, ".254");
}

function discoveryLies(link: { src: string; dst: string }, receiver: Station, { liar, victim }: Cast): readonly Lie[] {
  const dst = link.dst === ALL_NODES ? "ff02::1" : receiver.ipv6;
  const lie = (what: string, message: Omit<Parameters<typeof discoveryFrame>[1], "dst">): Lie => {
    return { what: `${what} to ${dst}`, frame: discoveryFrame(link, { ...message, dst }) };
  };
  const mine = { type: TARGET_OPTION, mac: liar.mac };
  const theirs = { type: TARGET_OPTION, mac: victim.mac };
  return [
    lie("NS with another's MAC inside", {
      ...{ type: Nd.solicitation, src: liar.ipv6, target: receiver.ipv6 },
      option: { type: SOURCE_OPTION, mac: victim.mac },
    }),
    lie("NS in another's name", {
      ...{ type: Nd.solicitation, src: victim.ipv6, target: receiver.ipv6 },
      option: { type: SOURCE_OPTION, mac: liar.mac },
    }),
    lie("search for duplicates of another's address", { type: Nd.solicitation, src: "::", target: receiver.ipv6 }),
    lie("NA for another's address", { type: Nd.advertisement, src: liar.ipv6, target: victim.ipv6, option: mine }),
    lie("NA for another's link-local address", {
      type: Nd.advertisement,
      src: liar.linkLocal,
      target: victim.linkLocal,
      option: mine,
    }),
    lie("NA with another's MAC inside", { type: Nd.advertisement, src: liar.ipv6, target: liar.ipv6, option: theirs }),
    lie("NA in another's name", { type: Nd.advertisement, src: victim.ipv6, target: victim.ipv6, option: mine }),
    lie("NA without option for another's address", { type: Nd.advertisement, src: liar.ipv6, target: victim.ipv6 }),
    lie("router advertisement", {
      type: Nd.routerAdvertisement,
      src: liar.linkLocal,
      target: "::",
      option: { type: SOURCE_OPTION, mac: liar.mac },
    }),
    lie("router advertisement from its address", { type: Nd.routerAdvertisement, src: liar.ipv6, target: "::" }),
    lie("redirect", { type: Nd.redirect, src: liar.linkLocal, target: liar.linkLocal }),
  ];
}

/** What the liar may truly say; in flooding mode all of it arrives. */
function truthsTo(receiver: Station, liar: Station): readonly Lie[] {
  const direct = { src: liar.mac, dst: receiver.mac };
  const text = `truth to ${receiver.name}`;
  return [
    { what: "IPv4", frame: udpFrame(direct, { src: liar.ipv4, dst: receiver.ipv4, text }) },
    { what: "IPv6", frame: udpFrame(direct, { src: liar.ipv6, dst: receiver.ipv6, text }) },
    { what: "link-local", frame: udpFrame(direct, { src: liar.linkLocal, dst: receiver.ipv6, text }) },
    {
      what: "ARP reply",
      frame: arpFrame(direct, { op: ArpOp.reply, sha: liar.mac, spa: liar.ipv4, tpa: receiver.ipv4 }),
    },
    {
      what: "NA",
      frame: discoveryFrame(direct, {
        ...{ type: Nd.advertisement, src: liar.ipv6, dst: receiver.ipv6, target: liar.ipv6 },
        option: { type: TARGET_OPTION, mac: liar.mac },
      }),
    },
  ];
}

/** The frame as it was sent but for the two MAC addresses; padding may be cut on the way. */
function isSeen(sniffer: Sniffer, { frame }: Lie): boolean {
  const content = frame.slice(24).replace(/(00)+$/, "");
  return sniffer.frames.some((seen) => seen.slice(24).startsWith(content));
}

async function speak(liar: Station, frames: readonly string[]): Promise<void> {
  await sendFrames(podNetns(world.cluster.layout.underlay, liar.name), "eth0", frames);
}

/** A sniffer at each station, in their order. */
async function listen(stations: readonly Station[]): Promise<AsyncDisposable & { readonly ears: readonly Sniffer[] }> {
  const { underlay } = world.cluster.layout;
  const ears = await Promise.all(stations.map(({ name }) => sniff(podNetns(underlay, name), "eth0")));
  return {
    ears,
    [Symbol.asyncDispose]: async () => {
      for (const ear of ears) await ear[Symbol.asyncDispose]();
    },
  };
}

/** Sends all of it and a true frame after it; returns what has arrived at each receiver. */
async function heard(
  liar: Station,
  receivers: readonly Station[],
  said: (receiver: Station) => readonly Lie[],
): Promise<ReadonlyMap<string, readonly string[]>> {
  await using listening = await listen(receivers);
  const { ears } = listening;
  const end = `end ${Math.random()}`;
  const last = receivers.map(({ mac, ipv4 }) =>
    udpFrame({ src: liar.mac, dst: mac }, { src: liar.ipv4, dst: ipv4, text: end }),
  );
  await speak(liar, [...receivers.flatMap((receiver) => said(receiver).map(({ frame }) => frame)), ...last]);
  await eventually(
    "the true frame at the end",
    async () => ears.map((ear) => ear.frames.some((frame) => holdsText(frame, end))),
    (ends) => ends.every(Boolean),
  );
  const arrived = (index: number, receiver: Station) =>
    said(receiver).flatMap((each) => {
      const ear = ears[index];
      return ear !== undefined && isSeen(ear, each) ? each.what : [];
    });
  return new Map(receivers.map((receiver, index) => [receiver.name, arrived(index, receiver)]));
}

/** The receiver believes of the victim what is true, and reaches it. */
async function expectUndeceived(receiver: Station, { liar, victim }: Cast): Promise<void> {
  for (const address of [victim.ipv4, victim.ipv6])
    expect(await world.ping(receiver.name, address, 2)).toBeGreaterThan(0);
  const { stdout } = await world.inPod(receiver.name, ["ip", "neigh", "show"]);
  const entries = stdout.split("\n").filter((line) => line.includes(liar.mac));
  for (const entry of entries) expect(entry).toMatch(new RegExp(`^(${liar.ipv4}|${liar.ipv6}|${liar.linkLocal}) `));
  const { stdout: routes } = await world.inPod(receiver.name, ["ip", "-6", "route", "show"]);
  expect(routes).not.toContain("proto ra");
}

describe.each(["vxlan", "vlan"] as const)("%s", (encap) => {
  const rooms: Record<string, Station> = {};
  const station = (name: string): Station => {
    const found = rooms[name];
    if (found === undefined) throw new Error(`no pod ${name}`);
    return found;
  };

  async function open(fwdMode: "bridge" | "routing", arpMode: "flood" | "proxy"): Promise<void> {
    await world.rest.post("/api/v1/globals/global/", { name: "global", fwdMode, arpMode });
    for (const [networkName, third] of [
      ["net", 1],
      ["other", 2],
    ] as const) {
      const subnets = { subnet: `10.1.${third}.0/24`, gateway: `10.1.${third}.254`, ipv6Subnet: `fd0${third}::/64` };
      const config = { tenantName: "t1", networkName, encap, pktTag: 100 + third, ...subnets };
      await world.rest.post(`/api/v1/networks/t1:${networkName}/`, config);
    }
    for (const [name, node, network] of [
      ["liar", 1, "net"],
      ["victim", 1, "net"],
      ["near", 1, "net"],
      ["far", 2, "net"],
      ["else-near", 1, "other"],
      ["else-far", 2, "other"],
    ] as const) {
      rooms[name] = await attach(name, node, network);
    }
    for (const name of ["near", "far", "victim"]) {
      await eventually(
        `liar reaches ${name}`,
        () => world.ping("liar", station(name).ipv4, 1),
        (got) => got === 1,
      );
    }
  }

  async function close(): Promise<void> {
    await world.removeAllPods();
    for (const name of ["net", "other"]) await world.rest.delete(`/api/v1/networks/t1:${name}/`);
  }

  it.each([
    ["bridge", "flood"],
    ["bridge", "proxy"],
    ["routing", "proxy"],
  ] as const)("a pod cannot lie (%s, %s)", async (fwdMode, arpMode) => {
    await open(fwdMode, arpMode);
    try {
      const cast = { liar: station("liar"), victim: station("victim") };
      const receivers = [station("near"), station("far")];
      const truths = await heard(cast.liar, receivers, (receiver) => truthsTo(receiver, cast.liar));
      for (const { name } of receivers) {
        expect(truths.get(name), `truths at ${name}`).toEqual(["IPv4", "IPv6", "link-local", "ARP reply", "NA"]);
      }
      const lies = await heard(cast.liar, receivers, (receiver) => liesTo(receiver, cast));
      for (const { name } of receivers) expect(lies.get(name), `lies at ${name}`).toEqual([]);
      for (const receiver of receivers) await expectUndeceived(receiver, cast);
      await expectNoWayOut(cast.liar);
    } finally {
      await close();
    }
  });

  /** Frames with a VLAN tag of its own choice get a pod nowhere, least of all into another network. */
  async function expectNoWayOut(liar: Station): Promise<void> {
    const others = [station("near"), station("far"), station("else-near"), station("else-far")];
    await using listening = await listen(others);
    const { ears } = listening;
    const tagged = others.flatMap(({ mac, ipv4 }) =>
      [0, 101, 102].flatMap((vlan) =>
        [mac, BROADCAST].map((dst) =>
          udpFrame({ src: liar.mac, dst, vlan }, { src: liar.ipv4, dst: ipv4, text: "tagged" }),
        ),
      ),
    );
    const [, far] = others;
    const end = udpFrame(
      { src: liar.mac, dst: far?.mac ?? "" },
      { src: liar.ipv4, dst: far?.ipv4 ?? "", text: "the end" },
    );
    await speak(liar, [...tagged, end]);
    await eventually(
      "the true frame at the end",
      async () => ears[1]?.frames.some((frame) => holdsText(frame, "the end")) ?? false,
      (isThere) => isThere,
    );
    const reached = others.filter((_, index) => ears[index]?.frames.some((frame) => holdsText(frame, "tagged")));
    expect(reached.map(({ name }) => name)).toEqual([]);
  }
});
