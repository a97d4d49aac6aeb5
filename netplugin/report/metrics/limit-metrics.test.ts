import { Registry } from "prom-client";
import { expect, it } from "vitest";
import { type LimitedNode, registerLimitMetrics } from "./limit-metrics.ts";

const ENDPOINT = "51bd:eth0";
const limit = { rateBitPerSecond: 8000, burstBits: 4000, source: "rest", mechanism: "policing" };

/** A node with one pod that is limited from the pod, and one without names that is not limited. */
function node(totalBytes: number | undefined): LimitedNode {
  const traffic = totalBytes === undefined ? {} : { podEgress: { totalBytes, droppedPackets: 3 } };
  const records = new Map([[ENDPOINT, { record: { podNamespace: "shop", podName: "web-0" } }]]);
  return {
    view: () => ({ tables: new Map([["endpoint", records]]) }),
    limits: { keeper: { statuses: () => new Map([[ENDPOINT, { plan: { podEgress: limit }, failure: undefined }]]) } },
    traffic: {
      reports: () =>
        new Map<string, object>([
          [ENDPOINT, { ...traffic, droppedNewConnections: 5 }],
          ["bare", {}],
        ]),
    },
  } as unknown as LimitedNode;
}

async function metricsOf(told: LimitedNode): Promise<string> {
  const registry = new Registry();
  registerLimitMetrics(registry, () => told);
  await registry.metrics();
  return registry.metrics(); // asked twice: counters must not grow by being read
}

it("limits and what was dropped name the pod; counters are there before anything has passed", async () => {
  const pod = `endpoint="${ENDPOINT}",namespace="shop",pod="web-0"`;
  const limited = `${pod},direction="egress",source="rest",mechanism="policing"`;
  const text = await metricsOf(node(1500));
  expect(text).toContain(`contiv_netplugin_limit_bits_per_second{${limited}} 8000\n`);
  expect(text).toContain("# TYPE contiv_netplugin_limit_passed_bytes_total counter");
  expect(text).toContain(`contiv_netplugin_limit_passed_bytes_total{${limited}} 1500\n`);
  expect(text).toContain(`contiv_netplugin_limit_dropped_packets_total{${limited}} 3\n`);
  expect(text).toContain(`contiv_netplugin_new_connections_dropped_total{${pod}} 5\n`);
  expect(text).toContain('contiv_netplugin_new_connections_dropped_total{endpoint="bare",namespace="",pod=""} 0\n');
  expect(text).toContain("contiv_netplugin_limits_amiss 0");
  expect(await metricsOf(node(undefined))).toContain(`contiv_netplugin_limit_passed_bytes_total{${limited}} 0\n`);
});
