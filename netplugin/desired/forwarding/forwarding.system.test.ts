import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type FlowLab, startFlowLab } from "../../../test/fakes/flow-lab.ts";
import {
  arpFrame,
  discoveryFrame,
  holdsText,
  type Link,
  type Sniffer,
  sendFrames,
  sniff,
  udpFrame,
} from "../../../test/fakes/frames.ts";
import { macOf, routerMacOf } from "../../../test/fakes/world.ts";

/**
 * Real packets between pods (network namespaces) on two nodes, through the flows of the flow set. Pods a and b live on n1, r on n2;
 * c (n1) and g (n2) in another network of the tenant; z (n1) and y (n2) are another tenant's with the same addresses as a and r.
 */
function world(mode: string, encap: string): string {
  const options = (subnet: number) =>
    `gateway 10.1.${subnet}.254 ipv6 2001:db8:${subnet}::/64 gateway6 2001:db8:${subnet}::ff`;
  return `
    mode ${mode}
    node n1 192.168.50.1
    node n2 192.168.50.2
    network t1:red ${encap} 100 10.1.1.0/24 ${options(1)}
    network t1:green ${encap} 200 10.1.2.0/24 ${options(2)}
    network t2:red ${encap} 300 10.1.1.0/24 ${options(1)}
    endpoint a t1:red n1 10.1.1.1 2001:db8:1::1
    endpoint b t1:red n1 10.1.1.2 2001:db8:1::2
    endpoint r t1:red n2 10.1.1.20 2001:db8:1::20
    endpoint c t1:green n1 10.1.2.1 2001:db8:2::1
    endpoint g t1:green n2 10.1.2.20 2001:db8:2::20
    endpoint z t2:red n1 10.1.1.1 2001:db8:1::1
    endpoint y t2:red n2 10.1.1.20 2001:db8:1::20
  `;
}

const PODS = ["a", "b", "r", "c", "g", "z", "y"];
const A: Link = { src: macOf("10.1.1.1"), dst: macOf("10.1.1.20") };
const TO_B: Link = { ...A, dst: macOf("10.1.1.2") };
const BROADCAST = "ff:ff:ff:ff:ff:ff";
/** Long enough for a frame to cross both switches on a busy machine. */
const CROSSING_MS = 400;
const GATEWAY_MAC = "00:00:11:11:11:11";

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe.each(["vxlan", "vlan"])("%s", (encap) => {
  let lab: FlowLab;

  beforeAll(async () => {
    lab = await startFlowLab(world("bridge proxy", encap));
  });

  afterAll(async () => {
    await lab?.[Symbol.asyncDispose]();
  });

  async function load(mode: string): Promise<void> {
    await lab.load(world(mode, encap));
    await lab.forgetNeighbours();
  }

  async function isSilent(pod: string, address: string): Promise<boolean> {
    return (await lab.exec(pod, "ping", "-n", "-c", "3", "-i", "0.2", "-W", "1", address)).exitCode !== 0;
  }

  async function neighbour(pod: string, address: string): Promise<string> {
    return (await lab.exec(pod, "ip", "neigh", "show", "to", address, "dev", "eth0")).stdout.trim();
  }

  /** Who receives a frame that `sender` sends, once for each copy. */
  async function receivers(sender: string, frame: string, isIt: (heard: string) => boolean): Promise<string[]> {
    const others = PODS.filter((pod) => pod !== sender);
    const sniffers = await Promise.all(others.map((pod) => sniff(lab.netnsOf(pod), "eth0")));
    await sendFrames(lab.netnsOf(sender), "eth0", [frame]);
    await pause(CROSSING_MS);
    const heard = others.flatMap((pod, index) => (sniffers[index]?.frames ?? []).filter(isIt).map(() => pod));
    for (const sniffer of sniffers) await sniffer[Symbol.asyncDispose]();
    return heard;
  }

  function receiversOf(link: Link, src: string, dst: string): Promise<string[]> {
    const text = `mark-${Math.random()}`;
    return receivers("a", udpFrame(link, { src, dst, text }), (frame) => holdsText(frame, text));
  }

  describe("bridge mode, ARP answered", () => {
    beforeAll(() => load("bridge proxy"));

    it.each([
      ["a", "10.1.1.2"],
      ["a", "2001:db8:1::2"],
      ["a", "10.1.1.20"],
      ["a", "2001:db8:1::20"],
      ["r", "fe80::2:aff:fe01:101%eth0"],
      ["y", "10.1.1.1"],
      ["y", "2001:db8:1::1"],
    ])("%s reaches %s", async (pod, address) => {
      expect(await lab.reaches(pod, address)).toBe(true);
    });

    it("learns a remote pod's own MAC, and the pod hears nothing of it", async () => {
      const sniffer = await sniff(lab.netnsOf("r"), "eth0");
      await lab.exec("a", "ip", "neigh", "flush", "dev", "eth0");
      expect(await lab.reaches("a", "10.1.1.20")).toBe(true);
      expect(await lab.reaches("a", "2001:db8:1::20")).toBe(true);
      expect(await neighbour("a", "10.1.1.20")).toContain(`lladdr ${macOf("10.1.1.20")}`);
      expect(await neighbour("a", "2001:db8:1::20")).toMatch(new RegExp(`lladdr ${macOf("10.1.1.20")} (?!router)`));
      const asked = sniffer.frames.filter((frame) => frame.startsWith(BROADCAST.replaceAll(":", "")));
      await sniffer[Symbol.asyncDispose]();
      expect(asked.filter((frame) => frame.slice(24, 28) === "0806")).toEqual([]);
    });

    it("lets a pod find its addresses free", async () => {
      await lab.exec("b", "ip", "address", "del", "2001:db8:1::2/64", "dev", "eth0");
      await lab.exec("b", "ip", "address", "add", "2001:db8:1::2/64", "dev", "eth0");
      await expect
        .poll(async () => (await lab.exec("b", "ip", "-6", "address", "show", "dev", "eth0")).stdout, {
          timeout: 5_000,
        })
        .not.toContain("tentative");
      expect((await lab.exec("b", "ip", "-6", "address", "show", "dev", "eth0")).stdout).not.toContain("dadfailed");
    });

    it("keeps networks apart", async () => {
      expect(await isSilent("a", "10.1.2.1")).toBe(true);
    });

    it("floods within the network only, each copy once", async () => {
      expect(await receiversOf({ ...A, dst: BROADCAST }, "10.1.1.1", "255.255.255.255")).toEqual(["b", "r"]);
      expect(await receiversOf({ ...A, dst: "01:00:5e:00:00:fb" }, "10.1.1.1", "224.0.0.251")).toEqual(["b", "r"]);
    });

    it("floods an announcement", async () => {
      const announcement = arpFrame({ ...A, dst: BROADCAST }, { op: 1, sha: A.src, spa: "10.1.1.1", tpa: "10.1.1.1" });
      expect(await receivers("a", announcement, (frame) => frame === announcement)).toEqual(["b", "r"]);
    });

    it("carries frames as large as the pod's MTU", async () => {
      const bytes = encap === "vxlan" ? 1450 - 28 : 1500 - 28;
      const { exitCode } = await lab.exec(
        "a",
        "ping",
        "-c",
        "2",
        "-i",
        "0.2",
        "-W",
        "1",
        "-M",
        "do",
        "-s",
        `${bytes}`,
        "10.1.1.20",
      );
      expect(exitCode).toBe(0);
    });
  });

  describe("a pod that lies", () => {
    beforeAll(() => load("bridge proxy"));

    it("is heard when it tells the truth", async () => {
      expect(await receiversOf(A, "10.1.1.1", "10.1.1.20")).toEqual(["r"]);
      expect(await receiversOf(TO_B, "2001:db8:1::1", "2001:db8:1::2")).toEqual(["b"]);
    });

    it.each([
      ["MAC", { ...TO_B, src: macOf("10.1.1.9") }, "10.1.1.1", "10.1.1.2"],
      ["IPv4", TO_B, "10.1.1.9", "10.1.1.2"],
      ["IPv4 of a neighbour", A, "10.1.1.2", "10.1.1.20"],
      ["IPv6", A, "2001:db8:1::2", "2001:db8:1::20"],
      ["link-local IPv6", TO_B, "fe80::1", "fe80::2:aff:fe01:102"],
      ["VLAN of its own network", { ...A, vlan: 100 }, "10.1.1.1", "10.1.1.20"],
      ["VLAN of another tenant", { ...A, vlan: 300 }, "10.1.1.1", "10.1.1.20"],
    ] as const)("about its %s is not heard", async (_what, link, src, dst) => {
      expect(await receiversOf(link, src, dst)).toEqual([]);
    });

    const arp = (sha: string, spa: string, op = 2) =>
      arpFrame({ ...A, dst: BROADCAST }, { op, sha, spa, tpa: "10.1.1.99" });
    const nd = (type: number, more: object) =>
      discoveryFrame(
        { ...A, dst: "33:33:00:00:00:01" },
        { type, src: "2001:db8:1::1", dst: "ff02::1", target: "2001:db8:1::1", ...more },
      );

    it.each([
      ["in an honest ARP", arp(A.src, "10.1.1.1"), ["b", "r"]],
      ["in an ARP with another's IP", arp(A.src, "10.1.1.20"), []],
      ["in an ARP with another's MAC", arp(TO_B.dst, "10.1.1.1"), []],
      ["in an honest advertisement", nd(136, { option: { type: 2, mac: A.src } }), ["b", "r"]],
      [
        "in an advertisement of another's address",
        nd(136, { target: "2001:db8:1::20", option: { type: 2, mac: A.src } }),
        [],
      ],
      ["in an advertisement of another's MAC", nd(136, { option: { type: 2, mac: TO_B.dst } }), []],
      [
        "in a solicitation with another's MAC",
        nd(135, { target: "2001:db8:1::99", option: { type: 1, mac: TO_B.dst } }),
        [],
      ],
      ["as a router", nd(134, { src: "fe80::2:aff:fe01:101" }), []],
    ])("%s is heard as it should be", async (_what, frame, heard) => {
      expect(await receivers("a", frame, (each) => each.startsWith(frame))).toEqual(heard);
    });
  });

  describe("bridge mode, ARP flooded", () => {
    beforeAll(() => load("bridge flood"));

    it("lets pods ask each other", async () => {
      const sniffer: Sniffer = await sniff(lab.netnsOf("r"), "eth0");
      expect(await lab.reaches("a", "10.1.1.20")).toBe(true);
      expect(await lab.reaches("a", "2001:db8:1::20")).toBe(true);
      const asked = sniffer.frames.filter(
        (frame) => frame.slice(24, 28) === "0806" && frame.startsWith("ffffffffffff"),
      );
      await sniffer[Symbol.asyncDispose]();
      expect(asked.length).toBeGreaterThan(0);
    });
  });

  describe.each(["proxy", "flood"])("routing mode, ARP %s", (arpMode) => {
    beforeAll(() => load(`routing ${arpMode}`));

    it.each([
      ["a", "10.1.2.1"],
      ["a", "10.1.2.20"],
      ["a", "2001:db8:2::1"],
      ["a", "2001:db8:2::20"],
      ["g", "10.1.1.2"],
      ["a", "10.1.1.20"],
      ["a", "2001:db8:1::20"],
      ["a", "10.1.1.254"],
      ["a", "2001:db8:1::ff"],
      ["a", "10.1.2.254"],
      ["y", "10.1.1.254"],
      ["y", "2001:db8:1::1"],
    ])("%s reaches %s", async (pod, address) => {
      expect(await lab.reaches(pod, address)).toBe(true);
    });

    it("counts as one hop", async () => {
      const ttlOf = async (address: string) =>
        / ttl=(\d+) /.exec((await lab.exec("a", "ping", "-n", "-c", "1", "-W", "1", address)).stdout)?.[1];
      expect([
        await ttlOf("10.1.2.20"),
        await ttlOf("2001:db8:2::20"),
        await ttlOf("10.1.1.20"),
        await ttlOf("10.1.1.254"),
      ]).toEqual(["63", "63", "64", "64"]);
    });

    it("shows pods one gateway, which says that it is a router", async () => {
      expect(await neighbour("a", "10.1.1.254")).toContain(`lladdr ${GATEWAY_MAC}`);
      expect(await neighbour("a", "2001:db8:1::ff")).toMatch(new RegExp(`lladdr ${GATEWAY_MAC} router`));
    });

    it("never leads into another tenant", async () => {
      expect(await isSilent("z", "10.1.2.1")).toBe(true);
      expect(await isSilent("z", "2001:db8:2::20")).toBe(true);
    });

    it("does not show the gateway's MAC to the underlay's switches", async () => {
      const text = `routed-${encap}-${arpMode}`;
      const sniffer = await sniff(lab.netnsOf("g"), "eth0");
      const link = { src: A.src, dst: GATEWAY_MAC };
      await sendFrames(lab.netnsOf("a"), "eth0", [udpFrame(link, { src: "10.1.1.1", dst: "10.1.2.20", text })]);
      await pause(CROSSING_MS);
      const senders = sniffer.frames.filter((frame) => holdsText(frame, text)).map((frame) => frame.slice(12, 24));
      await sniffer[Symbol.asyncDispose]();
      expect(senders).toEqual([(encap === "vlan" ? routerMacOf("n1") : GATEWAY_MAC).replaceAll(":", "")]);
    });

    it("loses nothing while the next generation takes over", async () => {
      const ping = lab.exec("a", "ping", "-n", "-q", "-i", "0.01", "-c", "200", "-W", "1", "10.1.2.20");
      for (const generation of [2, 3, 4]) {
        await pause(400);
        await lab.load(world(`routing ${arpMode}`, encap), generation);
      }
      expect((await ping).stdout).toContain("200 packets transmitted, 200 received");
    });
  });
});
