import { readdirSync, readlinkSync } from "node:fs";
import { run } from "../../../deploy/cluster/exec.ts";
import type { NetError } from "../../../state/errors.ts";
import { startOvsNode } from "../../../test/fakes/ovs-node.ts";
import { type Damage, type DriverWorld, describeNetworkDriver, type PodSite, type SeenLink } from "../../contract.ts";
import { LINK_ALIAS, type Marks, ROLE_MARK } from "../../driver.ts";
import { getLink, setLink } from "../../netlink/link.ts";
import { openNetns } from "../../netlink/netns.ts";
import { createScratchNetns } from "../../netlink/scratch-netns.ts";
import { openOvsDriver } from "../switch.ts";
import { OvsNetworkDriver } from "./network-driver.ts";
import { openPanel, type Panel, removePanel } from "./panel.ts";
import { peerNameOf, WARM_ROLE } from "./port-pool.ts";

const COOKIE = 0xc0c0_0000_0000_0000n;
const COOKIE_MASK = 0xffff_0000_0000_0000n;
const READY_PORTS = 2;
const NODE = `cnd${process.pid}`;
const PANEL = `cnp${process.pid}`;

/** A switch with a userspace datapath in a namespace of its own, and a panel. */
async function openWorld(): Promise<DriverWorld> {
  await run(["ip", "netns", "add", NODE]);
  const node = await startOvsNode({ netns: NODE });
  const netns = openNetns(`/run/netns/${NODE}`);
  const panel = await openPanel(PANEL);
  const ending = new AbortController();
  const errors: NetError[] = [];
  const report = (error: NetError) => void errors.push(error);
  const ovs = await openOvsDriver({
    ...{ runDirectory: node.runDirectory, datapath: "netdev", uplinks: [], netns, report, signal: ending.signal },
    ...{ allowDefaultRouteUplink: false, vxlanUdpPort: 4789, cookie: COOKIE, cookieMask: COOKIE_MASK },
  });
  const mark = async (portName: string, marks: Marks) => {
    for (const failure of (await ovs.ports.mark(new Map([[portName, marks]]))).values()) throw failure;
  };
  const aliasOf = ({ who }: Marks) => `${LINK_ALIAS} ${who}`;
  const pods = new Set<number>();
  return {
    open: () =>
      OvsNetworkDriver.open({
        ...{ ovs, panel, netns, readyPortCount: READY_PORTS, mark, aliasOf, report, signal: ending.signal },
        onRelease: () => {},
      }),
    newPod: async () => {
      const pod = await openPod(panel);
      pods.add(pod.netns.inode);
      return pod;
    },
    forget: async (key) => {
      await mark(key, {});
      const far = { name: peerNameOf(key) };
      await panel.netlink.execute([setLink(far, { alias: "" })]);
    },
    leftOver: async () => [
      ...[...ovs.ports.read().values()].filter(({ externalIds }) => !isFree(externalIds)).map(({ name }) => name),
      ...(await strayLinks(ovs.ports.read())),
      ...descriptorsOf(pods),
      ...errors.splice(0).map(({ message }) => message),
    ],
    [Symbol.asyncDispose]: async () => {
      ending.abort();
      await ovs[Symbol.asyncDispose]();
      panel[Symbol.dispose]();
      await removePanel(PANEL);
      netns[Symbol.dispose]();
      await node[Symbol.asyncDispose]();
      await run(["ip", "netns", "delete", NODE]);
    },
  };
}

function isFree(externalIds: Marks): boolean {
  return externalIds[ROLE_MARK] === WARM_ROLE || externalIds[ROLE_MARK] === "tunnel";
}

interface IpLink {
  readonly ifname: string;
  readonly address: string;
  readonly mtu: number;
}

/** Ends of pairs without a port, in the switch's namespace and in the panel. */
async function strayLinks(ports: ReadonlyMap<string, unknown>): Promise<readonly string[]> {
  const names = async (netns: string) =>
    (await ipJson<IpLink>(["-n", netns, "link", "show"])).map((each) => each.ifname);
  const expected = new Set([...ports.keys()].flatMap((name) => [name, peerNameOf(name)]));
  return [...(await names(NODE)), ...(await names(PANEL))].filter(
    (name) => /^cv[hp]/.test(name) && !expected.has(name),
  );
}

/** Namespaces of pods that this process holds open, besides the one that the test has. */
function descriptorsOf(pods: ReadonlySet<number>): readonly string[] {
  const open = readdirSync("/proc/self/fd").flatMap((fd) => linkOf(`/proc/self/fd/${fd}`));
  return [...pods].flatMap((inode) => {
    const count = open.filter((target) => target === `net:[${inode}]`).length;
    return count > 1 ? [`namespace ${inode} is open ${count} times`] : [];
  });
}

function linkOf(path: string): readonly string[] {
  try {
    return [readlinkSync(path)];
  } catch {
    return []; // the descriptor of the directory itself
  }
}

async function ipJson<Row>(args: readonly string[]): Promise<readonly Row[]> {
  return JSON.parse((await run(["ip", "-json", ...args])).stdout || "[]") as readonly Row[];
}

async function openPod(panel: Panel): Promise<PodSite> {
  const scratch = await createScratchNetns();
  const others = await createScratchNetns();
  const netns = openNetns(scratch.path);
  const exists = (ifName: string) => scratch.json("ip", "-json", "link", "show").some((link) => link.ifname === ifName);
  return {
    netns,
    look: async (ifName) => (exists(ifName) ? lookedAt(scratch, ifName) : undefined),
    damage: async (ifName, damage) => {
      for (const command of DAMAGES[damage]) scratch.run("ip", ...command.replaceAll("LINK", ifName).split(" "));
    },
    addForeign: async (ifName, kind, likeKey) => {
      if (kind === "bridge") return void scratch.run("ip", "link", "add", ifName, "type", "bridge");
      const { ifindex } = await panel.netlink.get(getLink({ name: peerNameOf(likeKey) }));
      const pid = /^\/proc\/(\d+)\//.exec(scratch.path)?.[1] ?? "";
      const lower = ["link", "add", "lower", "index", String(ifindex)];
      if (kind === "veth") return void others.run("ip", ...lower, "type", "veth", "peer", "name", ifName, "netns", pid);
      others.run("ip", ...lower, "type", "veth", "peer", "name", "upper");
      others.run("ip", "link", "add", "link", "lower", ifName, "type", "macvlan");
      others.run("ip", "link", "set", ifName, "netns", pid);
    },
    remove: async () => {
      netns[Symbol.dispose]();
      scratch[Symbol.dispose]();
      others[Symbol.dispose]();
    },
  };
}

const DAMAGES: Readonly<Record<Damage, readonly string[]>> = {
  deleted: ["link delete LINK"],
  down: ["link set LINK down"],
  "another MAC": ["link set LINK address 02:00:00:00:00:99"],
  "no address": ["address delete 10.1.1.5/24 dev LINK"],
  "no route": ["route delete default"],
  "another's in its place": [
    "link delete LINK",
    "link add name LINK address 02:02:0a:01:01:05 type bridge",
    "link set LINK up",
  ],
};

type Scratch = Awaited<ReturnType<typeof createScratchNetns>>;

function lookedAt(scratch: Scratch, ifName: string): SeenLink {
  const [found] = scratch.json("ip", "-json", "address", "show", "dev", ifName) as readonly {
    readonly address: string;
    readonly mtu: number;
    readonly addr_info: readonly { readonly local: string; readonly prefixlen: number; readonly scope: string }[];
  }[];
  const routes = scratch.json("ip", "-json", "route", "show", "dev", ifName) as readonly {
    readonly dst: string;
    readonly protocol?: string;
  }[];
  const addresses = (found?.addr_info ?? []).filter(({ scope }) => scope !== "link");
  return {
    mac: found?.address ?? "",
    mtuBytes: found?.mtu ?? 0,
    addresses: addresses.map(({ local, prefixlen }) => `${local}/${prefixlen}`),
    routes: routes.filter(({ protocol }) => protocol !== "kernel").map(({ dst }) => dst),
  };
}

describeNetworkDriver("Open vSwitch", openWorld);
