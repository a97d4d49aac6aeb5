import { beforeEach, describe, expect, it } from "vitest";
import { NodeName } from "../../state/names.ts";
import { EndpointRequest } from "../../state/node-api.ts";
import { leaseEndpoint } from "../intents/endpoint.ts";
import { type Body, type ContractWorld, contractWorld, net } from "./testing/contract-world.ts";

let { app, cluster, must }: ContractWorld = await contractWorld();

/** As the CNI makes endpoints. */
function lease(key: string, names: Body): void {
  const [containerId, ifName] = key.split(":");
  const request = { containerId, ifName, tenantName: "t1", networkName: "n1", nodeName: "h1", ...names };
  const parsed = { ...EndpointRequest.parse(request), nodeName: NodeName.parse("h1"), key, endpointId: key };
  cluster.run((view, _asked, context) => leaseEndpoint(view, parsed, context), undefined);
}

beforeEach(async () => {
  ({ app, cluster, must } = await contractWorld());
  await must("POST", ...net("n1"));
  lease("c1:eth0", { podNamespace: "shop", podName: "app-1" });
  lease("c2:eth0", { podNamespace: "bank", podName: "app-1" });
  lease("c3:eth0", { podNamespace: "shop", podName: "app-11" });
  lease("c4:eth0", { podNamespace: "shop", podName: "two" });
  lease("c4:eth1", { podNamespace: "shop", podName: "two" });
});

async function ask(method: string, path: string, body?: Body) {
  const payload = body === undefined ? {} : { payload: JSON.stringify(body) };
  const reply = await app.inject({ method: method as "GET", url: path, headers: { accept: "*/*" }, ...payload });
  return { status: reply.statusCode, etag: reply.headers.etag, body: reply.json() };
}

describe("namespace/pod, as the list of connections prints it", () => {
  it.each([
    ["/api/v1/endpoints/shop%2Fapp-1/", "c1:eth0"],
    ["/api/v1/endpoints/bank%2fapp-1", "c2:eth0"],
    ["/api/v1/endpoints/c1:eth0/", "c1:eth0"],
    ["/api/v1/endpoints/shop%2Fapp-1/bandwidth", "c1:eth0"],
  ])("GET %s", async (path, key) => {
    expect(await ask("GET", path)).toMatchObject({ status: 200, body: { key } });
  });

  it("is inspected and explained", async () => {
    const inspected = await ask("GET", "/api/v1/inspect/endpoints/bank%2Fapp-1/");
    expect(inspected.body.Oper).toMatchObject({ endpointID: "c2:eth0", containerName: "app-1" });
    const explained = await ask("GET", "/api/v1/explain?from=shop/app-1&to=bank/app-1&protocol=icmp");
    expect(explained).toMatchObject({ status: 200, body: { allowed: true } });
  });

  it("has the ETag of the endpoint, and its limits are changed by it", async () => {
    const { etag } = await ask("GET", "/api/v1/endpoints/c1:eth0/");
    expect((await ask("GET", "/api/v1/endpoints/shop%2Fapp-1/")).etag).toBe(etag);
    const changed = await ask("PATCH", "/api/v1/endpoints/shop%2Fapp-1/", { ingressBandwidth: "10Mbps" });
    expect(changed).toMatchObject({ status: 200, body: { key: "c1:eth0" } });
    expect((await ask("GET", "/api/v1/endpoints/c3:eth0/")).body.bandwidth).toBeUndefined();
  });

  it.each([
    ["GET", "/api/v1/endpoints/shop%2Fapp/", 404, "endpoint shop/app does not exist"],
    ["PATCH", "/api/v1/endpoints/shop%2Fapp/", 404, "endpoint shop/app does not exist"],
    ["PATCH", "/api/v1/endpoints/app-11/", 404, "endpoint app-11 does not exist"],
    [
      "PATCH",
      "/api/v1/endpoints/shop%2Ftwo/",
      409,
      '"shop/two" may mean several endpoints: c4:eth0 (shop/two in t1:n1)',
    ],
    ["GET", "/api/v1/endpoints/shop%2Ftwo/", 409, '"shop/two" may mean several endpoints'],
  ])(
    "%s %s is refused where it is not one pod's: nothing is changed by a guess",
    async (method, path, status, text) => {
      const answer = await ask(method, path, method === "PATCH" ? { ingressBandwidth: "1Mbps" } : undefined);
      expect(answer).toMatchObject({ status, body: { detail: expect.stringContaining(text) } });
    },
  );

  it("is cleaned up, with all interfaces of the pod and no other", async () => {
    await app.inject({ method: "DELETE", url: "/debug/epcleanup/tenant/t1/ep/shop%2Ftwo" });
    const left = Array.from(cluster.view().records("endpoint").entries(), ([key]) => key);
    expect(left).toEqual(["c1:eth0", "c2:eth0", "c3:eth0"]);
  });
});
