import { beforeEach, describe, expect, it } from "vitest";
import { type Body, type ContractWorld, contractWorld, grp, net, profile, rule } from "./testing/contract-world.ts";

let { app, must }: ContractWorld = await contractWorld();

beforeEach(async () => {
  ({ app, must } = await contractWorld());
});

async function problem(method: string, url: string, body?: Body): Promise<Body> {
  const payload = body === undefined ? {} : { payload: JSON.stringify(body) };
  const reply = await app.inject({
    method: method as "GET",
    url,
    headers: { accept: "*/*", "content-type": "application/json" },
    ...payload,
  });
  return reply.json();
}

describe("what errors say", () => {
  it.each<[string, [string, Body], string]>([
    ["a reversed range", net("a", { subnet: "10.1.1.9-10.1.1.1/24" }), "ends before it begins: "],
    ["a text like nothing", net("a", { subnet: "x" }), 'not "x"'],
    ["a fraction", net("a", { pktTag: 1.5 }), "pktTag must be a whole number, not 1.5"],
    ["a burst of 1", profile({ burst: 1 }), "burst must not be 1: one kilobyte is less than a frame"],
    ["a port of any protocol", rule({ port: 5 }), "port 5 needs the protocol tcp or udp, not any protocol"],
  ])("%s", async (_, [path, body], text) => {
    const { detail } = await problem("POST", `/api/v1/${path}/`, body);
    expect(detail).toContain(text);
  });

  it("a key with control characters is shown, and does not end the text", async () => {
    const { detail } = await problem("GET", "/api/v1/tenants/a%0d%0ab%00/");
    expect(detail).toBe("tenant a\\u000d\\u000ab\\u0000 does not exist");
  });

  it.each([
    ["GET", "/api/v1/nothing/", "Route does not exist"],
    ["PUT", "/api/v1/tenants/", "Method is not offered"],
  ])("%s %s has the title %j", async (method, url, title) =>
    expect(await problem(method, url)).toMatchObject({ title }),
  );

  it.each(["dryrun", "dry_run", "DryRun", "dry-run"])("?%s=true is refused, not ignored", async (name) => {
    const answer = await problem("POST", `/api/v1/tenants/t2/?${name}=true`, { tenantName: "t2" });
    expect(answer).toMatchObject({
      status: 400,
      field: name,
      detail: `${name} is unknown; the parameter is called dryRun`,
    });
  });

  it.each<[Body, string]>([
    [{ NetworkName: "n9" }, "NetworkName: network t1:n9 does not exist; create it first"],
    [{ ServiceName: "g9" }, "ServiceName: endpoint group t1:g9 does not exist; create it first"],
    [{ ConfigEP: { Host: "h1", IPAddress: "10.9.9.9" } }, "ConfigEP.IPAddress 10.9.9.9 is not an address that"],
  ])("a plugin call names its own members: %j", async (members, text) => {
    await must("POST", ...net("n1"));
    const body = { TenantName: "t1", NetworkName: "n1", EndpointID: "e", ConfigEP: { Host: "h1" }, ...members };
    const { detail, field } = await problem("POST", "/plugin/createEndpoint", body);
    expect(String(detail).startsWith(text)).toBe(true);
    expect(text.startsWith(String(field))).toBe(true);
  });

  it("a group without traffic has no hits", async () => {
    await must("POST", ...net("n1"));
    await must("POST", ...grp("web"));
    const reply = await app.inject({ url: "/api/v1/inspect/endpointGroups/t1:web/" });
    expect(reply.json().Oper).not.toHaveProperty("hits");
  });
});
