import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { netmasterName } from "../../deploy/cluster/components.ts";
import { daemonPid } from "../../deploy/cluster/daemon.ts";
import { expectSound } from "./invariants.ts";
import { type RawOptions, type RawReply, rawExchange, trickle } from "./raw-http.ts";
import { dumpStore } from "./store-dump.ts";
import { startTestCluster, type TestCluster } from "./test-cluster.ts";

/**
 * What bad input gets (issue), against a real netmaster over real sockets: one clear error that names the field or the cause; nothing
 * is left half made, nothing crashes. At the end the store holds what it held before.
 */
let world: TestCluster;
let port = 0;
let before = "";
let pid = 0;

/** Headers must be there within 15 s, everything within 30 s; connections are looked through every 5 s. */
const HEADERS_BORNE_MS = 21_000;
const BODY_BORNE_MS = 36_000;
const LIMIT_MS = 50_000;
let slow: Promise<{
  readonly headers: readonly number[];
  readonly bodies: readonly number[];
  readonly silent: readonly number[];
}>;

beforeAll(async () => {
  world = await startTestCluster({ nodes: 0 });
  port = world.cluster.layout.restPort(1);
  await world.rest.post("/api/v1/tenants/t1/", { tenantName: "t1" });
  await world.rest.post("/api/v1/networks/t1:net/", {
    ...{ tenantName: "t1", networkName: "net", encap: "vxlan", subnet: "10.1.0.0/24", ipv6Subnet: "fd01::/64" },
    pktTag: 1000,
  });
  await world.rest.post("/api/v1/networks/t1:vl/", {
    ...{ tenantName: "t1", networkName: "vl", encap: "vlan", subnet: "10.2.0.0/24", gateway: "10.2.0.1", pktTag: 100 },
  });
  await world.rest.post("/api/v1/endpointGroups/t1:g/", { tenantName: "t1", groupName: "g", networkName: "net" });
  await world.rest.post("/api/v1/policys/t1:p/", { tenantName: "t1", policyName: "p" });
  before = await storeText();
  pid = daemonPid(world.cluster.layout.home, netmasterName(1)) ?? 0;
  slow = startSlowClients();
});

afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
});

async function storeText(): Promise<string> {
  const { records, claims } = await dumpStore(world.cluster.layout);
  const kinds = ["tenant", "network", "endpointGroup", "policy", "rule", "endpoint", "address", "global"] as const;
  return JSON.stringify([kinds.map((kind) => records(kind)), [...claims]]);
}

async function startSlowClients() {
  const many = (head: string, drop: string) =>
    Promise.all(Array.from({ length: 30 }, () => trickle(port, head, drop, LIMIT_MS)));
  const [headers, bodies, silent] = await Promise.all([
    many("GET /api/v1/tenants/ HTTP/1.1\r\nhost: x\r\n", "x-slow: 1\r\n"),
    many("POST /api/v1/tenants/slow/ HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n", " "),
    many("", ""),
  ]);
  return { headers, bodies, silent };
}

function post(path: string, body: string | Buffer, extra = ""): Buffer {
  const bytes = Buffer.isBuffer(body) ? body : Buffer.from(body);
  const head = `POST ${path} HTTP/1.1\r\nhost: x\r\naccept: */*\r\ncontent-length: ${bytes.length}\r\n${extra}\r\n`;
  return Buffer.concat([Buffer.from(head), bytes]);
}

function send(bytes: string | Buffer, options?: RawOptions): Promise<RawReply> {
  return rawExchange(port, bytes, options);
}

interface Problem {
  readonly status: number;
  readonly detail: string;
  readonly code: string;
  readonly field?: string;
}

/** The answer is one clear problem document, and its status none of a defect. */
function problemOf({ status, body }: RawReply): Problem {
  const problem = JSON.parse(body) as Problem;
  expect(problem.status).toBe(status);
  expect(status).toBeGreaterThanOrEqual(400);
  expect(status).not.toBe(500);
  expect(problem.detail.length).toBeGreaterThan(5);
  expect(problem.code).toMatch(/^[a-z-]+$/);
  return problem;
}

const JSON_TYPE = "content-type: application/json\r\n";
const TENANT = "/api/v1/tenants/x/";

describe("bodies", () => {
  it.each<[string, string | Buffer, RegExp]>([
    ["empty", "", /empty/],
    ["cut short", '{"tenantName":', /not JSON/],
    ["two values", "{} {}", /not JSON/],
    ["null", "null", /object/],
    ["a list", "[]", /object/],
    ["a text", '"x"', /object/],
    ["a number", "1e999", /object/],
    ["not UTF-8", Buffer.from([0x7b, 0xff, 0xfe, 0x7d]), /UTF-8/],
    ["UTF-16", Buffer.from('{"tenantName":"x"}', "utf16le"), /JSON|UTF-8/],
    ["zeros", Buffer.alloc(1_000), /JSON/],
    ["nested 33 deep", `${"[".repeat(33)}${"]".repeat(33)}`, /nested deeper/],
    ["nested 400,000 deep", "[".repeat(400_000), /nested deeper/],
    ["nested objects", '{"a":'.repeat(100_000), /nested deeper/],
    ["a prototype", '{"__proto__":{"tenantName":"x"}}', /tenantName/],
    ["a constructor", '{"constructor":{"prototype":{}},"tenantName":5}', /tenantName/],
    ["a number for a name", '{"tenantName":5}', /tenantName/],
    ["a name with zero bytes", '{"tenantName":"x\\u0000"}', /tenantName/],
    ["a lone surrogate", '{"tenantName":"\\ud800"}', /tenantName/],
    ["another name than the URL", '{"tenantName":"y"}', /y|key/],
    ["a long name", JSON.stringify({ tenantName: "x".repeat(100_000) }), /tenantName/],
  ])("%s", async (_what, body, text) => {
    const problem = problemOf(await send(post(TENANT, body)));
    expect(problem.status).toBe(400);
    expect(problem.detail).toMatch(text);
    expect(problem.detail.length).toBeLessThan(1_000);
  });

  it("of ten megabytes are refused at once, however they come", async () => {
    const big = Buffer.alloc(10_000_000, 0x20);
    const startMs = performance.now();
    const declared = await send(post(TENANT, big));
    if (declared.status !== 0) expect(problemOf(declared)).toMatchObject({ status: 413, code: "body-too-large" });
    const chunk = Buffer.concat([Buffer.from("186a0\r\n"), Buffer.alloc(100_000, 0x20), Buffer.from("\r\n")]);
    const head = Buffer.from(`POST ${TENANT} HTTP/1.1\r\nhost: x\r\naccept: */*\r\ntransfer-encoding: chunked\r\n\r\n`);
    const chunked = await send(Buffer.concat([head, ...Array.from({ length: 100 }, () => chunk)]));
    if (chunked.status !== 0) expect(problemOf(chunked)).toMatchObject({ status: 413, code: "body-too-large" });
    expect(performance.now() - startMs).toBeLessThan(5_000);
  });

  it("of ten megabytes twenty times over cost no memory that stays", async () => {
    const big = Buffer.alloc(10_000_000, 0x5b);
    await Promise.all(Array.from({ length: 20 }, () => send(post(TENANT, big))));
    await eventuallySmall();
  });

  it("with a length that is a lie wait for no one", async () => {
    const short = `POST ${TENANT} HTTP/1.1\r\nhost: x\r\naccept: */*\r\ncontent-length: 5000\r\n\r\n{}`;
    const { status } = await send(short, { halfClose: true });
    expect([0, 400]).toContain(status);
    const long = `POST ${TENANT} HTTP/1.1\r\nhost: x\r\naccept: */*\r\ncontent-length: 2\r\n\r\n{}{"tenantName":"x"}`;
    expect([0, 400]).toContain((await send(long)).status);
  });
});

async function eventuallySmall(): Promise<void> {
  const rssMb = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1_024;
  for (let count = 0; rssMb() > 400 && count < 20; count++) await sleep(500);
  expect(rssMb()).toBeLessThan(400);
}

describe("requests that are not HTTP, or too much of it", () => {
  it.each<[string, string, readonly number[]]>([
    ["noise", "\x00\x01\x02\x03garbage\r\n\r\n", [0, 400]],
    ["a TLS hello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", [0, 400]],
    ["an unknown method", "FROB / HTTP/1.1\r\nhost: x\r\n\r\n", [0, 400]],
    ["TRACE", "TRACE /api/v1/tenants/ HTTP/1.1\r\nhost: x\r\naccept: */*\r\n\r\n", [0, 400, 404, 405]],
    ["CONNECT", "CONNECT other:80 HTTP/1.1\r\nhost: x\r\n\r\n", [0, 400, 404, 405]],
    [
      "two lengths",
      "POST /api/v1/tenants/x/ HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}",
      [0, 400],
    ],
    [
      "length and chunks",
      "POST /api/v1/tenants/x/ HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
      [0, 400],
    ],
    ["a negative length", "POST /api/v1/tenants/x/ HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n", [0, 400]],
    ["headers of a megabyte", `GET / HTTP/1.1\r\nhost: x\r\nx: ${"a".repeat(1_000_000)}\r\n\r\n`, [0, 400, 431]],
    ["ten thousand headers", `GET / HTTP/1.1\r\nhost: x\r\n${"a: b\r\n".repeat(10_000)}\r\n`, [0, 400, 404, 431]],
    ["a URL of a megabyte", `GET /${"a".repeat(1_000_000)} HTTP/1.1\r\nhost: x\r\n\r\n`, [0, 400, 414, 431]],
    ["no host", "GET /api/v1/tenants/ HTTP/1.1\r\n\r\n", [0, 400]],
  ])("%s", async (_what, bytes, statuses) => {
    expect(statuses).toContain((await send(Buffer.from(bytes, "latin1"), { halfClose: true })).status);
  });

  it("half-closed requests are answered all the same", async () => {
    const get = "GET /api/v1/tenants/ HTTP/1.1\r\nhost: x\r\naccept: */*\r\nconnection: close\r\n\r\n";
    expect((await send(get, { halfClose: true })).status).toBe(200);
    expect(problemOf(await send(post(TENANT, "{}"), { halfClose: true })).detail).toMatch(/tenantName/);
  });

  it("clients that leave in the middle of everything do no harm", async () => {
    const request = post(TENANT, "{}");
    const cuts = Array.from({ length: 100 }, (_, index) => request.subarray(0, 1 + ((index * 7) % request.length)));
    await Promise.all(cuts.map((cut) => send(cut, { halfClose: true }).catch(() => undefined)));
    expect((await world.rest.get<unknown[]>("/api/v1/tenants/")).length).toBe(2);
  });
});

describe("names and keys", () => {
  it.each([
    "%00",
    "%zz",
    "..%2f..%2fetc",
    "a%2fb",
    "a b",
    "%20",
    "é",
    "%F0%9F%A6%84",
    "__proto__",
    "x".repeat(65),
    "x".repeat(3_000),
    "a_b",
    "-a",
    "a-",
    ".",
    "..",
    "a:b:c:d",
    "%0d%0aset-cookie:%20x",
    "'%20or%201=1",
    "{{7*7}}",
    "*",
    "t1;ls",
  ])("%s is no tenant", async (name) => {
    const path = encodeURI(`/api/v1/tenants/${name}/`).replaceAll("%25", "%");
    const created = await send(post(path, JSON.stringify({ tenantName: decodeLoosely(name) })));
    expect(problemOf(created).status).toBeLessThan(500);
    const asked = await send(`GET ${path} HTTP/1.1\r\nhost: x\r\naccept: */*\r\n\r\n`);
    expect(problemOf(asked).status).toBeLessThan(500);
  });

  it.each(["constructor", "toString", "hasOwnProperty", "length", "0", "null"])(
    "%s is as good as any",
    async (name) => {
      await world.rest.post(`/api/v1/tenants/${name}/`, { tenantName: name });
      expect(await world.rest.get(`/api/v1/tenants/${name}/`)).toMatchObject({ tenantName: name });
      await world.rest.get(`/api/v1/inspect/tenants/${name}/`);
      await world.rest.delete(`/api/v1/tenants/${name}/`);
    },
  );

  function decodeLoosely(name: string): string {
    try {
      return decodeURIComponent(name);
    } catch {
      return name;
    }
  }
});

const NETWORK = { tenantName: "t1", networkName: "bad", encap: "vxlan", subnet: "10.9.0.0/24" };

describe("objects that contradict the cluster or themselves", () => {
  it.each<[string, object, number, RegExp]>([
    ["unknown tenant", { tenantName: "nobody" }, 400, /nobody/],
    ["unknown encapsulation", { encap: "gre" }, 400, /encap/],
    ["no subnet", { subnet: "" }, 400, /subnet/],
    ["a subnet with host bits or worse", { subnet: "10.9.0.999/24" }, 400, /subnet/],
    ["a prefix of 33", { subnet: "10.9.0.0/33" }, 400, /subnet/],
    ["a subnet that overlaps", { subnet: "10.1.0.128/25" }, 409, /overlaps 10\.1\.0\.0\/24 of network t1:net/],
    ["a subnet around another", { subnet: "10.0.0.0/8" }, 409, /overlaps/],
    ["an IPv6 subnet that overlaps", { ipv6Subnet: "fd01::/48" }, 409, /ipv6Subnet.*overlaps/],
    ["a gateway outside", { gateway: "10.8.0.1" }, 400, /gateway 10\.8\.0\.1 is outside the subnet/],
    ["an IPv6 gateway outside", { ipv6Subnet: "fd09::/64", ipv6Gateway: "fd08::1" }, 400, /ipv6Gateway/],
    ["an IPv6 gateway without subnet", { ipv6Gateway: "fd08::1" }, 400, /ipv6Gateway/],
    ["a tag in use", { pktTag: 1000 }, 409, /1000 is taken/],
    ["a tag outside the range", { pktTag: 20_000 }, 400, /pktTag.*20000/],
    ["a tag that is a text", { pktTag: "abc" }, 400, /pktTag/],
    ["a fractional tag", { pktTag: 1.5 }, 400, /pktTag/],
    ["a VLAN tag in use", { encap: "vlan", pktTag: 100 }, 409, /100 is taken/],
    ["a VLAN that does not exist", { encap: "vlan", pktTag: 5000 }, 400, /pktTag/],
    ["the name of a group", { networkName: "g" }, 409, /group/],
    ["an MTU of 3", { mtuBytes: 3 }, 400, /mtuBytes/],
  ])("a network with %s", async (_what, change, status, text) => {
    const body = { ...NETWORK, ...change };
    const problem = problemOf(
      await send(post(`/api/v1/networks/${body.tenantName}:${body.networkName}/`, JSON.stringify(body))),
    );
    expect(problem).toMatchObject({ status });
    expect(problem.detail).toMatch(text);
  });

  it.each<[string, string, object, number, RegExp]>([
    [
      "group of an unknown network",
      "endpointGroups/t1:x",
      { tenantName: "t1", groupName: "x", networkName: "none" },
      400,
      /t1:none/,
    ],
    [
      "group with an unknown policy",
      "endpointGroups/t1:x",
      { tenantName: "t1", groupName: "x", networkName: "net", policies: ["none"] },
      400,
      /none/,
    ],
    [
      "group with a pool outside",
      "endpointGroups/t1:x",
      { tenantName: "t1", groupName: "x", networkName: "net", ipPool: "10.3.0.1-10.3.0.9" },
      400,
      /ipPool/,
    ],
    [
      "group with a pool that is upside down",
      "endpointGroups/t1:x",
      { tenantName: "t1", groupName: "x", networkName: "net", ipPool: "10.1.0.9-10.1.0.1" },
      400,
      /ipPool/,
    ],
    [
      "rule of an unknown policy",
      "rules/t1:none:1",
      { tenantName: "t1", policyName: "none", ruleId: "1", direction: "in", action: "allow", protocol: "tcp" },
      400,
      /none/,
    ],
    [
      "rule that contradicts itself",
      "rules/t1:p:1",
      { tenantName: "t1", policyName: "p", ruleId: "1", direction: "in", action: "allow", toNetwork: "net" },
      400,
      /toNetwork|direction/,
    ],
    ["settings with ranges upside down", "globals/global", { name: "global", vlans: "9-1" }, 400, /vlans/],
    [
      "settings without a VLAN in use",
      "globals/global",
      { name: "global", vlans: "200-300" },
      409,
      /VLAN 100 of network t1:vl is in use/,
    ],
    [
      "settings with another mode while networks exist",
      "globals/global",
      { name: "global", fwdMode: "routing" },
      409,
      /fwdMode.*t1:net|network/,
    ],
    [
      "service load balancer",
      "serviceLBs/t1:x",
      { tenantName: "t1", serviceName: "x" },
      501,
      /not supported by this release/,
    ],
    ["endpoint by hand", "endpoints/x", { a: 1 }, 400, /.+/],
  ])("a %s", async (_what, path, body, status, text) => {
    const problem = problemOf(await send(post(`/api/v1/${path}/`, JSON.stringify(body))));
    if (path !== "endpoints/x") expect(problem.status).toBe(status);
    expect(problem.detail).toMatch(text);
  });

  it.each([
    ["tenants/t1", /t1:/],
    ["networks/t1:net", /group.*t1:g/],
    ["tenants/none", /none/],
    ["globals/global", /cannot be deleted/],
    ["nodes/none", /none/],
  ])("deleting %s", async (path, text) => {
    const reply = await send(`DELETE /api/v1/${path}/ HTTP/1.1\r\nhost: x\r\naccept: */*\r\n\r\n`);
    expect(problemOf(reply).detail).toMatch(text);
  });

  it.each(["watch=true&revision=-1", "watch=true&revision=x", "watch=true&revision=99999999999999999999"])(
    "?%s",
    async (query) => {
      problemOf(await send(`GET /api/v1/networks/?${query} HTTP/1.1\r\nhost: x\r\naccept: */*\r\n\r\n`));
    },
  );
});

describe("thirty at once", () => {
  function attempt(index: number, change: object): Promise<RawReply> {
    const body = { ...NETWORK, networkName: `n${index}`, ...change };
    return send(post(`/api/v1/networks/t1:n${index}/`, JSON.stringify(body)), { timeoutMs: 20_000 });
  }

  async function winners(changeOf: (index: number) => object): Promise<readonly number[]> {
    const replies = await Promise.all(Array.from({ length: 30 }, (_, index) => attempt(index, changeOf(index))));
    const won = replies.flatMap(({ status }, index) => (status === 200 ? [index] : []));
    for (const reply of replies) if (reply.status !== 200) expect(problemOf(reply).status).toBe(409);
    for (const index of won) await world.rest.delete(`/api/v1/networks/t1:n${index}/`);
    return won;
  }

  it("with one subnet: exactly one wins", async () => {
    for (let round = 0; round < 3; round++) expect(await winners(() => ({}))).toHaveLength(1);
  });

  it("with subnets inside each other: exactly one wins", async () => {
    expect(await winners((index) => ({ subnet: `10.9.0.0/${16 + (index % 10)}` }))).toHaveLength(1);
  });

  it("with one tag: exactly one wins", async () => {
    expect(await winners((index) => ({ subnet: `10.9.${index}.0/24`, pktTag: 777 }))).toHaveLength(1);
  });

  it("for three tags that are left: exactly three win, and the others are told what to do", async () => {
    await world.rest.post("/api/v1/globals/global/", { name: "global", vlans: "100-103" });
    expect(await winners((index) => ({ encap: "vlan", subnet: `10.9.${index}.0/24` }))).toHaveLength(3);
    for (const index of [1, 2, 3]) await attempt(index, { encap: "vlan", subnet: `10.9.${index}.0/24` });
    const refusal = problemOf(await attempt(9, { encap: "vlan", subnet: "10.9.9.0/24" }));
    expect(refusal.detail).toMatch(/No VLAN is left of 100-103; delete a network or widen vlans/);
    for (const index of [1, 2, 3]) await world.rest.delete(`/api/v1/networks/t1:n${index}/`);
    await world.rest.post("/api/v1/globals/global/", { name: "global", vlans: "1-4094" });
  });

  it("for the two addresses of a /30: exactly two get one, and the others are told what to do", async () => {
    await world.rest.post("/api/v1/networks/t1:n0/", { ...NETWORK, networkName: "n0", subnet: "10.9.0.0/30" });
    const body = JSON.stringify({ NetworkID: "n0.t1" });
    const ask = () => send(post("/plugin/allocAddress", body, JSON_TYPE));
    const replies = await Promise.all(Array.from({ length: 30 }, ask));
    const got = replies.flatMap((reply) =>
      reply.status === 200 ? [(JSON.parse(reply.body) as { IPv4Address: string }).IPv4Address] : [],
    );
    expect(got.sort()).toEqual(["10.9.0.1/30", "10.9.0.2/30"]);
    for (const reply of replies) {
      if (reply.status !== 200)
        expect(problemOf(reply).detail).toMatch(/No IPv4 address is left in 10\.9\.0\.0\/30.*delete/);
    }
    for (const IPv4Address of got) {
      const release = JSON.stringify({ NetworkID: "n0.t1", IPv4Address });
      expect((await send(post("/plugin/releaseAddress", release, JSON_TYPE))).status).toBe(200);
    }
    await world.rest.delete("/api/v1/networks/t1:n0/");
  });
});

describe("after all of it", () => {
  it("the store holds what it held before, netmaster is well and has not been restarted", async () => {
    expect(await storeText()).toBe(before);
    await expectSound(world);
    for (const path of ["/healthz", "/readyz"]) {
      expect((await fetch(`http://127.0.0.1:${port}${path}`)).status).toBe(200);
    }
    expect(daemonPid(world.cluster.layout.home, netmasterName(1))).toBe(pid);
    expect(world.log("netmaster-1", 10_000)).not.toContain("request failed");
  });

  it("and clients that take their time were cut off in time, while all others were served", async () => {
    const { headers, bodies, silent } = await slow;
    expect(Math.max(...headers)).toBeLessThan(HEADERS_BORNE_MS);
    expect(Math.max(...silent)).toBeLessThan(HEADERS_BORNE_MS);
    expect(Math.max(...bodies)).toBeLessThan(BODY_BORNE_MS);
  });
});
