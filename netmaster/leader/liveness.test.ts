import { pino } from "pino";
import { describe, expect, it } from "vitest";
import { Network } from "../../state/kinds/network.ts";
import { NodeName } from "../../state/names.ts";
import { EndpointRequest } from "../../state/node-api.ts";
import { manualClock } from "../../state/waiting/clock.ts";
import { createEndpoint } from "../intents/endpoint.ts";
import { upsertNetwork } from "../intents/network.ts";
import { registerNode } from "../intents/node.ts";
import { Heartbeats } from "../node-reports/heartbeats.ts";
import { worldObjects } from "../view/testing.ts";
import { watchLiveness } from "./liveness.ts";
import { startTestEngine, type TestEngine } from "./testing.ts";

const N1 = NodeName.parse("n1");
const ENDPOINTS = 70; // more than one transaction can end

async function populated(): Promise<TestEngine> {
  const engine = startTestEngine();
  await engine.leading();
  const [node] = worldObjects("node n1");
  if (node?.kind !== "node") throw new Error("no node");
  const network = { networkName: "net1", tenantName: "default", encap: "vxlan", subnet: "10.1.0.0/24" };
  await engine.committer.submit(registerNode, node.record.registration);
  await engine.committer.submit(upsertNetwork, Network.parse(network));
  const request = { ifName: "eth0", tenantName: "default", networkName: "net1" };
  const created = Array.from({ length: ENDPOINTS }, (_, index) => {
    const asked = EndpointRequest.parse({ ...request, containerId: `c${index}` });
    return engine.committer.submit(createEndpoint, { ...asked, nodeName: N1 });
  });
  await Promise.all(created);
  return engine;
}

async function lookFor(engine: TestEngine, reclaimAfterMs: number | undefined, silenceMs: number): Promise<void> {
  const clock = manualClock();
  const heartbeats = new Heartbeats({ nodeTimeoutMs: 15_000, clock, storeEpoch: () => "1-a" });
  const ended = new AbortController();
  const { cache, committer } = engine;
  const log = pino({ level: "silent" });
  const looking = watchLiveness({ cache, committer, heartbeats, log, reclaimAfterMs, intervalMs: 5 }, ended.signal);
  clock.advance(silenceMs);
  await new Promise((resolve) => setTimeout(resolve, 150));
  ended.abort();
  await looking;
}

describe("a node whose heartbeats stop", () => {
  it("is shown as unreachable and keeps its endpoints, unless reclaiming was asked for", async () => {
    await using engine = await populated();
    await lookFor(engine, undefined, 14_999);
    expect(engine.cache.view().records("node").get("n1")?.state).toBe("ready");
    await lookFor(engine, undefined, 15_000);
    expect(engine.cache.view().records("node").get("n1")?.state).toBe("unreachable");
    expect(engine.cache.view().records("endpoint").size).toBe(ENDPOINTS);
  });

  it("loses its endpoints and their addresses after the time that the admin set", async () => {
    await using engine = await populated();
    await lookFor(engine, 60_000, 15_000);
    expect(engine.cache.view().records("endpoint").size).toBe(ENDPOINTS);
    await lookFor(engine, 1, 15_000);
    expect(engine.cache.view().records("endpoint").size).toBe(0);
    const network = engine.cache.view().records("network").get("default:net1");
    if (network === undefined) throw new Error("no network");
    expect(engine.cache.view().addresses(network.networkId)?.ipv4.leasedCount).toBe(0);
  });

  it("is left alone by a netmaster that has just begun to lead", async () => {
    await using engine = await populated();
    await lookFor(engine, 1, 0);
    expect(engine.cache.view().records("node").get("n1")?.state).toBe("ready");
    expect(engine.cache.view().records("endpoint").size).toBe(ENDPOINTS);
  });
});
