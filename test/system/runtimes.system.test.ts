import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { cniSocketPath, projectRoot } from "../../deploy/cluster/components.ts";
import { inNetns, run } from "../../deploy/cluster/exec.ts";
import { nodeNetns } from "../../deploy/cluster/underlay.ts";
import { type Cell, openCell } from "./runtimes/cell.ts";
import { type Containerd, type PodSpec, startContainerd } from "./runtimes/containerd.ts";
import { buildImage, buildPause } from "./runtimes/image.ts";
import { openPodman, type Podman } from "./runtimes/podman.ts";
import { eventually, startTestCluster, type TestCluster } from "./test-cluster.ts";

/**
 * Real container runtimes attach real containers on two nodes through the conflist that is delivered: containerd as kubelet drives it,
 * and podman. Each runtime has everything of its own (`runtimes/cell.ts`) but the node's network, and finds netplugin's socket at its default place.
 */
const NODES = [1, 2];
const REFERENCE_PLUGINS = "/usr/lib/cni";
const BUSYBOX_IMAGE = "localhost/busybox:1";
const PAUSE_IMAGE = "localhost/pause:1";
const CONFLIST = join(projectRoot(), "deploy/cni/10-contiv.conflist");
const cgroupParent = `/contiv-test-${process.pid}`;

let world: TestCluster;
let directory: string;
let binDirectory: string;
let images: { readonly pause: string; readonly busybox: string };
const cells = new Map<number, Cell>();

interface EndpointRow {
  readonly containerID: string;
  readonly ipAddress: readonly string[];
  readonly homingHost: string;
}

beforeAll(async () => {
  world = await startTestCluster({ nodes: NODES.length });
  directory = mkdtempSync(join(tmpdir(), "contiv-runtimes-"));
  binDirectory = join(directory, "bin");
  mkdirSync(binDirectory);
  for (const name of readdirSync(REFERENCE_PLUGINS))
    symlinkSync(join(REFERENCE_PLUGINS, name), join(binDirectory, name));
  symlinkSync(join(projectRoot(), "cni-shim/contiv"), join(binDirectory, "contiv"));
  const pause = await buildPause(directory);
  images = {
    pause: await buildImage(directory, { name: PAUSE_IMAGE, files: { "bin/pause": pause }, command: ["/bin/pause"] }),
    busybox: await buildImage(directory, {
      name: BUSYBOX_IMAGE,
      files: {
        "bin/busybox": "/bin/busybox",
        "bin/ping": "/bin/busybox",
        "bin/ip": "/bin/busybox",
        "bin/sleep": "/bin/busybox",
      },
      command: ["/bin/sleep", "1000"],
    }),
  };
  for (const node of NODES) {
    const netns = nodeNetns(world.cluster.layout.underlay, node);
    const socketDirectory = dirname(cniSocketPath(world.cluster.layout, node));
    cells.set(node, await openCell({ netns, socketDirectory, directory: join(directory, `n${node}`) }));
  }
});

afterAll(async () => {
  for (const cell of cells.values()) await cell[Symbol.asyncDispose]();
  await removeControlGroups();
  await world?.[Symbol.asyncDispose]();
  if (directory !== undefined) rmSync(directory, { recursive: true, force: true });
});

/** Runtimes leave the parent group of their containers behind; it can go when the last process of theirs has ended. */
async function removeControlGroups(): Promise<void> {
  const find = ["find", "/sys/fs/cgroup", "-depth", "-type", "d", "-path", `*${cgroupParent}*`];
  await eventually(
    `control groups ${cgroupParent}`,
    async () => {
      await run([...find, "-exec", "rmdir", "{}", "+"], { allowFailure: true });
      return (await run(find, { allowFailure: true })).stdout;
    },
    (left) => left === "",
  );
}

function cellOf(node: number): Cell {
  const cell = cells.get(node);
  if (cell === undefined) throw new Error(`there is no cell on node ${node}`);
  return cell;
}

/** What a runtime on that node needs besides its own. */
function runtimeOptions(node: number, configDirectory: string) {
  return { cell: cellOf(node), binDirectory, configDirectory };
}

async function createNetwork(tenantName: string, networkName: string, spec: object): Promise<void> {
  if (tenantName !== "default") await world.rest.post(`/api/v1/tenants/${tenantName}/`, { tenantName });
  await world.rest.post(`/api/v1/networks/${tenantName}:${networkName}/`, { tenantName, networkName, ...spec });
}

async function endpointOf(containerId: string): Promise<EndpointRow | undefined> {
  const endpoints = await world.rest.get<EndpointRow[]>("/api/v1/endpoints/");
  return endpoints.find((each) => each.containerID === containerId);
}

async function expectReleased(containerId: string): Promise<void> {
  await eventually(
    `endpoint of ${containerId}`,
    () => endpointOf(containerId),
    (found) => found === undefined,
  );
}

describe("containerd", () => {
  const runtimes = new Map<number, Containerd>();
  const pods = NODES.map((node) => ({ node, spec: { name: `cri-${node}`, cgroupParent } satisfies PodSpec }));
  const running = new Map<number, { podId: string; containerId: string; addresses: readonly string[] }>();

  beforeAll(async () => {
    await createNetwork("default", "default-net", {
      ...{ encap: "vxlan", subnet: "10.51.0.0/24", gateway: "10.51.0.254", ipv6Subnet: "fd00:51::/64" },
    });
    const configDirectory = join(directory, "net.d");
    mkdirSync(configDirectory);
    copyFileSync(CONFLIST, join(configDirectory, "10-contiv.conflist"));
    for (const node of NODES) {
      const options = { ...runtimeOptions(node, configDirectory), pauseImage: PAUSE_IMAGE };
      runtimes.set(node, await startContainerd(options, [images.pause, images.busybox]));
    }
  });

  afterAll(() => {
    for (const runtime of runtimes.values()) runtime[Symbol.dispose]();
  });

  function runtimeOf(node: number): Containerd {
    const runtime = runtimes.get(node);
    if (runtime === undefined) throw new Error(`there is no containerd on node ${node}`);
    return runtime;
  }

  function runningOn(node: number) {
    const pod = running.get(node);
    if (pod === undefined) throw new Error(`no pod runs on node ${node}`);
    return pod;
  }

  async function expectPings(): Promise<void> {
    for (const { node } of pods) {
      for (const address of runningOn(3 - node).addresses) {
        const ping = ["ping", "-c", "2", "-w", "5", address];
        const { exitCode, stdout } = await runtimeOf(node).exec(runningOn(node).containerId, ping);
        expect(exitCode, `node ${node} → ${address}: ${stdout}`).toBe(0);
      }
    }
  }

  it("runs pods whose addresses are those that netmaster gave, in both families", async () => {
    for (const { node, spec } of pods) {
      const runtime = runtimeOf(node);
      const podId = await runtime.runPod(spec);
      const addresses = await runtime.addressesOf(podId);
      const endpoint = await endpointOf(podId);
      expect(addresses).toHaveLength(2);
      expect(endpoint?.ipAddress.filter((address) => address !== "")).toEqual(addresses);
      expect(endpoint?.homingHost).toBe(`n${node}`);
      running.set(node, { podId, addresses, containerId: await runtime.runContainer(podId, spec, BUSYBOX_IMAGE) });
    }
  });

  it("connects them across the nodes", expectPings);

  it("keeps them connected while netplugin is restarted, and goes on with it", async () => {
    await world.restartNetplugin(1);
    await expectPings();
    const runtime = runtimeOf(1);
    const spec = { name: "cri-late", cgroupParent };
    const podId = await runtime.runPod(spec);
    expect((await runtime.addressesOf(podId))[0]).toMatch(/^10\.51\.0\./);
    await runtime.stopPod(podId);
    await runtime.removePod(podId);
    await expectReleased(podId);
  });

  it("publishes host ports through portmap, where the kernel has NAT", async (context) => {
    const netns = nodeNetns(world.cluster.layout.underlay, 2);
    const rules = () => run(inNetns(netns, ["iptables", "-t", "nat", "-S"]), { allowFailure: true });
    const probe = await rules();
    if (probe.exitCode !== 0) return context.skip(`no NAT in this kernel: ${probe.stderr.trim()}`);
    const runtime = runtimeOf(2);
    const podId = await runtime.runPod({ name: "cri-port", cgroupParent, hostPort: { host: 18080, container: 80 } });
    const [address = ""] = await runtime.addressesOf(podId);
    expect((await rules()).stdout).toMatch(new RegExp(`--dport 18080 .*--to-destination ${address}:80`));
    await runtime.stopPod(podId);
    await runtime.removePod(podId);
    expect((await rules()).stdout).not.toContain(`${address}:80`);
    await expectReleased(podId);
  });

  it("stops and removes them (DEL twice, the second without namespace), and the lease is gone after the first", async () => {
    for (const { node } of pods) {
      const { podId } = runningOn(node);
      await runtimeOf(node).stopPod(podId);
      await expectReleased(podId);
      await runtimeOf(node).removePod(podId);
    }
  });
});

describe("podman", () => {
  const podmen = new Map<number, Podman>();
  const NAME = "pm";

  beforeAll(async () => {
    await createNetwork("blue", "web", { encap: "vlan", subnet: "10.52.0.0/24", gateway: "10.52.0.254" });
    const configDirectory = join(directory, "podman-net.d");
    mkdirSync(configDirectory);
    writeFileSync(join(configDirectory, "blue-web.conflist"), JSON.stringify(withLabels("blue", "web")));
    for (const node of NODES) {
      const podman = openPodman(runtimeOptions(node, configDirectory));
      await podman(["load", "--input", images.busybox]);
      podmen.set(node, podman);
    }
  });

  /** The delivered conflist, with the labels of a pod in CNI's `args`. */
  function withLabels(tenant: string, network: string): object {
    const conflist = JSON.parse(readFileSync(CONFLIST, "utf8")) as { plugins: { type: string }[] };
    const labels = { "io.contiv.tenant": tenant, "io.contiv.network": network };
    const plugins = conflist.plugins.map((each) => (each.type === "contiv" ? { ...each, args: { labels } } : each));
    return { ...conflist, name: `${tenant}-${network}`, plugins };
  }

  function podmanOf(node: number): Podman {
    const podman = podmen.get(node);
    if (podman === undefined) throw new Error(`there is no podman on node ${node}`);
    return podman;
  }

  async function addressOn(node: number): Promise<string> {
    const { stdout } = await podmanOf(node)(["exec", NAME, "ip", "-4", "addr", "show", "eth0"]);
    return /inet ([0-9.]+)/.exec(stdout)?.[1] ?? "";
  }

  it("runs containers in the network that the labels name, and connects them across the nodes", async () => {
    const ids = new Map<number, string>();
    for (const node of NODES) {
      const settings = ["--network", "blue-web", "--name", NAME, "--cgroup-parent", cgroupParent, "--no-hosts"];
      const { stdout } = await podmanOf(node)(["run", "--detach", ...settings, BUSYBOX_IMAGE]);
      ids.set(node, stdout.trim());
      expect((await endpointOf(stdout.trim()))?.ipAddress[0]).toBe(await addressOn(node));
    }
    for (const node of NODES) {
      const other = await addressOn(3 - node);
      expect(other).toMatch(/^10\.52\.0\./);
      const ping = await podmanOf(node)(["exec", NAME, "ping", "-c", "2", "-w", "5", other], { allowFailure: true });
      expect(ping.exitCode, `node ${node} → ${other}: ${ping.stdout}`).toBe(0);
    }
    for (const [node, id] of ids) {
      const { stderr } = await podmanOf(node)(["rm", "--force", "--time", "0", NAME]);
      expect(stderr).toBe("");
      await expectReleased(id);
    }
  });
});

describe("cnitool", () => {
  it("adds, checks and deletes", async (context) => {
    const found = await run(["sh", "-c", "command -v cnitool"], { allowFailure: true });
    if (found.exitCode !== 0) return context.skip("cnitool is not installed (no Debian package has it)");
    const netns = `${world.cluster.layout.underlay.prefix}-cnitool`;
    await run(["ip", "netns", "add", netns]);
    const env = {
      ...process.env,
      CNI_PATH: binDirectory,
      NETCONFPATH: join(projectRoot(), "deploy/cni"),
    };
    const cnitool = (command: string) => cellOf(1).run(["cnitool", command, "contiv", `/run/netns/${netns}`], { env });
    expect(JSON.parse((await cnitool("add")).stdout)).toMatchObject({ ips: [{ address: expect.any(String) }] });
    await cnitool("check");
    await cnitool("del");
    await cnitool("del");
  });
});
