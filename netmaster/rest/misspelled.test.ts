import { beforeEach, describe, expect, it } from "vitest";
import { type Body, type ContractWorld, contractWorld } from "./testing/contract-world.ts";

let { app, must }: ContractWorld = await contractWorld();

beforeEach(async () => {
  ({ app, must } = await contractWorld());
  await must("POST", "policys/t1:p", { tenantName: "t1", policyName: "p" });
});

async function send(method: string, path: string, body?: Body) {
  const payload = body === undefined ? {} : { payload: JSON.stringify(body) };
  const headers = { accept: "*/*", "content-type": "application/json" };
  return app.inject({ method: method as "GET", url: `/api/v1/${path}`, headers, ...payload });
}

const NET = { tenantName: "t1", networkName: "n7", encap: "vlan", subnet: "10.7.1.0/24" };
const RULE = { tenantName: "t1", policyName: "p", ruleId: "1", direction: "in", action: "deny", protocol: "tcp" };

/** Objects that are new, with a member that is almost one which v1 did not have. */
const ALMOST_OURS: readonly [string, Body, string, string][] = [
  ["networks/t1:n7", { ...NET, mtuBtyes: 1_400 }, "mtuBtyes", "mtuBytes"],
  ["networks/t1:n7", { ...NET, mtu_bytes: 1_400 }, "mtu_bytes", "mtuBytes"],
  ["networks/t1:n7", { ...NET, physicalNetwrk: "x" }, "physicalNetwrk", "physicalNetwork"],
  ["networks/t1:n7", { ...NET, Driver: "sriov" }, "Driver", "driver"],
  ["rules/t1:p:1", { ...RULE, port: 80, portend: 90 }, "portend", "portEnd"],
  ["tenants/t7", { tenantName: "t7", ingresCeiling: "1mbps" }, "ingresCeiling", "ingressCeiling"],
  [
    "netprofiles/t1:q",
    { tenantName: "t1", profileName: "q", egressBandwith: "1mbps" },
    "egressBandwith",
    "egressBandwidth",
  ],
  ["netprofiles/t1:q", { tenantName: "t1", profileName: "q", strickt: true }, "strickt", "strict"],
];

describe("a member that is almost one of this release's own", () => {
  it.each(ALMOST_OURS)("%s %j is refused", async (path, body, name, near) => {
    for (const method of ["POST", "PUT"]) {
      const reply = await send(method, path, body);
      expect(reply.json()).toMatchObject({ status: 400, code: "invalid-field", field: name });
      expect(reply.json().detail).toMatch(new RegExp(`^${name} is not a member of an? .*; did you mean ${near}\\?$`));
      expect((await send("GET", path)).statusCode).toBe(404);
      expect((await send(method, `${path}?dryRun=true`, body)).statusCode).toBe(400);
    }
  });

  it("is told to v1's clients in v1's form", async () => {
    const [path, body] = ["networks/t1:n7", { ...NET, mtuBtyes: 1_400 }];
    const reply = await app.inject({ method: "POST", url: `/api/v1/${path}/`, payload: JSON.stringify(body) });
    expect(reply.body).toBe("mtuBtyes is not a member of a network; did you mean mtuBytes?\n");
  });
});

describe("a member that v1 ignores", () => {
  it.each<[string, Body, string | undefined]>([
    ["netprofiles/t1:q", { tenantName: "t1", profileName: "q", bandwith: "1mbps" }, "bandwith"],
    ["networks/t1:n7", { ...NET, gatway: "10.7.1.254" }, "gatway"],
    ["networks/t1:n7", { ...NET, colour: "red" }, undefined],
    ["networks/t1:n7", { ...NET, key: "x", "link-sets": {}, links: {} }, undefined],
  ])("%s %j is ignored, and told when it is almost one of v1's", async (path, body, name) => {
    const warned =
      name === undefined ? undefined : expect.stringMatching(new RegExp(`^299 netmaster "member ${name} `));
    for (const query of ["?dryRun=true", ""]) {
      const reply = await send("POST", `${path}${query}`, body);
      expect([reply.statusCode, reply.headers.warning]).toEqual([200, warned]);
    }
  });

  it("of any length and letters makes a header that is one", async () => {
    const names = Object.fromEntries(Array.from({ length: 60 }, (_, index) => [`gate"\r\nway${index}é`, 1]));
    const reply = await send("POST", "networks/t1:n7", { ...NET, ...names, 'gat"é\nway': 1 });
    expect(reply.statusCode).toBe(200);
    expect(String(reply.headers.warning ?? "")).toMatch(/^[\x20-\x7e]*$/);
  });
});

describe("a proposal", () => {
  it("has no unknown members, near or not", async () => {
    const ask = (body: Body) =>
      send("POST", "explain", { from: "10.1.1.1", to: "10.1.1.2", tenant: "t1", protocol: "icmp", ...body });
    const detail = async (body: Body) => (await ask(body)).json().detail;
    expect(await detail({ rules: [{ ...RULE, fromEndpointGrup: "g" }] })).toBe(
      "rules.0: fromEndpointGrup is not a member of a rule; did you mean fromEndpointGroup?",
    );
    expect(await detail({ rules: [{ ...RULE, colour: "red" }] })).toMatch(
      /colour is not a member of a rule; there are/,
    );
    expect(await detail({ ruls: [RULE] })).toBe("ruls is not known here; did you mean rules?");
    expect(await detail({ deletes: { policy: ["t1:p"] } })).toBe(
      "deletes.policy is not known here; did you mean policys?",
    );
  });
});

describe("an unknown query parameter of a route that v1 did not have", () => {
  it.each([
    ["GET", "endpoints/?colour=red", "colour is unknown; leave it out (this request takes limit, continue, watch, rev"],
    ["GET", "nodes/?x=1", "x is unknown; leave it out"],
    ["GET", "nodes/n1/?x=1", "x is unknown"],
    ["DELETE", "nodes/n1/?force=true", "force is unknown; leave it out (this request takes dryRun)"],
    ["GET", "inspect/nodes/n1/?x=1", "x is unknown; leave it out"],
    ["GET", "endpoints/e1/bandwidth?seconds=5", "seconds is unknown; leave it out"],
    ["PATCH", "tenants/t1/?force=true", "force is unknown; leave it out (this request takes dryRun)"],
    ["GET", "explain?from=a&to=b&protocol=icmp&sport=5", "sport is unknown; the parameter is called port"],
    ["GET", "explain?from=a&to=b&protocol=icmp&colour=5", "colour is unknown; leave it out (this request takes from"],
    ["GET", "openapi.json?pretty=true", "pretty is unknown; leave it out"],
  ])("%s %s", async (method, path, text) => {
    const reply = await send(method, path, method === "PATCH" ? {} : undefined);
    expect(reply.json()).toMatchObject({ status: 400, code: "invalid-field" });
    expect(reply.json().detail).toContain(text);
  });

  it.each(["/healthz?x=1", "/readyz?x=1", "/version?x=1", "/metrics?x=1"])(
    "%s is answered: a probe must not fail for its cache's sake",
    async (url) => expect((await app.inject({ url })).statusCode).not.toBe(400),
  );
});
