/**
 * What a leader goes through when a thousand nodes watch one network and 64 callers create endpoints in it: does it keep its lease? The watchers
 * read and throw away, in a thread of their own. Run: test/bench/run netmaster-watchers [--watchers 1000] [--endpoints 3000] [--rounds 3]
 */
import { get } from "node:http";
import { parseArgs } from "node:util";
import { isMainThread, Worker, workerData } from "node:worker_threads";
import { startEtcd } from "../fakes/etcd-server.ts";
import { type JsonClient, jsonClient } from "../system/json-client.ts";
import { startNetmasterProcess } from "../system/netmaster-process.ts";
import { registration } from "../system/node-registration.ts";
import { load } from "./callers.ts";
import { milliseconds, printTable, quantile } from "./table.ts";

const CALLERS = 64;
const nodeName = (index: number) => `n${index}`;

if (isMainThread) await measure();
else watch(workerData as Watched);

interface Watched {
  readonly nodeApiUrl: string;
  readonly count: number;
}

/** One stream for each node; what comes is read and forgotten. */
function watch({ nodeApiUrl, count }: Watched): void {
  for (let index = 1; index <= count; index += 1) {
    get(`${nodeApiUrl}/node/v1/nodes/${nodeName(index)}/watch`, (response) => response.resume()).on("error", () => {});
  }
}

async function measure(): Promise<void> {
  const { values } = parseArgs({
    options: {
      watchers: { type: "string", default: "1000" },
      endpoints: { type: "string", default: "3000" },
      rounds: { type: "string", default: "3" },
    },
  });
  const [watchers, endpoints, rounds] = [values.watchers, values.endpoints, values.rounds].map(Number) as [
    number,
    number,
    number,
  ];
  await using etcd = await startEtcd();
  const netmaster = await startNetmasterProcess({ name: "m1", etcdEndpoints: etcd.endpoints });
  using rest = jsonClient(netmaster.restUrl);
  using node = jsonClient(netmaster.nodeApiUrl);
  const network = { tenantName: "default", networkName: "net1", encap: "vxlan", subnet: "10.0.0.0/12" };
  await expectOk(rest, "/api/v1/networks/default:net1/", network);
  await load(watchers, CALLERS, async (index) => {
    const name = nodeName(index + 1);
    await expectOk(node, `/node/v1/nodes/${name}/register`, registration(name, `192.168.${index >> 8}.${index & 255}`));
    await create(node, name, "first");
  });
  const worker = new Worker(new URL(import.meta.url), {
    workerData: { nodeApiUrl: netmaster.nodeApiUrl, count: watchers },
  });
  await streamsOf(netmaster.restUrl, watchers);
  const rows: (string | number)[][] = [];
  for (let round = 1; round <= rounds; round += 1) {
    const before = lostLeases(netmaster.log());
    const { seconds, latenciesMs } = await load(endpoints, CALLERS, (index) =>
      create(node, nodeName(1 + (index % watchers)), `r${round}-${index}`),
    );
    const perSecond = Math.round(latenciesMs.length / seconds);
    const [median, late] = [0.5, 0.99].map((part) => milliseconds(quantile(latenciesMs, part)));
    rows.push([round, perSecond, median ?? "", late ?? "", lostLeases(netmaster.log()) - before]);
  }
  printTable(["round", "endpoints per second", "p50", "p99", "leases lost"], rows);
  await worker.terminate();
  await netmaster.kill("SIGTERM");
}

async function streamsOf(restUrl: string, wanted: number): Promise<void> {
  for (let tries = 0; tries < 300; tries += 1) {
    const text = await (await fetch(`${restUrl}/metrics`)).text();
    if (Number(/^contiv_netmaster_node_streams (\d+)$/m.exec(text)?.[1]) >= wanted) return;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  throw new Error(`there are no ${wanted} streams after a minute`);
}

/** Lines of the log that tell of a leadership's end. */
function lostLeases(log: string): number {
  return log.split("\n").filter((line) => /leads no longer/.test(line)).length;
}

async function create(client: JsonClient, name: string, containerId: string): Promise<void> {
  const request = { containerId: `${name}-${containerId}`, ifName: "eth0", tenantName: "default", networkName: "net1" };
  for (let attempt = 0; ; attempt += 1) {
    const reply = await client.call("POST", `/node/v1/nodes/${name}/endpoints`, request).catch(() => undefined);
    if (reply?.status === 200) return;
    if (attempt === 100) throw new Error(`endpoint ${containerId}: ${reply?.status} ${JSON.stringify(reply?.body)}`);
    await new Promise((resolve) => setTimeout(resolve, 200)); // as a runtime does
  }
}

async function expectOk(client: JsonClient, path: string, body: unknown): Promise<void> {
  const reply = await client.call("POST", path, body);
  if (reply.status !== 200) throw new Error(`POST ${path}: ${reply.status} ${JSON.stringify(reply.body)}`);
}
