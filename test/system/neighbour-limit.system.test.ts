import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ovsRunDirectory, startOvs, vswitchdName } from "../../deploy/cluster/components.ts";
import { findPod } from "../../deploy/cluster/pods.ts";
import { askNetplugin } from "./node-dump.ts";
import { eventually, startTestCluster, type TestCluster } from "./test-cluster.ts";

/** The meters that pods' ARP and neighbour discovery pass, on one node: one for each port, whatever happens to them. */
let world: TestCluster;

const PER_SECOND = 50;
const FIRST_METER = 0x3_0000;
const NEIGHBOUR_TABLE = 13;
/** A busy machine takes its time. */
const REPAIR_TIMEOUT_MS = 20_000;
const PODS = ["one", "two"];

beforeAll(async () => {
  const limit = ["--neighbour-messages-per-second", String(PER_SECOND)];
  world = await startTestCluster({ nodes: 1, extraArguments: { netplugin: limit } });
  await world.rest.post("/api/v1/tenants/t1/", { tenantName: "t1" });
  const network = { tenantName: "t1", networkName: "net", encap: "vxlan", subnet: "10.84.0.0/24" };
  await world.rest.post("/api/v1/networks/t1:net/", network);
  for (const pod of PODS) await world.addPod(pod, 1, { tenant: "t1", network: "net" });
});

afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
});

const ofctl = async (command: string, ...more: string[]) => {
  const bridge = `${ovsRunDirectory(world.cluster.layout, 1)}/contiv-int.mgmt`;
  return (await world.onNode(1, ["ovs-ofctl", "-O", "OpenFlow15", command, bridge, ...more])).stdout;
};

/** Meters as the switch has them, and those that the flows of the table name, by port. */
async function meters(): Promise<{ readonly made: readonly string[]; readonly named: readonly string[] }> {
  const made = (await ofctl("dump-meters")).matchAll(/meter=(\d+) pktps[^\n]*\n?[^\n]*?rate=(\d+) burst_size=(\d+)/g);
  const flows = (await ofctl("dump-flows", `table=${NEIGHBOUR_TABLE}`)).matchAll(/in_port=\S*?(\d+) .*meter:(\d+)/g);
  const port = (id: string | undefined) => Number(id) - FIRST_METER;
  return {
    made: [...made].map(([, id, rate, burst]) => `${port(id)} ${rate} ${burst}`).sort(),
    named: [...flows].map(([, , id]) => String(port(id))).sort(),
  };
}

/** One for each of so many pods, at the rate that was asked for, and a flow that names it. */
async function untilMetersOf(podCount: number): Promise<readonly string[]> {
  const { named } = await eventually(
    `meters of ${podCount} pods`,
    meters,
    (found) =>
      found.named.length === podCount &&
      String(found.made) === String(found.named.map((port) => `${port} ${PER_SECOND} ${5 * PER_SECOND}`)),
    REPAIR_TIMEOUT_MS,
  );
  return named;
}

async function untilPinging(): Promise<void> {
  const [address = ""] = await world.addresses("two");
  const ask = () => world.ping("one", address, 1);
  await eventually("ping", ask, (answers) => answers > 0, REPAIR_TIMEOUT_MS);
}

/** Both the node and netmaster name the pod whose messages were dropped, and no other. */
async function expectTold(atLeast: number): Promise<void> {
  const { layout } = world.cluster;
  const key = (pod: string) => `${findPod(layout, pod).containerId}:eth0`;
  const metric = async () => (await askNetplugin(layout, 1, "/metrics")) ?? "";
  const dropped = /^contiv_netplugin_neighbour_messages_dropped_total\{endpoint="(.*?)",.*\} ([1-9]\d*)$/gm;
  const named = (text: string) => [...text.matchAll(dropped)].map(([, endpoint, count]) => [endpoint, Number(count)]);
  const text = await eventually("metric", metric, (now) => Number(named(now)[0]?.[1] ?? 0) >= atLeast);
  expect(named(text).map(([endpoint]) => endpoint)).toEqual([key("one")]);
  type Answer = { readonly measured?: { readonly droppedNeighbourMessages?: number } };
  const ask = (pod: string) => world.rest.get<Answer>(`/api/v1/endpoints/${key(pod)}/bandwidth/`);
  const isTold = ({ measured }: Answer) => (measured?.droppedNeighbourMessages ?? 0) >= atLeast;
  await eventually("what netmaster says", () => ask("one"), isTold, REPAIR_TIMEOUT_MS);
  expect((await ask("two")).measured?.droppedNeighbourMessages).toBeUndefined();
}

describe("the meter of a pod's messages to neighbours", () => {
  it("comes and goes with its port", async () => {
    const before = await untilMetersOf(PODS.length);
    await world.addPod("three", 1, { tenant: "t1", network: "net" });
    const during = await untilMetersOf(PODS.length + 1);
    expect(during).toEqual(expect.arrayContaining([...before]));
    await world.removePod("three");
    expect(await untilMetersOf(PODS.length)).toEqual(before);
  });

  it("comes back when somebody deletes it", async () => {
    const [port = ""] = await untilMetersOf(PODS.length);
    await ofctl("del-meter", `meter=${FIRST_METER + Number(port)}`);
    await untilMetersOf(PODS.length);
    await ofctl("del-meters");
    await untilMetersOf(PODS.length);
    await untilPinging();
  });

  it("outlives restarts of the switch and of netplugin", async () => {
    await untilMetersOf(PODS.length);
    await world.kill(vswitchdName(1));
    await startOvs(world.cluster.layout, 1);
    await untilMetersOf(PODS.length);
    await untilPinging();
    await world.restartNetplugin(1, "SIGKILL");
    await untilMetersOf(PODS.length);
  });

  it("lets a pod send what it may, and no more", async () => {
    await untilMetersOf(PODS.length);
    const startMs = performance.now();
    const asked = 3_000;
    const script = `import socket; s=socket.socket(socket.AF_PACKET,socket.SOCK_RAW,0); s.bind(("eth0",0)); m=s.getsockname()[4]
ip=socket.inet_aton(__import__("sys").argv[1]); f=b"\\xff"*6+m+bytes.fromhex("08060001080006040001")+m+ip+bytes(6)+socket.inet_aton("10.84.0.200")
for _ in range(${asked}): s.send(f)`;
    const received = async () =>
      Number((await world.inPod("two", ["cat", "/sys/class/net/eth0/statistics/rx_packets"])).stdout);
    const before = await received();
    const [own = ""] = await world.addresses("one");
    expect((await world.inPod("one", ["/usr/bin/python3", "-c", script, own])).exitCode).toBe(0);
    const got = (await received()) - before;
    expect(got).toBeLessThanOrEqual(PER_SECOND * (5 + 2 + (performance.now() - startMs) / 1_000));
    await untilPinging();
    await expectTold(asked / 10); // of a burst the switch reads what its socket holds
  });
});
