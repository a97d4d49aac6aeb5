/**
 * A netmaster over a store with 100,000 endpoints: from the start of the process until it is ready, its memory, and the latency of
 * reads and writes; beside an empty store in the same run. Run: test/bench/run netmaster-100k [count]
 */
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { NetworkId } from "../../state/ids.ts";
import { addressClaimKey, objectKey } from "../../state/keys.ts";
import { openEtcdStore } from "../../state/store/etcd/store.ts";
import type { Put, Store } from "../../state/store/store.ts";
import { startEtcd } from "../fakes/etcd-server.ts";
import { type JsonClient, jsonClient } from "../system/json-client.ts";
import { type NetmasterProcess, startNetmasterProcess } from "../system/netmaster-process.ts";
import { registration } from "../system/node-registration.ts";
import { load } from "./callers.ts";
import { milliseconds, printTable, quantile } from "./table.ts";

const NETWORKS = 10;
const NODES = 100;
const ENDPOINTS_PER_COMMIT = 33;
const SAMPLES = 2_000;

const count = Number(process.argv[2] ?? 100_000);
await using etcd = await startEtcd();
await using store = await openEtcdStore({ endpoints: etcd.endpoints });
const first = await startNetmasterProcess({ name: "m1", etcdEndpoints: etcd.endpoints });
await prepare(first);
const empty = await measure(first);
await first.kill("SIGTERM");
await fill(store, count);
const second = await startNetmasterProcess({ name: "m2", etcdEndpoints: etcd.endpoints });
const full = await measure(second);
await second.kill("SIGTERM");

printTable(
  ["", "without endpoints", `with ${count} endpoints`],
  [
    ["start to ready", milliseconds(first.readyMs), milliseconds(second.readyMs)],
    ...full.map(({ name, text }, index) => [name, empty[index]?.text ?? "", text]),
  ],
);

interface Figure {
  readonly name: string;
  readonly text: string;
}

async function measure(netmaster: NetmasterProcess): Promise<readonly Figure[]> {
  using rest = jsonClient(netmaster.restUrl, 4);
  using node = jsonClient(netmaster.nodeApiUrl, 4);
  const restingKb = statusKb(netmaster.pid, "VmRSS");
  const reads = await load(SAMPLES, 1, () => expectOk(rest, "GET", "/api/v1/networks/default:net1/"));
  const writes = await load(SAMPLES, 1, (index) =>
    expectOk(node, "POST", "/node/v1/nodes/n1/endpoints", {
      ...{ containerId: `${netmaster.name}-${index}`, ifName: "eth0" },
      ...{ tenantName: "default", networkName: "net1" },
    }),
  );
  return [
    { name: "memory (RSS) when ready", text: megabytes(restingKb) },
    { name: `GET one network, p99 of ${SAMPLES}`, text: milliseconds(quantile(reads.latenciesMs, 0.99)) },
    { name: `create an endpoint, p50 of ${SAMPLES}`, text: milliseconds(quantile(writes.latenciesMs, 0.5)) },
    { name: `create an endpoint, p99 of ${SAMPLES}`, text: milliseconds(quantile(writes.latenciesMs, 0.99)) },
    { name: "memory (RSS) after that", text: megabytes(statusKb(netmaster.pid, "VmRSS")) },
    { name: "highest memory", text: megabytes(statusKb(netmaster.pid, "VmHWM")) },
  ];
}

function statusKb(pid: number, field: string): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(status)?.[1]);
}

function megabytes(kilobytes: number): string {
  return `${Math.round((kilobytes * 1_024) / 1_000_000)} MB`;
}

async function prepare(netmaster: NetmasterProcess): Promise<void> {
  using rest = jsonClient(netmaster.restUrl);
  using node = jsonClient(netmaster.nodeApiUrl);
  for (let index = 1; index <= NETWORKS; index += 1) {
    const subnets = {
      subnet: `10.${index}.0.0/16`,
      gateway: `10.${index}.255.254`,
      ipv6Subnet: `2001:db8:${index}::/64`,
    };
    const network = { tenantName: "default", networkName: `net${index}`, encap: "vxlan", ...subnets };
    await expectOk(rest, "POST", `/api/v1/networks/default:net${index}/`, network);
  }
  for (let index = 1; index <= NODES; index += 1) {
    const body = registration(`n${index}`, `192.168.1.${index}`);
    await expectOk(node, "POST", `/node/v1/nodes/n${index}/register`, body);
  }
}

async function fill(target: Store, total: number): Promise<void> {
  const commits = Math.ceil(total / ENDPOINTS_PER_COMMIT);
  await load(commits, 8, async (index) => {
    const from = index * ENDPOINTS_PER_COMMIT;
    const size = Math.min(ENDPOINTS_PER_COMMIT, total - from);
    const puts = Array.from({ length: size }, (_, offset) => endpointPuts(from + offset)).flat();
    const result = await target.commit({ requestId: randomUUID(), guards: [], puts, deletes: [] });
    if (!result.committed) throw new Error("the store refused the endpoints");
  });
}

function endpointPuts(index: number): readonly Put[] {
  const networkId = NetworkId.parse(1 + (index % NETWORKS));
  const host = 5_000 + Math.floor(index / NETWORKS);
  const ipv4 = `10.${networkId}.${host >> 8}.${host & 255}`;
  const ipv6 = `2001:db8:${networkId}::${host.toString(16)}`;
  const containerId = index.toString(16).padStart(64, "0");
  const key = `${containerId}:eth0`;
  const mac = `02:02:${[10, networkId, host >> 8, host & 255].map((byte) => byte.toString(16).padStart(2, "0")).join(":")}`;
  const names = {
    nodeName: `n${1 + (index % NODES)}`,
    tenantName: "default",
    networkName: `net${networkId}`,
    groupName: "",
  };
  const pod = { podName: `web-${index}`, podNamespace: "default", labels: {}, createdAt: "2026-01-01T00:00:00.000Z" };
  const record = {
    key,
    epoch: `epoch-${index}`,
    endpointId: containerId,
    containerId,
    ifName: "eth0",
    networkId,
    ipv4,
    ipv6,
    mac,
  };
  return [
    { key: objectKey("endpoint", key), value: JSON.stringify({ ...record, ...names, ...pod }) },
    { key: addressClaimKey(networkId, ipv4), value: `endpoint/${key}` },
    { key: addressClaimKey(networkId, ipv6), value: `endpoint/${key}` },
  ];
}

async function expectOk(client: JsonClient, method: string, path: string, body?: unknown): Promise<void> {
  const reply = await client.call(method, path, body);
  if (reply.status !== 200) throw new Error(`${method} ${path}: ${reply.status} ${JSON.stringify(reply.body)}`);
}
