import { describe, expect, it } from "vitest";
import { type Body, contractWorld, grp, net, profile } from "../rest/testing/contract-world.ts";

async function world(group?: string, profileMembers: Body = {}) {
  const all = await contractWorld();
  await all.must("POST", ...net("n1"));
  await all.must("POST", ...profile(profileMembers));
  if (group !== undefined) await all.must("POST", ...grp(group, { netProfile: "np" }));
  await all.endpoint("e1", group === undefined ? {} : { ServiceName: group });
  const [endpoint] = (await all.app.inject({ url: "/api/v1/endpoints/" })).json() as { key: string }[];
  const url = `/api/v1/endpoints/${endpoint?.key}/`;
  const patch = async (body: unknown) => {
    const headers = { accept: "application/json" };
    const reply = await all.app.inject({ method: "PATCH", url, payload: JSON.stringify(body), headers });
    return { status: reply.statusCode, body: reply.json() };
  };
  return { ...all, url, patch };
}

describe("PATCH of an endpoint", () => {
  it("states limits, changes single ones, takes them away", async () => {
    const { patch } = await world();
    const set = await patch({ ingressBandwidth: "10 Mbps", egressBandwidth: "1gb", egressBurst: 80 });
    expect(set.status).toBe(200);
    expect(set.body.bandwidth).toEqual({
      podEgress: { burstBits: 640_000, rateBitPerSecond: 1e9, source: "rest" },
      podIngress: { rateBitPerSecond: 10e6, source: "rest" },
    });
    const changed = await patch({ egressBandwidth: "2g", ingressBandwidth: null });
    expect(changed.body.bandwidth).toEqual({
      podEgress: { burstBits: 640_000, rateBitPerSecond: 2e9, source: "rest" },
    });
    expect((await patch({ egressBandwidth: "" })).body.bandwidth).toBeUndefined();
  });

  it.each([
    [{ ingressBandwidth: "0mbps" }, "ingressBandwidth"],
    [{ egressBandwidth: "10tbps" }, "egressBandwidth"],
    [{ egressBandwidth: "10  mbps" }, "egressBandwidth"],
    [{ egressBandwidth: "10000000g" }, "egressBandwidth"],
    [{ ingressBandwidth: -5 }, "ingressBandwidth"],
    [{ ingressBurst: 1 }, "ingressBurst"],
    [{ egressBurst: 500_001 }, "egressBurst"],
  ])("refuses %j by name", async (body, field) => {
    const { patch } = await world();
    expect(await patch(body)).toMatchObject({ status: 400, body: { field } });
  });

  it("wins over the group's netprofile in the direction that it speaks of", async () => {
    const { app, must, patch, url } = await world("g1", { bandwidth: "6m", DSCP: 6, strict: true });
    const both = { dscp: 6, netprofileKey: "t1:np", strict: true };
    const ofGroup = { rateBitPerSecond: 6e6, source: "netprofile" };
    const shown = async () => (await app.inject({ url })).json().bandwidth;
    expect(await shown()).toEqual({ ...both, podIngress: ofGroup, podEgress: ofGroup });
    const changed = await patch({ ingressBandwidth: "1m" });
    const own = { rateBitPerSecond: 1e6, source: "rest" };
    expect(changed.body.bandwidth).toEqual({ ...both, podIngress: own, podEgress: ofGroup });
    await must("POST", ...grp("g1"));
    expect(await shown()).toEqual({ podIngress: own });
  });

  it("is refused for an endpoint that does not exist", async () => {
    const { app } = await world();
    const headers = { accept: "application/json" };
    const reply = await app.inject({ method: "PATCH", url: "/api/v1/endpoints/none/", payload: "{}", headers });
    expect(reply.statusCode).toBe(404);
  });
});
