/**
 * Endpoint allocation through a real netmaster on a real etcd with fsync, 64 callers, beside bare etcd transactions of the same
 * shape on the same etcd. Run: test/bench/run netmaster-endpoints [count]
 */
import { randomUUID } from "node:crypto";
import { openEtcdStore } from "../../state/store/etcd/store.ts";
import type { Store } from "../../state/store/store.ts";
import { startEtcd } from "../fakes/etcd-server.ts";
import { type JsonClient, jsonClient } from "../system/json-client.ts";
import { startNetmasterProcess } from "../system/netmaster-process.ts";
import { registration } from "../system/node-registration.ts";
import { type LoadResult, load } from "./callers.ts";
import { milliseconds, printTable, quantile } from "./table.ts";

const CALLERS = 64;
const NODE = "/node/v1/nodes/n1";

const count = Number(process.argv[2] ?? 10_000);
await using etcd = await startEtcd();
await using store = await openEtcdStore({ endpoints: etcd.endpoints });
const netmaster = await startNetmasterProcess({ name: "m1", etcdEndpoints: etcd.endpoints });
using rest = jsonClient(netmaster.restUrl);
using node = jsonClient(netmaster.nodeApiUrl);
await prepare();
await load(500, CALLERS, (index) => create(node, `warm${index}`));

const bare = await load(count, CALLERS, (index) => bareCommit(store, index));
const created = await load(count, CALLERS, (index) => create(node, `c${index}`));
const endpoints = (await rest.call("GET", "/api/v1/endpoints/")).body as { key: string; epoch: string }[];
const released = await load(endpoints.length, CALLERS, async (index) => {
  const { key, epoch } = endpoints[index] ?? { key: "", epoch: "" };
  await expectOk(node, `${NODE}/endpoints/release`, { key, epoch });
});
const left = (await rest.call("GET", "/api/v1/endpoints/")).body as unknown[];

printTable(
  ["operation, 64 callers", "per second", "p50", "p99"],
  [
    row(`bare etcd: one transaction of 3 puts each (${count})`, bare),
    row(`netmaster: create a dual-stack endpoint (${count})`, created),
    row(`netmaster: release it (${endpoints.length}, ${left.length} left over)`, released),
  ],
);
await netmaster.kill("SIGTERM");

async function prepare(): Promise<void> {
  const network = { encap: "vxlan", subnet: "10.0.0.0/12", gateway: "10.0.0.1", ipv6Subnet: "2001:db8::/64" };
  await expectOk(rest, "/api/v1/networks/default:net1/", { tenantName: "default", networkName: "net1", ...network });
  await expectOk(node, `${NODE}/register`, registration("n1", "192.168.1.1"));
}

async function create(client: JsonClient, containerId: string): Promise<void> {
  const request = { containerId, ifName: "eth0", tenantName: "default", networkName: "net1" };
  await expectOk(client, `${NODE}/endpoints`, request);
}

async function expectOk(client: JsonClient, path: string, body: unknown): Promise<void> {
  const reply = await client.call("POST", path, body);
  if (reply.status !== 200) throw new Error(`POST ${path}: ${reply.status} ${JSON.stringify(reply.body)}`);
}

async function bareCommit(target: Store, index: number): Promise<void> {
  const keys = ["a", "b", "c"].map((letter) => `/bench/${letter}/${index}`);
  await target.commit({
    requestId: randomUUID(),
    guards: keys.map((key) => ({ key, is: "absent" as const })),
    puts: keys.map((key) => ({ key, value: "x".repeat(300) })),
    deletes: [],
  });
}

function row(name: string, { seconds, latenciesMs }: LoadResult): (string | number)[] {
  const perSecond = Math.round(latenciesMs.length / seconds);
  return [name, perSecond, milliseconds(quantile(latenciesMs, 0.5)), milliseconds(quantile(latenciesMs, 0.99))];
}
