import { type ChildProcess, spawn } from "node:child_process";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { inNetns } from "../../deploy/cluster/exec.ts";
import { controlNetns, podNetns } from "../../deploy/cluster/underlay.ts";
import { eventually, startTestCluster, type TestCluster } from "./test-cluster.ts";

let cluster: TestCluster;

beforeAll(async () => {
  cluster = await startTestCluster({ nodes: 2 });
  await putNetwork("red", { encap: "vlan", pktTag: 77, subnet: "10.7.0.0/24", ipv6Subnet: "2001:db8:7::/64" });
  await putNetwork("blue", { encap: "vxlan", subnet: "10.8.0.0/24", ipv6Subnet: "2001:db8:8::/64" });
});

afterAll(async () => {
  await cluster?.[Symbol.asyncDispose]();
});

function putNetwork(networkName: string, options: object) {
  const body = { networkName, tenantName: "default", ...options };
  return cluster.rest.post(`/api/v1/networks/default:${networkName}/`, body);
}

async function setArpMode(arpMode: "proxy" | "flood"): Promise<void> {
  await cluster.rest.post("/api/v1/globals/global/", { name: "global", arpMode });
}

/** One frame as tcpdump tells it, with the time of its coming. */
interface Heard {
  readonly atMs: number;
  readonly text: string;
}

interface Listener extends AsyncDisposable {
  readonly frames: readonly Heard[];
}

/** Listens on a device of a namespace; resolves when it does. Ends with this process. */
async function listen(netns: string, device: string, filter: string): Promise<Listener> {
  const argv = ["tcpdump", "-i", device, "-n", "-e", "-l", "-tt", "--immediate-mode", filter];
  const [file = "", ...rest] = ["setpriv", "--pdeathsig", "KILL", "--", ...inNetns(netns, argv)];
  const child: ChildProcess = spawn(file, rest, { stdio: ["ignore", "pipe", "pipe"] });
  const frames: Heard[] = [];
  let pending = "";
  child.stdout?.setEncoding("utf8").on("data", (chunk: string) => {
    const lines = (pending + chunk).split("\n");
    pending = lines.pop() ?? "";
    for (const text of lines) frames.push({ atMs: Number.parseFloat(text) * 1_000, text });
  });
  await new Promise<void>((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`tcpdump ended: ${code}`)));
    let told = "";
    child.stderr?.setEncoding("utf8").on("data", (chunk: string) => {
      told += chunk;
      if (told.includes("listening on")) resolve();
    });
  });
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  return {
    frames,
    [Symbol.asyncDispose]: async () => {
      child.kill("SIGKILL");
      await ended;
    },
  };
}

const ANNOUNCEMENTS = "arp[6:2] == 1 or (icmp6 and ip6[40] == 136 and ip6 dst ff02::1)";

/** On the bridge between the nodes; a tagged frame needs `vlan` before what is inside of it. */
function onUnderlay(): Promise<Listener> {
  const inside = "(arp or (ip6 and dst host ff02::1))";
  return listen(controlNetns(cluster.cluster.layout.underlay), "underlay", `vlan and ${inside}`);
}

function inPod(pod: string): Promise<Listener> {
  return listen(podNetns(cluster.cluster.layout.underlay, pod), "eth0", ANNOUNCEMENTS);
}

function gratuitous({ frames }: Listener, ipv4: string): readonly Heard[] {
  const pattern = new RegExp(
    `Request who-has ${ipv4.replaceAll(".", "\\.")} (\\([0-9a-f:]+\\) )?tell ${ipv4.replaceAll(".", "\\.")}[,\\s]`,
  );
  return frames.filter(({ text }) => pattern.test(text));
}

function advertised({ frames }: Listener, ipv6: string): readonly Heard[] {
  return frames.filter(({ text }) => text.includes(`${ipv6} > ff02::1`) && text.includes(`tgt is ${ipv6}`));
}

async function addresses(pod: string, node: number, network: string): Promise<{ ipv4: string; ipv6: string }> {
  const { ips } = await cluster.addPod(pod, node, { network });
  const [ipv4 = "", ipv6 = ""] = ips.map(({ address }) => address.split("/")[0] ?? "");
  return { ipv4, ipv6 };
}

function wait(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Longer than a burst lasts. */
const BURST_MS = 1_700;

describe("announcements", () => {
  it("of a pod on a VLAN go out on the underlay with its tag: three of each family, at 0, 200 ms and 1 s", async () => {
    await using underlay = await onUnderlay();
    const pod = await addresses("a1", 1, "red");
    await wait(BURST_MS);
    const requests = gratuitous(underlay, pod.ipv4);
    expect(requests.map(({ text }) => text.includes("vlan 77"))).toEqual([true, true, true]);
    expect(requests[0]?.text).toContain("> ff:ff:ff:ff:ff:ff");
    const [first = 0, second = 0, third = 0] = requests.map(({ atMs }) => atMs);
    expect(second - first).toBeGreaterThan(100);
    expect(second - first).toBeLessThan(600);
    expect(third - first).toBeGreaterThan(800);
    expect(third - first).toBeLessThan(1_600);
    expect(advertised(underlay, pod.ipv6)).toHaveLength(3);
  });

  it("are not repeated when netplugin restarts, nor when the view is told again", async () => {
    await using underlay = await onUnderlay();
    await cluster.restartNetplugin(1, "SIGKILL");
    await cluster.restartNetmaster(1);
    const pod = await addresses("a2", 1, "red");
    await wait(BURST_MS);
    expect(gratuitous(underlay, pod.ipv4)).toHaveLength(3);
    const [old = ""] = await cluster.addresses("a1");
    expect(gratuitous(underlay, old)).toEqual([]);
  });

  it("of a pod on a VXLAN are not needed when neighbours are answered for", async () => {
    await addresses("b1", 1, "blue");
    await addresses("b2", 2, "blue");
    await using listener = await inPod("b2");
    const pod = await addresses("b3", 1, "blue");
    await wait(BURST_MS);
    expect([...gratuitous(listener, pod.ipv4), ...advertised(listener, pod.ipv6)]).toEqual([]);
  });

  it("reach the pods of both nodes and the underlay when neighbours are flooded, but never the pod itself", async () => {
    await cluster.removeAllPods();
    await setArpMode("flood");
    for (const network of ["red", "blue"]) {
      await addresses(`${network}-near`, 1, network);
      await addresses(`${network}-far`, 2, network);
      await wait(BURST_MS);
      await using near = await inPod(`${network}-near`);
      await using far = await inPod(`${network}-far`);
      await using underlay = await onUnderlay();
      const pod = await addresses(`${network}-new`, 1, network);
      await using own = await inPod(`${network}-new`);
      await wait(BURST_MS);
      for (const listener of [near, far]) {
        expect(gratuitous(listener, pod.ipv4), network).toHaveLength(3);
        expect(advertised(listener, pod.ipv6), network).toHaveLength(3);
      }
      expect(gratuitous(underlay, pod.ipv4), network).toHaveLength(network === "red" ? 3 : 0);
      expect(gratuitous(own, pod.ipv4), network).toEqual([]);
    }
    await cluster.removeAllPods();
    await setArpMode("proxy");
  });

  it("are counted", async () => {
    const script = 'fetch("http://127.0.0.1:9090/metrics").then((r) => r.text()).then((t) => console.log(t))';
    const counters = await eventually(
      "metrics",
      async () => (await cluster.onNode(1, [process.execPath, "-e", script])).stdout,
      (text) => text.includes("contiv_netplugin_announcements_total"),
    );
    expect(counters).toMatch(/contiv_netplugin_announcements_total\{outcome="sent"\} [1-9]/);
    expect(counters).not.toMatch(/contiv_netplugin_announcements_total\{outcome="(failed|dropped)"\} [1-9]/);
  });
});
