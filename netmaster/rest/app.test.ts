import type { InjectOptions } from "fastify";
import { beforeEach, describe, expect, it } from "vitest";
import { createRestApp } from "./app.ts";
import { type ContractWorld, contractWorld, grp, net } from "./testing/contract-world.ts";
import { FIRST_EPOCH, fakeCluster } from "./testing/fake-cluster.ts";

let { cluster, app, must }: ContractWorld = await contractWorld();

beforeEach(async () => {
  ({ cluster, app, must } = await contractWorld());
});

const JSON_TYPE = { "content-type": "application/json" };
const ANY = { accept: "*/*" };

describe("error dialects (§2)", () => {
  it.each<[string, InjectOptions, number, string]>([
    ["an unknown object", { url: "/api/v1/tenants/t9/" }, 500, "tenant t9 does not exist\n"],
    ["deleting an unknown object", { method: "DELETE", url: "/api/v1/tenants/t9/" }, 500, "tenant t9 does not exist\n"],
    [
      "a wrong field",
      { method: "POST", url: "/api/v1/tenants/_/", payload: '{"tenantName":"_"}' },
      500,
      "tenantName may hold letters, digits",
    ],
    ["no body", { method: "POST", url: "/api/v1/tenants/t2/" }, 500, "The body is empty; send a JSON object\n"],
    ["malformed JSON", { method: "POST", url: "/api/v1/tenants/t2/", payload: "{" }, 500, "The body is not JSON: "],
    [
      "a list as body",
      { method: "POST", url: "/api/v1/tenants/t2/", payload: "[]" },
      500,
      "The body must be a JSON object, not a list\n",
    ],
    ["an unknown route", { url: "/api/v2/tenants/" }, 404, "404 page not found: /api/v2/tenants/\n"],
    [
      "a method that is not offered",
      { method: "POST", url: "/api/v1/tenants/", payload: "{}" },
      404,
      "Method POST is not offered here, only GET\n",
    ],
    [
      "a plugin call without content type",
      { method: "POST", url: "/plugin/allocAddress", payload: "{}", headers: { "content-type": "text/plain" } },
      404,
      "404 page not found",
    ],
  ])("without Accept: %s", async (_, request, status, text) => {
    const reply = await app.inject(request);
    expect(reply.statusCode).toBe(status);
    expect(reply.body.startsWith(text)).toBe(true);
    expect(reply.body.endsWith("\n")).toBe(true);
    expect(reply.body.trimEnd()).not.toContain("\n");
    expect(reply.headers).toMatchObject({
      "content-type": "text/plain; charset=utf-8",
      "x-content-type-options": "nosniff",
    });
  });

  it.each<[string, InjectOptions, number, object]>([
    ["an unknown object", { url: "/api/v1/tenants/t9/" }, 404, { code: "not-found", instance: "/api/v1/tenants/t9/" }],
    ["an unknown route", { url: "/api/v2/tenants/" }, 404, { code: "unknown-route" }],
    ["no body", { method: "POST", url: "/api/v1/tenants/t2/" }, 400, { code: "malformed-body" }],
    [
      "not UTF-8",
      { method: "POST", url: "/api/v1/tenants/t2/", payload: Buffer.from([0x22, 0xff, 0x22]) },
      400,
      { code: "malformed-body" },
    ],
    [
      "a method that is not offered",
      { method: "DELETE", url: "/api/v1/tenants/" },
      405,
      { code: "method-not-allowed" },
    ],
    ["GET of a plugin call", { url: "/plugin/allocAddress" }, 405, { code: "method-not-allowed" }],
    ["a bad escape in the URL", { url: "/api/v1/tenants/%zz/" }, 400, { code: "malformed-request" }],
    [
      "a body that is too large",
      { method: "POST", url: "/api/v1/tenants/t2/", payload: `{"tenantName":"${"x".repeat(1_100_000)}"}` },
      413,
      { code: "body-too-large" },
    ],
    [
      "deep nesting",
      { method: "POST", url: "/api/v1/tenants/t2/", payload: "[".repeat(100_000) },
      400,
      { code: "malformed-body" },
    ],
  ])("with Accept: %s", async (_, request, status, problem) => {
    const reply = await app.inject({ ...request, headers: ANY });
    expect(reply.statusCode).toBe(status);
    expect(reply.headers["content-type"]).toBe("application/problem+json");
    const body = reply.json();
    expect(body).toMatchObject({ ...problem, status, type: `/problems/${body.code}` });
    expect(Object.keys(body).slice(0, 6)).toEqual(["type", "title", "status", "detail", "instance", "code"]);
  });

  it.each(["TRACE", "OPTIONS", "PROPFIND", "PATCH"] as const)(
    "answers %s with what is offered there",
    async (method) => {
      const reply = await app.inject({ method: method as "GET", url: "/api/v1/tenants/", headers: ANY });
      expect(reply.statusCode).toBe(405);
      expect(reply.headers.allow).toBe("GET");
      expect(reply.json()).toMatchObject({ code: "method-not-allowed" });
      const nowhere = await app.inject({ method: method as "GET", url: "/api/v9/", headers: ANY });
      expect(nowhere.statusCode).toBe(404);
    },
  );

  it("names what uses an object: kind, count and the first keys", async () => {
    await must("POST", ...net("n1"));
    for (const name of ["a", "b", "c", "d", "e"]) await must("POST", ...grp(name));
    const reply = await app.inject({ method: "DELETE", url: "/api/v1/networks/t1:n1/", headers: ANY });
    expect(reply.json()).toEqual({
      type: "/problems/in-use",
      title: "Object is in use",
      status: 409,
      detail: "network t1:n1 is used by 5 endpoint groups: t1:a, t1:b, t1:c, … (2 more)",
      instance: "/api/v1/networks/t1:n1/",
      code: "in-use",
      blockers: ["t1:a", "t1:b", "t1:c"],
    });
  });

  it("tells to try again when there is no leader", async () => {
    cluster.leaderInfo = { ...cluster.leaderInfo, isLeader: false, leaderUrl: undefined };
    const request = { method: "POST", url: "/api/v1/tenants/t2/", payload: '{"tenantName":"t2"}' } as const;
    const reply = await app.inject({ ...request, headers: ANY });
    expect([reply.statusCode, reply.headers["retry-after"], reply.json().code]).toEqual([503, "1", "no-leader"]);
    expect((await app.inject(request)).statusCode).toBe(500);
  });

  it("does not pretend that the cluster is empty before it has read the store", async () => {
    const starting = createRestApp(fakeCluster({ isEmpty: true }));
    const reply = await starting.inject({ url: "/api/v1/tenants/", headers: ANY });
    expect([reply.statusCode, reply.json().code]).toEqual([503, "starting"]);
    for (const url of ["/version", "/info", "/healthz", "/metrics", "/api/v1/openapi.json"]) {
      expect((await starting.inject({ url })).statusCode).toBe(200);
    }
  });

  it("gives a defect an id that is also in the log, and no trace", async () => {
    cluster.view = () => {
      throw new Error("secret\n  at stack");
    };
    const reply = await app.inject({ url: "/api/v1/tenants/", headers: ANY });
    const [, id] = /log id ([0-9a-f-]{36})\)$/.exec(reply.json().detail) ?? [];
    expect(reply.statusCode).toBe(500);
    expect(reply.body).not.toContain("stack");
    expect(cluster.audits).toContainEqual(expect.objectContaining({ id, msg: "request failed" }));
  });
});

describe("transport (§1)", () => {
  it.each(["/api/v1/tenants/", "/api/v1/tenants", "//api//v1///tenants//", "/api/v1/tenants/?x=1"])(
    "GET %s lists",
    async (url) => {
      const reply = await app.inject({ url });
      expect(reply.json().map(({ key }: { key: string }) => key)).toEqual(["default", "t1"]);
    },
  );

  it("decodes keys, and does not look at the content type", async () => {
    for (const type of [
      "text/plain",
      "application/x-www-form-urlencoded",
      "nonsense",
      "application/json; charset=utf-8",
    ]) {
      const reply = await app.inject({
        method: "PUT",
        url: "/api/v1/policys/t1%3Ap1",
        payload: '{"tenantName":"t1","policyName":"p1"}',
        headers: { "content-type": type },
      });
      expect([type, reply.statusCode]).toEqual([type, 200]);
    }
    expect((await app.inject({ url: "/api/v1/policys/t1%3ap1/" })).json().key).toBe("t1:p1");
  });

  it("answers HEAD with headers only", async () => {
    const reply = await app.inject({ method: "HEAD", url: "/api/v1/tenants/t1/" });
    expect([reply.statusCode, reply.body]).toEqual([200, ""]);
    expect(reply.headers.etag).toBe(`"2@${FIRST_EPOCH}"`);
    expect((await app.inject({ method: "HEAD", url: "/api/v1/tenants/?watch=true" })).body).toBe("");
  });

  it("drops __proto__ and unknown members", async () => {
    const payload =
      '{"__proto__":{"tenantName":"evil"},"constructor":{"prototype":{"polluted":1}},"tenantName":"t2","\\u005f_proto__":1}';
    const reply = await app.inject({ method: "POST", url: "/api/v1/tenants/t2/", payload });
    expect(reply.json()).toEqual({ key: "t2", tenantName: "t2", "link-sets": {} });
    expect(Reflect.get({}, "polluted")).toBeUndefined();
  });
});

describe("ETag, If-Match and If-None-Match", () => {
  const url = "/api/v1/netprofiles/t1:np/";
  const body = (DSCP: number) => JSON.stringify({ tenantName: "t1", profileName: "np", DSCP });
  const put = (payload: string, headers: Record<string, string>) =>
    app.inject({ method: "PUT", url, payload, headers: { ...ANY, ...headers } });

  it("lets only the change through that saw the last one", async () => {
    const created = await put(body(1), { "if-none-match": "*" });
    const etag = String(created.headers.etag);
    expect((await app.inject({ url })).headers.etag).toBe(etag);
    expect((await put(body(2), { "if-none-match": "*" })).statusCode).toBe(412);
    expect((await put(body(2), { "if-match": etag })).statusCode).toBe(200);
    const late = await put(body(3), { "if-match": etag });
    expect([late.statusCode, late.json().code]).toEqual([412, "precondition-failed"]);
    expect((await put(body(4), { "if-match": "*" })).statusCode).toBe(200);
    expect((await app.inject({ method: "DELETE", url, headers: { ...ANY, "if-match": etag } })).statusCode).toBe(412);
    expect((await app.inject({ method: "DELETE", url, headers: { ...ANY, "if-match": `"1", *` } })).statusCode).toBe(
      400,
    );
  });

  it("needs an object for If-Match, and the ETag's own form", async () => {
    expect((await put(body(1), { "if-match": `"1@${FIRST_EPOCH}"` })).statusCode).toBe(412);
    for (const malformed of ["1", "1@x", '"x"', '"@x"', '"1@"x"', '"1@x y"', 'W/"1@x"', `"1@${"x".repeat(65)}"`])
      expect((await put(body(1), { "if-match": malformed })).json().field).toBe("If-Match");
    expect((await put(body(1), { "if-none-match": '"1"' })).json().field).toBe("If-None-Match");
  });

  it("lets nothing through that was read in another epoch of the store, whatever its revision", async () => {
    const before = String((await put(body(1), {})).headers.etag);
    cluster.restore("2-00000002");
    const now = String((await app.inject({ url })).headers.etag);
    expect([before, now]).toEqual([`"3@${FIRST_EPOCH}"`, '"3@2-00000002"']);
    const refused = await put(body(2), { "if-match": before });
    expect([refused.statusCode, refused.json().code]).toEqual([412, "precondition-failed"]);
    expect(refused.json().detail).toMatch(/^t1:np may be another object .* the store was restored or replaced/);
    const plain = '"3"'; // as earlier releases had it
    for (const method of ["PUT", "PATCH", "DELETE"] as const) {
      const request = { method, url, payload: body(2), headers: { ...ANY, "if-match": `${before}, ${plain}, "3@"` } };
      expect([method, (await app.inject(request)).statusCode]).toEqual([method, 412]);
    }
    expect((await put(body(2), { "if-match": `${before}, ${now}` })).statusCode).toBe(200);
    expect((await put(body(3), { "if-match": `${before}, ${now}` })).json().detail).toMatch(/changed by someone else/);
  });
});

describe("PATCH and dryRun", () => {
  const url = "/api/v1/netprofiles/t1:np/";
  const patch = (payload: string, query = "") =>
    app.inject({ method: "PATCH", url: url + query, payload, headers: ANY });
  beforeEach(async () => {
    await must("POST", "netprofiles/t1:np", { tenantName: "t1", profileName: "np", DSCP: 5, bandwidth: "10Mbps" });
  });

  it("changes single members, and null resets one", async () => {
    expect((await patch('{"DSCP":6}')).json()).toMatchObject({ DSCP: 6, bandwidth: "10Mbps" });
    expect((await patch('{"bandwidth":null}')).json()).not.toHaveProperty("bandwidth");
    expect((await patch('{"DSCP":99}')).json()).toMatchObject({ status: 400, field: "DSCP" });
    expect((await patch('{"profileName":"other"}')).json()).toMatchObject({ status: 400, code: "key-mismatch" });
    expect((await patch("[]")).statusCode).toBe(400);
    expect((await patch('"x"')).statusCode).toBe(400);
    expect(
      (await app.inject({ method: "PATCH", url: "/api/v1/netprofiles/t1:no/", payload: "{}", headers: ANY }))
        .statusCode,
    ).toBe(404);
  });

  it("tries without writing", async () => {
    const { revision } = cluster.view();
    const tried = await patch('{"DSCP":7}', "?dryRun=true");
    expect([tried.statusCode, tried.json().DSCP]).toEqual([200, 7]);
    expect((await patch('{"DSCP":99}', "?dryRun=true")).statusCode).toBe(400);
    expect((await patch('{"DSCP":7}', "?dryRun=maybe")).json().field).toBe("dryRun");
    const created = await app.inject({
      method: "POST",
      url: "/api/v1/tenants/t7/?dryRun=true",
      payload: '{"tenantName":"t7"}',
    });
    expect(created.body).toBe('{"key":"t7","tenantName":"t7","link-sets":{}}\n');
    expect((await app.inject({ method: "DELETE", url: `${url}?dryRun=true` })).body).toBe('"t1:np"\n');
    expect(
      (await app.inject({ method: "DELETE", url: "/api/v1/tenants/t1/?dryRun=true", headers: ANY })).statusCode,
    ).toBe(409);
    expect(cluster.view().revision).toBe(revision);
  });
});

describe("PATCH of a member that does not exist", () => {
  it.each([
    ["netprofiles/t1:np", '{"bandwith":"20Mbps"}', "bandwith is not a member of a netprofile; did you mean bandwidth?"],
    ["netprofiles/t1:np", '{"dscp":6}', "dscp is not a member of a netprofile; did you mean DSCP?"],
    ["netprofiles/t1:np", '{"colour":"red"}', "colour is not a member of a netprofile; there are: DSCP, bandwidth,"],
    ["netprofiles/t1:np", '{"bandwith":null}', "bandwith is not a member of a netprofile; did you mean bandwidth?"],
    [
      "endpoints/t1:n1:e1",
      '{"bandwidth":"20Mbps"}',
      "bandwidth is not a member of an endpoint that can be changed; did",
    ],
    ["endpoints/t1:n1:e1", '{"ingressBandwith":"1Mbps"}', "ingressBandwith is not a member of an endpoint that can be"],
    ["globals/global", '{"arpmode":"flood"}', "arpmode is not a member of a global; did you mean arpMode?"],
  ])("%s %s", async (path, payload, text) => {
    await must("POST", "netprofiles/t1:np", { tenantName: "t1", profileName: "np" });
    await must("POST", "networks/t1:n1", { tenantName: "t1", networkName: "n1", encap: "vlan", subnet: "10.1.1.0/24" });
    const create = { TenantName: "t1", NetworkName: "n1", EndpointID: "e1", ConfigEP: { Host: "h1" } };
    const made = await app.inject({ method: "POST", url: "/plugin/createEndpoint", payload: create });
    expect(made.statusCode).toBe(200);
    const reply = await app.inject({ method: "PATCH", url: `/api/v1/${path}/`, payload, headers: ANY });
    expect(reply.json()).toMatchObject({ status: 400, code: "invalid-field" });
    expect(reply.json().detail).toContain(text);
  });

  it("is ignored in POST, as in v1, and what a reply adds may be sent back", async () => {
    await must("POST", "netprofiles/t1:np", { tenantName: "t1", profileName: "np", bandwith: "20Mbps" });
    const shown = (await app.inject({ url: "/api/v1/netprofiles/t1:np/" })).json();
    await must("PATCH", "netprofiles/t1:np", { ...shown, DSCP: 3 });
  });
});

describe("query parameters", () => {
  const tenant = { method: "POST", payload: { tenantName: "t8" } } as const;
  it.each([
    ["POST", "/api/v1/tenants/t8/?dryRun=true&dryRun=false", "dryRun is given 2 times"],
    ["POST", "/api/v1/tenants/t8/?dryRun=true&dryRun=true", "dryRun is given 2 times"],
    ["POST", "/api/v1/tenants/t8/?dry%52un=true&dryRun=", "dryRun is given 2 times"],
    ["POST", "/api/v1/tenants/t8/?dryRn=true", "dryRn is unknown; the parameter is called dryRun"],
    ["POST", "/api/v1/tenants/t8/?dryRun%5B%5D=true", "dryRun[] is unknown; the parameter is called dryRun"],
    ["POST", "/api/v1/tenants/t8/?watch=true", "watch has no effect on this request"],
    ["POST", "/plugin/createEndpoint?dryRun=true", "dryRun has no effect on this request"],
    ["DELETE", "/debug/epcleanup/tenant/t1/net/n1?dryRun=true", "dryRun has no effect on this request"],
    ["GET", "/api/v1/tenants/?limit=1&limit=2", "limit is given 2 times"],
    ["GET", "/api/v1/tenants/?limt=1", "limt is unknown; the parameter is called limit"],
    ["GET", "/api/v1/tenants/?watch=true&limit=1", "limit cannot be combined with watch=true"],
    ["GET", "/api/v1/tenants/?revision=1", "revision needs watch=true"],
    ["GET", "/api/v1/tenants/t1/?limit=1", "limit has no effect on this request"],
    ["GET", "/api/v1/inspect/tenants/t1/?watch=true", "watch has no effect on this request"],
    ["GET", "/api/v1/tenants/?dryRun=true", "dryRun has no effect on this request"],
    ["GET", "/healthz?a=1&a=2", "a is given 2 times"],
    ["GET", "/api/v1/explain?from=a&from=b&to=c&protocol=icmp", "from is given 2 times"],
  ])("%s %s is refused", async (method, url, text) => {
    const reply = await app.inject({ ...(method === "GET" ? {} : tenant), method: method as "GET", url, headers: ANY });
    expect(reply.json()).toMatchObject({ status: 400, code: "invalid-field" });
    expect(reply.json().detail).toContain(text);
    expect(cluster.view().records("tenant").has("t8")).toBe(false);
  });

  it.each(["_=1700000000", "pretty=true", "x"])("?%s, which v1 ignored, is ignored", async (query) => {
    expect((await app.inject({ url: `/api/v1/tenants/?${query}` })).statusCode).toBe(200);
  });
});

describe("paging", () => {
  it("walks a list in pages, in the order of keys", async () => {
    for (let index = 0; index < 7; index += 1)
      await must("POST", `policys/t1:p${index}`, { tenantName: "t1", policyName: `p${index}` });
    const keys: string[] = [];
    let next = "";
    do {
      const reply = await app.inject({ url: `/api/v1/policys/?limit=3${next}` });
      keys.push(...reply.json().map(({ key }: { key: string }) => key));
      const token = reply.headers["contiv-continue"];
      next = token === undefined ? "" : `&continue=${token}`;
    } while (next !== "");
    expect(keys).toEqual([0, 1, 2, 3, 4, 5, 6].map((index) => `t1:p${index}`));
  });

  it.each(["limit=0", "limit=-1", "limit=x", "limit=10001", "limit=2&continue=%20", "continue=*"])(
    "refuses ?%s",
    async (query) => {
      expect((await app.inject({ url: `/api/v1/policys/?${query}`, headers: ANY })).statusCode).toBe(400);
    },
  );
});

describe("other endpoints (§8)", () => {
  it.each([
    ["/version", '{"GitCommit":"abc","Version":"0.1.0","BuildTime":"today"}\n'],
    [
      "/info",
      '{"local-ip":"127.0.0.1:9999","leader-ip":"127.0.0.1:9999","current-state":"Leader","netplugin-nodes":[],"netmaster-nodes":["127.0.0.1:9999"]}\n',
    ],
    ["/services", "[]\n"],
    ["/service/s1:t1", "null\n"],
    [
      "/debug/ofnet",
      '{"MyAddr":"127.0.0.1","MyPort":9999,"AgentDb":{},"EndpointDb":{},"PolicyDb":{"policies":0,"rules":0},"AgentStats":{}}\n',
    ],
    ["/healthz", "ok\n"],
    ["/readyz", "ready\n"],
  ])("GET %s", async (url, body) => expect((await app.inject({ url })).body).toBe(body));

  it("counts requests", async () => {
    await app.inject({ url: "/api/v1/tenants/t1/" });
    expect((await app.inject({ url: "/metrics" })).body).toContain(
      'contiv_netmaster_rest_request_duration_seconds_count{method="GET",route="/api/v1/tenants/:key",status="200"} 1',
    );
  });

  it("counts requests of methods that nothing offers together", async () => {
    for (const method of ["TRACE", "PROPFIND"]) await app.inject({ method: method as "GET", url: "/api/v1/tenants/" });
    expect((await app.inject({ url: "/metrics" })).body).toContain(
      'contiv_netmaster_rest_request_duration_seconds_count{method="other",route="/api/v1/tenants",status="404"} 2',
    );
  });

  it("says why it is not ready, whatever is accepted", async () => {
    cluster.readiness = () => ({ state: "not-ready", reasons: ["no view"], since: "" });
    const reply = await app.inject({ url: "/readyz" });
    expect([reply.statusCode, reply.body]).toEqual([503, "not-ready\nno view\n"]);
  });

  it("is ready and says what is wrong all the same", async () => {
    cluster.conditions = () => [{ name: "unreadable", key: "/k", message: "bad" }];
    cluster.readiness = () => ({ state: "degraded", reasons: ["unreadable: bad"], since: "" });
    const ready = await app.inject({ url: "/readyz" });
    expect([ready.statusCode, ready.body]).toEqual([200, "degraded\nunreadable: bad\n"]);
    const info = (await app.inject({ url: "/info" })).json();
    expect(info.conditions).toEqual([{ name: "unreadable", key: "/k", message: "bad" }]);
  });

  it("describes itself", async () => {
    const document = (await app.inject({ url: "/api/v1/openapi.json" })).json();
    expect(document.openapi).toBe("3.1.0");
    expect(Object.keys(document.components.schemas.netprofile.properties)).toEqual([
      "key",
      "DSCP",
      "bandwidth",
      "burst",
      "egressBandwidth",
      "egressBurst",
      "egressMode",
      "ingressBandwidth",
      "ingressBurst",
      "profileName",
      "strict",
      "tenantName",
      "link-sets",
      "links",
    ]);
    expect(document.components.schemas.network.required).toEqual(["networkName", "tenantName", "encap", "subnet"]);
    expect(Object.keys(document.paths["/api/v1/networks/{key}/"])).toEqual([
      "parameters",
      "get",
      "post",
      "put",
      "patch",
      "delete",
    ]);
  });

  it("writes an audit record per change, refused ones included", async () => {
    await must("POST", ...net("n1"));
    await app.inject({ method: "DELETE", url: "/api/v1/networks/t1:n9/", headers: JSON_TYPE });
    const audits = cluster.audits.flatMap((record) => ("audit" in record ? [record.audit] : []));
    expect(audits).toEqual([
      {
        who: "127.0.0.1",
        method: "POST",
        object: "networks/t1:n1",
        result: "ok",
        revision: `${cluster.view().revision}`,
      },
      {
        who: "127.0.0.1",
        method: "DELETE",
        object: "networks/t1:n9",
        result: "not-found",
        detail: "network t1:n9 does not exist",
      },
    ]);
  });
});
