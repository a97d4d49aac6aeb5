import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type DeletionSite, deletionSite } from "./deletion-site.ts";
import { eventually, startTestCluster, type TestCluster } from "./test-cluster.ts";

/** Flows that somebody deletes are back long before the regular comparison, which comes once an hour here. */
const BACK_MS = 5_000;
/** After a loss the next look comes later (flow-count-watch.ts): each deletion begins after a look that has found nothing. */
const AT_REST_MS = 6_000;

let world: TestCluster;
let site: DeletionSite;

beforeAll(async () => {
  world = await startTestCluster({ nodes: 1, extraArguments: { netplugin: ["--resync-interval", "1h"] } });
  site = deletionSite(world);
  await world.rest.post("/api/v1/tenants/t1/", { tenantName: "t1" });
  const network = { tenantName: "t1", networkName: "net", encap: "vxlan", subnet: "10.1.0.0/24" };
  await world.rest.post("/api/v1/networks/t1:net/", network);
  for (const pod of ["a", "b"]) await world.addPod(pod, 1, { tenant: "t1", network: "net" });
});

afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
});

/** All flows without what changes by itself, in one order. */
async function flows(): Promise<readonly string[]> {
  const lines = (await site.ofctl("dump-flows", "contiv-int", "--no-stats")).split("\n");
  return lines
    .map((line) => line.trim())
    .filter((line) => line.includes("cookie="))
    .sort();
}

async function cookieOf(pod: string): Promise<string> {
  const port = (await site.vsctl("get", "Interface", await site.port(pod), "ofport")).trim();
  const line = (await flows()).find((each) => each.includes(`in_port=${port} `) || each.includes(`in_port=${port},`));
  const cookie = /cookie=(0x[0-9a-f]+)/.exec(line ?? "")?.[1];
  if (cookie === undefined) throw new Error(`no flow of port ${port}`);
  return cookie;
}

it.each<readonly [string, () => Promise<string>]>([
  ["of one pod, by their cookie", async () => `cookie=${await cookieOf("a")}/-1`],
  ["of one table", async () => "table=90"],
  ["all of them", async () => ""],
])("flows are deleted: %s", async (_what, which) => {
  await sleep(AT_REST_MS);
  const before = await flows();
  await site.ofctl("del-flows", "contiv-int", await which());
  expect((await flows()).length).toBeLessThan(before.length);
  await eventually("flows are back", flows, (now) => now.join("\n") === before.join("\n"), BACK_MS);
  const [address = ""] = await world.addresses("b");
  expect(await world.ping("a", address, 3)).toBe(3);
});
