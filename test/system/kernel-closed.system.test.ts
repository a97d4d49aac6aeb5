import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  netpluginName,
  netpluginReady,
  ovsRunDirectory,
  projectRoot,
  startNetplugin,
  startOvs,
  vswitchdName,
} from "../../deploy/cluster/components.ts";
import { inNetns, run } from "../../deploy/cluster/exec.ts";
import { controlNetns, nodeAddress, nodeNetns, panelNetns, podNetns } from "../../deploy/cluster/underlay.ts";
import { type Ears, listen } from "../fakes/ears.ts";
import {
  arpFrame,
  discoveryFrame,
  holdsText,
  icmp6Frame,
  type Link,
  sendFrames,
  sniff,
  udpFrame,
} from "../fakes/frames.ts";
import { eventually, startTestCluster, type TestCluster } from "./test-cluster.ts";

/**
 * What a pod sends reaches nobody but through the flows, and above all not the stack of its node's kernel, although near ends and NICs
 * lie in the node's namespace: raw frames from a pod, raw IP sockets at the node's kernel. The node forwards, as every Kubernetes node.
 */
let world: TestCluster;
let pod: { readonly mac: string; readonly ipv4: string; readonly ipv6: string };
let nearEnd: { readonly name: string; readonly mac: string };

const BROADCAST = "ff:ff:ff:ff:ff:ff";
const ALL_NODES = "33:33:00:00:00:01";
const NETPLUGIN = netpluginName(1);
const VXLAN_PORT = 4789;
const NEIGHBOUR_SOLICITATION = 135;
const SOURCE_OPTION = 1;

const underlay = () => world.cluster.layout.underlay;
const here = () => nodeAddress(underlay(), 1);
const there = () => nodeAddress(underlay(), 2);
const control = () => `${underlay().subnet}.1`;

beforeAll(async () => {
  const extraArguments = { netplugin: ["--resync-interval-s", "2"] };
  world = await startTestCluster({ nodes: 2, extraArguments });
  await world.rest.post("/api/v1/tenants/blue/", { tenantName: "blue" });
  const subnets = { encap: "vxlan", subnet: "10.1.0.0/24", ipv6Subnet: "fd00:1::/64" };
  await world.rest.post("/api/v1/networks/blue:net/", { tenantName: "blue", networkName: "net", ...subnets });
  const { interfaces, ips } = await world.addPod("p1", 1, { tenant: "blue", network: "net" });
  await world.addPod("p2", 2, { tenant: "blue", network: "net" });
  const [ipv4 = "", ipv6 = ""] = ips.map(({ address }) => address.split("/")[0]);
  pod = { mac: interfaces[1]?.mac ?? "", ipv4, ipv6 };
  const name = interfaces[0]?.name ?? "";
  const [link] = JSON.parse((await world.onNode(1, ["ip", "-json", "link", "show", name])).stdout);
  nearEnd = { name, mac: link.address };
  for (const node of [1, 2]) await sysctl(node, "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1");
});

afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
});

async function sysctl(node: number, ...settings: readonly string[]): Promise<void> {
  const result = await world.onNode(node, ["sysctl", "-qw", ...settings]);
  expect(result.stderr).toBe("");
}

/** The address that a link makes for itself of its MAC (RFC 4291 appendix A). */
function linkLocalOf(mac: string): string {
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = mac.split(":").map((part) => Number.parseInt(part, 16));
  const words = [((a ^ 2) << 8) | b, (c << 8) | 0xff, 0xfe00 | d, (e << 8) | f];
  return `fe80::${words.map((word) => word.toString(16)).join(":")}`;
}

interface Knock {
  readonly text: string;
  readonly frame: string;
}

/** Ways to speak to the node's kernel: to whom on the link, to which address, from which. */
function knocks(): readonly Knock[] {
  const links: readonly [name: string, link: Link][] = [
    ["near end", { src: pod.mac, dst: nearEnd.mac }],
    ["everybody", { src: pod.mac, dst: BROADCAST }],
    ["group", { src: pod.mac, dst: "01:00:5e:00:00:01" }],
    ["near end, tagged 0", { src: pod.mac, dst: nearEnd.mac, vlan: 0 }],
    ["in another's name", { src: "02:02:0a:63:63:63", dst: nearEnd.mac }],
  ];
  const groups4 = ["224.0.0.1", "224.0.0.251", "239.1.2.3", "255.255.255.255", `${underlay().subnet}.255`];
  const pairs4 = [here(), "127.0.0.1", ...groups4].flatMap((dst) =>
    [pod.ipv4, control(), there(), "0.0.0.0", "127.0.0.1", "192.0.2.7"].map((src) => ({ src, dst })),
  );
  const six = { src: pod.mac, dst: ALL_NODES };
  const pairs6 = [linkLocalOf(nearEnd.mac), "ff02::1", "ff02::fb", "ff02::1:2", "::1"].flatMap((dst) =>
    [linkLocalOf(pod.mac), pod.ipv6, "::", "2001:db8::7"].map((src) => ({ src, dst })),
  );
  return [
    ...links.flatMap(([name, link]) => pairs4.map((pair) => knock(`${name}, ${pair.src} to ${pair.dst}`, link, pair))),
    ...[...links, ["all nodes", six] as const].flatMap(([name, link]) =>
      pairs6.map((pair) => knock(`${name}, ${pair.src} to ${pair.dst}`, link, pair)),
    ),
  ];
}

function knock(what: string, link: Link, pair: { readonly src: string; readonly dst: string }): Knock {
  const text = `<${what}>`;
  return { text, frame: udpFrame(link, { ...pair, text }) };
}

async function sendFromPod(frames: readonly string[]): Promise<void> {
  await sendFrames(podNetns(underlay(), "p1"), "eth0", frames);
}

/** Frames that the node's kernel took in, after one from outside, sent last, has arrived there. */
async function heardOf(ears: Ears, all: readonly Knock[]): Promise<readonly string[]> {
  await sendFromPod(all.map(({ frame }) => frame));
  await barrier(ears);
  return all.filter(({ text }) => ears.times(text) > 0).map(({ text }) => text);
}

let barriers = 0;

async function barrier(ears: Ears): Promise<void> {
  const text = `barrier ${++barriers}.`;
  const dst = await macOf(here());
  const frame = udpFrame({ src: await controlMac(), dst }, { src: control(), dst: here(), text });
  await sendFrames(controlNetns(underlay()), "underlay", [frame]);
  await eventually(
    text,
    async () => ears.times(text),
    (times) => times > 0,
  );
  expect(ears.times(text)).toBe(1);
}

async function controlMac(): Promise<string> {
  const [own] = JSON.parse((await inControl(["ip", "-json", "link", "show", "underlay"])).stdout);
  return own.address;
}

/** The same frame as the first fragment of a packet whose rest never comes. */
function fragmentOf(frame: string): string {
  const head = Buffer.from(frame, "hex");
  head.writeUInt16BE(0x2000, 20); // more fragments (RFC 791 3.1)
  head.writeUInt16BE(0, 24);
  let sum = 0;
  for (let at = 14; at < 34; at += 2) sum += head.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  head.writeUInt16BE(~sum & 0xffff, 24);
  return head.toString("hex");
}

/** A text of its own for what is sent a second time. */
function again({ text, frame }: Knock): Knock {
  const later = text.replace("<", "{");
  return { text: later, frame: frame.replace(Buffer.from(text).toString("hex"), Buffer.from(later).toString("hex")) };
}

async function addressesAndRoutes(): Promise<string> {
  const what = ["-6 address show eth0", "-6 route show"].map((each) => world.inPod("p1", ["ip", ...each.split(" ")]));
  return (await Promise.all(what)).map(({ stdout }) => stdout.replaceAll(/expires \d+sec/g, "")).join("");
}

/** Out of the pod's port, as frames of a VLAN's router come. */
async function sendFromSwitch(frames: readonly string[]): Promise<void> {
  await sendFrames(nodeNetns(underlay(), 1), nearEnd.name, frames);
}

/** A router advertisement (RFC 4861 4.2) of prefix 2001:db8:bad::/64, on link and for addresses. */
function advertisement(link: Link): string {
  const src = linkLocalOf(link.src);
  const prefix = "0304" + "40c0" + "00000e10" + "00000e10" + "00000000" + "20010db80bad00000000000000000000";
  return icmp6Frame(link, { src, dst: "ff02::1", type: 134, body: `400007080000000000000000${prefix}` });
}

async function cleanup(): Promise<void> {
  const { layout } = world.cluster;
  const argv = [process.execPath, join(projectRoot(), "dist/netplugin/main.js"), "cleanup"];
  const settings = ["--ovs-run-dir", ovsRunDirectory(layout, 1), "--panel-netns", panelNetns(underlay(), 1)];
  await run(inNetns(nodeNetns(underlay(), 1), [...argv, ...settings]));
}

async function macOf(address: string): Promise<string> {
  await inControl(["ping", "-c", "1", "-W", "2", address]);
  const [neighbour] = JSON.parse((await inControl(["ip", "-json", "neighbour", "show", address])).stdout);
  return neighbour.lladdr;
}

function inControl(argv: readonly string[]) {
  return run(inNetns(controlNetns(underlay()), argv), { allowFailure: true });
}

/** Everything that keeps the near end closed taken away, while netplugin sleeps. */
async function openUp({ tables, settings }: { readonly tables: boolean; readonly settings: boolean }): Promise<void> {
  await world.kill(NETPLUGIN, "SIGSTOP");
  if (tables) await world.onNode(1, ["nft", "flush", "ruleset"]);
  if (!settings) return;
  await world.onNode(1, ["ip", "link", "set", nearEnd.name, "arp", "on"]);
  await sysctl(1, ...["rp_filter=0", "arp_ignore=0"].map((each) => `net.ipv4.conf.${nearEnd.name}.${each}`));
  await sysctl(1, `net.ipv6.conf.${nearEnd.name}.disable_ipv6=0`, "net.ipv4.conf.all.rp_filter=0");
}

async function isClosed(): Promise<boolean> {
  const tables = (await world.onNode(1, ["nft", "list", "tables"])).stdout;
  const link = (await world.onNode(1, ["ip", "link", "show", nearEnd.name])).stdout;
  const { stdout } = await world.onNode(1, [
    ...["sysctl", "-n", `net.ipv6.conf.${nearEnd.name}.disable_ipv6`, `net.ipv4.conf.${nearEnd.name}.rp_filter`],
    `net.ipv4.conf.${nearEnd.name}.forwarding`,
  ]);
  return (
    tables.includes("inet contiv-ts") &&
    tables.includes("arp contiv-ts") &&
    link.includes("NOARP") &&
    stdout === "1\n1\n0\n"
  );
}

/** From here on netplugin may mend again what was opened; it must have begun to in some seconds. */
async function closesAgain(): Promise<void> {
  await world.kill(NETPLUGIN, "SIGCONT");
  await eventually("closed again", isClosed, (closed) => closed, 15_000);
}

describe("a pod and its node's kernel", () => {
  it("the kernel takes in nothing that a pod sends, in either family, to whomever it is addressed", async () => {
    await using ears = await listen(nodeNetns(underlay(), 1));
    const all = knocks();
    expect(all.length).toBeGreaterThan(200);
    expect(await heardOf(ears, all)).toEqual([]);
  });

  it("the kernel would take in much of it if nothing kept it away, and is closed again when netplugin looks", async () => {
    await openUp({ tables: true, settings: true });
    await using ears = await listen(nodeNetns(underlay(), 1));
    const heard = await heardOf(ears, knocks());
    expect(heard.length).toBeGreaterThan(20);
    for (const dst of [here(), "255.255.255.255", "ff02::1"]) {
      expect(
        heard.filter((text) => text.endsWith(` to ${dst}>`)),
        dst,
      ).not.toEqual([]);
    }
    await closesAgain();
    expect(await heardOf(ears, knocks().map(again))).toEqual([]);
    expect(world.log(NETPLUGIN)).toContain("they are blocked again");
  });

  it("without tables the settings of the near end hold back all but what 0.0.0.0 sends to groups", async () => {
    await openUp({ tables: true, settings: false });
    await using ears = await listen(nodeNetns(underlay(), 1));
    const heard = await heardOf(ears, knocks());
    expect(heard.filter((text) => !/, 0\.0\.0\.0 to (224\.0\.0\.\d+|255\.255\.255\.255)>$/.test(text))).toEqual([]);
    await closesAgain();
  });

  it("without the settings the tables hold back everything", async () => {
    await openUp({ tables: false, settings: true });
    await using ears = await listen(nodeNetns(underlay(), 1));
    expect(await heardOf(ears, knocks())).toEqual([]);
    await closesAgain();
  });

  it("nobody answers ARP or neighbour discovery for the node, and ff02::1 is answered by pods alone", async () => {
    await using wire = await sniff(podNetns(underlay(), "p1"), "eth0");
    const link = { src: pod.mac, dst: BROADCAST };
    const asked = [here(), there(), "127.0.0.1"];
    const arps = asked.map((tpa) => arpFrame(link, { op: 1, sha: pod.mac, spa: pod.ipv4, tpa }));
    const option = { type: SOURCE_OPTION, mac: pod.mac };
    const target = linkLocalOf(nearEnd.mac);
    const solicitation = { type: NEIGHBOUR_SOLICITATION, src: linkLocalOf(pod.mac), dst: target, target, option };
    const own = [nearEnd.mac, BROADCAST, ALL_NODES].map((dst) => discoveryFrame({ src: pod.mac, dst }, solicitation));
    await sendFromPod([...arps, ...own]);
    const ping = await world.inPod("p1", ["ping", "-6", "-n", "-c", "3", "-i", "0.3", "-W", "1", "ff02::1%eth0"]);
    expect(ping.stdout).not.toContain(target);
    const answers = wire.frames.filter((frame) => frame.slice(12, 24) === nearEnd.mac.replaceAll(":", ""));
    expect(answers).toEqual([]);
  });

  it("nothing goes on from the node in another's name: no tunnel packet, no datagram", async () => {
    await using wire = await sniff(controlNetns(underlay()), "underlay");
    const texts = [there(), here()].flatMap((src) => [VXLAN_PORT, 53].map((port) => ({ src, port })));
    const links = [nearEnd.mac, BROADCAST].map((dst) => ({ src: pod.mac, dst }));
    const frames = links.flatMap((link) =>
      texts.map(({ src, port }) => udpFrame(link, { src, dst: there(), text: `forged to ${port}`, port })),
    );
    await sendFromPod(frames);
    await using ears = await listen(nodeNetns(underlay(), 1));
    await barrier(ears);
    expect(wire.frames.filter((frame) => holdsText(frame, "forged to"))).toEqual([]);
  });
});

describe("a pod and routers of its network", () => {
  it("takes neither addresses nor routes by router advertisement, nor redirects", async () => {
    const names = ["ipv6.conf.eth0.accept_ra", "ipv6.conf.eth0.autoconf", "ipv6.conf.eth0.accept_redirects"];
    const settings = [...names, "ipv4.conf.eth0.accept_redirects", "ipv4.conf.all.accept_redirects"];
    const { stdout } = await world.inPod("p1", ["sysctl", "-n", ...settings.map((name) => `net.${name}`)]);
    expect(stdout).toBe("0\n0\n0\n0\n0\n");
    const before = await addressesAndRoutes();
    const router = { src: "02:00:00:00:00:fe", dst: ALL_NODES };
    await sendFromSwitch([advertisement(router)]);
    await world.ping("p1", "fd00:1::2"); // has passed the same way, later
    expect(await addressesAndRoutes()).toBe(before);
    await world.inPod("p1", ["sysctl", "-qw", "net.ipv6.conf.eth0.accept_ra=1", "net.ipv6.conf.eth0.autoconf=1"]);
    await sendFromSwitch([advertisement(router)]);
    await eventually("the pod would", addressesAndRoutes, (text) => text.includes("2001:db8:bad:"));
  });
});

describe("a NIC in an uplink bridge", () => {
  it("hands each datagram to the kernel once, in either family", async () => {
    await using ears = await listen(nodeNetns(underlay(), 1));
    await barrier(ears);
    const ping = await inControl(["ping", "-n", "-c", "5", "-i", "0.1", "-W", "1", here()]);
    expect(ping.stdout).toContain("5 received");
    expect(ping.stdout).not.toContain("DUP!");
    const six = `${linkLocalOf(await macOf(here()))}%underlay`;
    const pingSix = await inControl(["ping", "-6", "-n", "-c", "5", "-i", "0.1", "-W", "1", six]);
    expect(pingSix.stdout).toContain("5 received");
    expect(pingSix.stdout).not.toContain("DUP!");
    const everybody = { src: await controlMac(), dst: BROADCAST };
    const toAll = udpFrame(everybody, { src: control(), dst: `${underlay().subnet}.255`, text: "to everybody" });
    await sendFrames(controlNetns(underlay()), "underlay", [toAll]);
    await barrier(ears);
    expect(ears.times("to everybody")).toBe(1);
  });

  it("keeps tunnel packets for the switch, whole ones and fragments, known peers' and others'", async () => {
    await using ears = await listen(nodeNetns(underlay(), 1));
    await using outside = await listen(controlNetns(underlay()));
    const link = { src: await controlMac(), dst: await macOf(here()) };
    const packets = [control(), there(), "192.0.2.9"].map((src) => ({
      src,
      dst: here(),
      text: "a tunnel's",
      port: VXLAN_PORT,
    }));
    await sendFrames(
      controlNetns(underlay()),
      "underlay",
      packets.flatMap((packet) => {
        const whole = udpFrame(link, packet);
        return [whole, fragmentOf(whole)];
      }),
    );
    await barrier(ears);
    expect(ears.times("a tunnel's")).toBe(0);
    expect(outside.times("a tunnel's")).toBe(0); // an ICMP error would quote it
    expect(await world.ping("p1", "10.1.0.2")).toBe(3);
  });

  it("stays closed when netplugin and the switch are killed, and the node stays reachable", async () => {
    await world.kill(NETPLUGIN);
    await world.kill(vswitchdName(1));
    await using ears = await listen(nodeNetns(underlay(), 1));
    await sendFromPod(knocks().map(({ frame }) => frame));
    const table = await world.onNode(1, ["nft", "list", "table", "inet", "contiv-ts"]);
    expect(table.stdout).toContain('iifname "eth0"');
    await startOvs(world.cluster.layout, 1);
    await startNetplugin(world.cluster.layout, 1);
    await netpluginReady(world.cluster.layout, 1);
    await barrier(ears);
    expect(knocks().filter(({ text }) => ears.times(text) > 0)).toEqual([]);
    expect(await isClosed()).toBe(true);
    expect(await world.ping("p1", "10.1.0.2")).toBeGreaterThan(0);
  });

  it("is given back as it was when the node is taken out of service", async () => {
    await world.removeAllPods();
    await world.kill(NETPLUGIN, "SIGTERM");
    await cleanup();
    const settings = [
      "net.ipv6.conf.eth0.disable_ipv6",
      "net.ipv4.conf.eth0.arp_ignore",
      "net.ipv4.conf.eth0.rp_filter",
    ];
    expect((await world.onNode(1, ["sysctl", "-n", ...settings])).stdout).toBe("0\n0\n0\n");
    expect((await world.onNode(1, ["nft", "list", "tables"])).stdout).not.toContain("contiv-ts");
    expect((await inControl(["ping", "-c", "1", "-W", "2", here()])).exitCode).toBe(0);
  });
});
