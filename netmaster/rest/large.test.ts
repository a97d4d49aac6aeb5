import { monitorEventLoopDelay, performance } from "node:perf_hooks";
import { Registry } from "prom-client";
import { expect, it } from "vitest";
import { formatIpv4 } from "../../state/address.ts";
import { Epoch, Mac, NetworkId } from "../../state/ids.ts";
import type { EndpointRecord } from "../../state/kinds/endpoint.ts";
import { NodeName } from "../../state/names.ts";
import { applyChanges, type FrozenView } from "../view/cluster-view.ts";
import type { ObjectChange } from "../view/types.ts";
import { createRestApp } from "./app.ts";
import { contractWorld, net } from "./testing/contract-world.ts";

const COUNT = 100_000;
/** Longest time that a request may hold the event loop, in milliseconds. */
const AIM_MS = 10;

function endpoint(index: number): EndpointRecord {
  const key = `c${String(index).padStart(6, "0")}:eth0`;
  return {
    key,
    epoch: Epoch.parse(`e${index}`),
    endpointId: key,
    containerId: key,
    ifName: "eth0",
    nodeName: NodeName.parse(`node${index % 100}`),
    tenantName: "t1",
    networkName: "n1",
    groupName: "",
    networkId: NetworkId.parse(1),
    ipv4: formatIpv4(0x0a000001n + BigInt(index)),
    mac: Mac.parse("02:02:0a:00:00:01"),
    podName: `pod-${index}`,
    podNamespace: "default",
    labels: {},
    createdAt: "2026-01-01T00:00:00Z",
  };
}

/** The longest time that the event loop stood still while `work` ran, in milliseconds. */
async function longestHoldMs(work: () => Promise<unknown>): Promise<number> {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  await new Promise((resolve) => setTimeout(resolve, 20));
  delay.enable();
  await work();
  await new Promise((resolve) => setTimeout(resolve, 5));
  delay.disable();
  return delay.max / 1e6;
}

it("serves 100,000 endpoints without holding the event loop", { timeout: 120_000 }, async () => {
  const { cluster, must } = await contractWorld();
  await must("POST", ...net("n1", { subnet: "10.0.0.0/8" }));
  const changes = Array.from({ length: COUNT }, (_, index): ObjectChange => {
    const record = endpoint(index);
    return { kind: "endpoint", key: record.key, record, previous: undefined, modRevision: 10n };
  });
  const view = applyChanges(cluster.view() as FrozenView, changes, 10n);
  const app = createRestApp({ ...cluster, view: () => view, metrics: new Registry() });
  const base = await app.listen({ host: "127.0.0.1", port: 0 });
  const get = async (path: string) => {
    const startMs = performance.now();
    const reply = await fetch(`${base}${path}`);
    let lengthBytes = 0;
    for await (const part of reply.body ?? []) lengthBytes += part.length;
    return { status: reply.status, lengthBytes, ms: performance.now() - startMs };
  };
  await get("/api/v1/endpoints/?limit=1000");
  const paths = [
    "/api/v1/endpoints/",
    "/api/v1/endpoints/?limit=1000",
    "/api/v1/inspect/networks/t1:n1/",
    "/api/v1/inspect/tenants/t1/",
    "/api/v1/inspect/endpoints/pod-99999/",
    "/api/v1/endpoints/c050000:eth0/",
  ];
  const seen: Record<string, string> = {};
  for (const path of paths) {
    let [holdMs, attempts] = [Number.POSITIVE_INFINITY, 0];
    // The machine may be busy with other things: the best of a few attempts counts.
    while (holdMs > AIM_MS && attempts < 5) {
      attempts += 1;
      let last = { status: 0, lengthBytes: 0, ms: 0 };
      const heldMs = await longestHoldMs(async () => {
        last = await get(path);
      });
      holdMs = Math.min(holdMs, heldMs);
      seen[path] =
        `${last.status} ${last.lengthBytes} bytes in ${last.ms.toFixed(0)} ms, loop held ${holdMs.toFixed(1)} ms`;
      expect(last.status).toBe(200);
    }
    // This loop also runs the client, and the machine may be busy all the time: the bound is for regressions.
    expect(holdMs).toBeLessThan(10 * AIM_MS);
  }
  console.info(seen);
  await app.close();
});
