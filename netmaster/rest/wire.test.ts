import { once } from "node:events";
import { type AddressInfo, connect } from "node:net";
import type { FastifyInstance } from "fastify";
import { afterEach, describe, expect, it } from "vitest";
import { createRestApp } from "./app.ts";
import type { Call } from "./call.ts";
import { COLLECTIONS } from "./collections.ts";
import { type ContractWorld, contractWorld } from "./testing/contract-world.ts";
import { type FakeCluster, FIRST_EPOCH, fakeCluster } from "./testing/fake-cluster.ts";
import { watchCollection } from "./watch.ts";

const opened: FastifyInstance[] = [];

async function listen(app: FastifyInstance): Promise<string> {
  opened.push(app);
  return app.listen({ host: "127.0.0.1", port: 0 });
}

afterEach(async () => {
  for (const app of opened.splice(0)) await app.close();
});

interface Line {
  readonly type: string;
  readonly key?: string;
  readonly revision?: string;
  readonly modRevision?: string;
  readonly object?: Readonly<Record<string, unknown>>;
  readonly code?: string;
}

/** The lines of a watch, one at a time. */
async function* linesOf(url: string, signal: AbortSignal): AsyncGenerator<Line> {
  const reply = await fetch(url, { signal });
  if (!reply.ok || reply.body === null) throw new Error(`${reply.status} ${await reply.text()}`);
  let rest = "";
  for await (const part of reply.body.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + part).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) yield JSON.parse(line);
  }
}

async function take(lines: AsyncGenerator<Line>, count: number): Promise<Line[]> {
  const taken: Line[] = [];
  while (taken.length < count) {
    const next = await lines.next();
    if (next.done) break;
    taken.push(next.value);
  }
  return taken;
}

const policy = (name: string) => [`policys/t1:${name}`, { tenantName: "t1", policyName: name }] as const;
const profile = (DSCP: number) => ["netprofiles/t1:np", { tenantName: "t1", profileName: "np", DSCP }] as const;

describe("watch", () => {
  async function world(): Promise<ContractWorld & { readonly base: string }> {
    const made = await contractWorld();
    return { ...made, base: `${await listen(made.app)}/api/v1` };
  }

  it("begins with all objects, then tells changes of its collection only", async () => {
    const { must, base } = await world();
    await must("POST", ...profile(1));
    const stop = new AbortController();
    const lines = linesOf(`${base}/netprofiles/?watch=true`, stop.signal);
    expect(await take(lines, 2)).toMatchObject([
      { type: "put", key: "t1:np", modRevision: `3@${FIRST_EPOCH}`, object: { key: "t1:np", DSCP: 1 } },
      { type: "synced", revision: `3@${FIRST_EPOCH}` },
    ]);
    await must("POST", ...policy("p1"));
    await must("POST", ...profile(2));
    await must("DELETE", "netprofiles/t1:np");
    expect(await take(lines, 2)).toMatchObject([
      { type: "put", object: { DSCP: 2 } },
      { type: "delete", key: "t1:np" },
    ]);
    stop.abort();
  });

  it("goes on from a revision, with a bookmark at once", async () => {
    const { must, base, cluster } = await world();
    const revision = `${cluster.view().revision}@${FIRST_EPOCH}`;
    await must("POST", ...policy("p1"));
    await must("POST", ...policy("p2"));
    const stop = new AbortController();
    const lines = linesOf(`${base}/policys/?watch=true&revision=${revision}`, stop.signal);
    expect((await take(lines, 3)).map(({ type, key, revision: at }) => key ?? `${type} ${at}`)).toEqual([
      `bookmark ${revision}`,
      "t1:p1",
      "t1:p2",
    ]);
    stop.abort();
  });

  it("of one object tells of that object only", async () => {
    const { must, base } = await world();
    const stop = new AbortController();
    const lines = linesOf(`${base}/policys/t1:p2/?watch=true`, stop.signal);
    expect(await take(lines, 1)).toMatchObject([{ type: "synced" }]);
    await must("POST", ...policy("p1"));
    await must("POST", ...policy("p2"));
    expect(await take(lines, 1)).toMatchObject([{ key: "t1:p2" }]);
    stop.abort();
  });

  it("refuses a revision that is too old, unknown or malformed", async () => {
    const { cluster, base } = await world();
    cluster.forgetChanges();
    const status = async (revision: string) => {
      const reply = await fetch(`${base}/policys/?watch=true&revision=${revision}`);
      return [reply.status, ((await reply.json()) as { code: string }).code];
    };
    expect(await status(`0@${FIRST_EPOCH}`)).toEqual([410, "revision-too-old"]);
    expect(await status(`99@${FIRST_EPOCH}`)).toEqual([503, "timeout"]);
    for (const malformed of ["x", "2@x%20y", "2@x@y", "@x", "-2@x"])
      expect(await status(malformed)).toEqual([400, "invalid-field"]);
  });

  it("refuses at once a revision of another epoch, or of none that is told, also one that is still to come", async () => {
    const { cluster, base } = await world();
    cluster.restore("2-00000002");
    const { revision } = cluster.view();
    const refused = async (from: string) => {
      const reply = await fetch(`${base}/policys/?watch=true&revision=${from}`, { headers: { accept: "*/*" } });
      const { code, detail } = (await reply.json()) as { readonly code: string; readonly detail: string };
      expect([reply.status, code]).toEqual([410, "revision-too-old"]);
      return detail;
    };
    expect(await refused(`${revision}@${FIRST_EPOCH}`)).toMatch(/the store was restored or replaced.*list the coll/);
    expect(await refused(`${revision + 99n}@${FIRST_EPOCH}`)).toMatch(/the store was restored or replaced/);
    expect(await refused(`${revision}`)).toMatch(/does not say in which epoch/);
    expect(await refused(`${revision}@`)).toMatch(/does not say in which epoch/);
    const stop = new AbortController();
    const lines = linesOf(`${base}/policys/?watch=true&revision=${revision}@2-00000002`, stop.signal);
    expect(await take(lines, 1)).toMatchObject([{ type: "bookmark", revision: `${revision}@2-00000002` }]);
    stop.abort();
  });

  it("ends with an error line when the store is restored, also while the first lines are being read", async () => {
    const { cluster } = await world();
    const signal = AbortSignal.timeout(20_000);
    const call = { services: cluster, query: {}, signal } as unknown as Call;
    const [collection] = COLLECTIONS.filter(({ name }) => name === "tenants");
    if (collection === undefined) throw new Error("no collection");
    const answer = await watchCollection(call, collection);
    if (answer.is !== "lines") throw new Error(`an answer of ${answer.is}`);
    const lines = answer.lines(signal);
    expect((await lines.next()).value).toContain('"put"');
    cluster.restore("2-00000002");
    const rest = [];
    for await (const text of lines) rest.push(...text.trim().split("\n"));
    expect(JSON.parse(rest.at(-1) ?? "")).toMatchObject({ type: "error", code: "revision-too-old" });
  });

  it("ends with an error line when the changes are forgotten before they were read", async () => {
    const { must, base, cluster } = await world();
    const lines = linesOf(`${base}/policys/?watch=true`, AbortSignal.timeout(10_000));
    await take(lines, 1);
    const forget = cluster.onChange(() => cluster.forgetChanges());
    await must("POST", ...policy("p1"));
    forget();
    expect(await take(lines, 2)).toMatchObject([{ type: "error", code: "revision-too-old" }]);
  });

  it("ends when the server closes, and a client that goes leaves nothing", async () => {
    const { app, base, cluster } = await world();
    const stop = new AbortController();
    const lines = linesOf(`${base}/policys/?watch=true`, stop.signal);
    await take(lines, 1);
    expect(await cluster.metrics.getSingleMetricAsString("contiv_netmaster_rest_watches")).toContain(
      "contiv_netmaster_rest_watches 1",
    );
    stop.abort();
    await expect
      .poll(() => cluster.metrics.getSingleMetricAsString("contiv_netmaster_rest_watches"))
      .toContain("contiv_netmaster_rest_watches 0");
    const other = linesOf(`${base}/policys/?watch=true`, AbortSignal.timeout(10_000));
    await take(other, 1);
    await app.close();
    expect((await other.next().catch(() => ({ done: true }))).done).toBe(true);
  });
});

describe("forwarding to the leader", () => {
  async function pair(): Promise<{
    readonly leader: FakeCluster;
    readonly follower: FakeCluster;
    readonly base: string;
  }> {
    const leader = fakeCluster();
    const leaderUrl = await listen(createRestApp(leader));
    // The follower shows the same view: it watches the same store.
    const follower = { ...fakeCluster(), view: leader.view, waitForRevision: leader.waitForRevision };
    leader.leaderInfo = { ...leader.leaderInfo, proofKey: "secret" };
    leader.leader = () => leader.leaderInfo;
    follower.leaderInfo = { isLeader: false, self: "127.0.0.1:1", leaderUrl, proofKey: "secret", netmasters: [] };
    follower.leader = () => follower.leaderInfo;
    return { leader, follower, base: await listen(createRestApp(follower)) };
  }

  it("carries writes there and answers back unchanged", async () => {
    const { leader, base } = await pair();
    const url = `${base}/api/v1/tenants/t2/`;
    const created = await fetch(url, { method: "POST", body: '{"tenantName":"t2"}' });
    expect([created.status, await created.text()]).toEqual([200, '{"key":"t2","tenantName":"t2","link-sets":{}}\n']);
    expect(created.headers.get("etag")).toBe(`"2@${FIRST_EPOCH}"`);
    expect(created.headers.get("contiv-revision")).toBe(`2@${FIRST_EPOCH}`);
    expect(await (await fetch(url)).json()).toMatchObject({ key: "t2" });
    const again = await fetch(url, { method: "POST", body: '{"tenantName":"t2"}' });
    expect([again.status, again.headers.get("content-type")]).toEqual([409, "application/problem+json"]);
    expect(leader.audits).toContainEqual(
      expect.objectContaining({ audit: expect.objectContaining({ who: "127.0.0.1 via 127.0.0.1" }) }),
    );
  });

  it("believes nobody else who the client is: neither a client of the leader nor one of a follower", async () => {
    const { leader, follower, base } = await pair();
    const forged = { "contiv-client": "CN=admin", "contiv-forwarded-by": "m1", "contiv-forward-proof": "x" };
    const write = (url: string, name: string, headers: Record<string, string>) =>
      fetch(`${url}/api/v1/tenants/${name}/`, { method: "POST", body: `{"tenantName":"${name}"}`, headers });
    const whoWrote = (name: string) =>
      leader.audits.flatMap((each) => {
        const { audit } = each as { audit?: { who: string; object: string } };
        return audit?.object.includes(name) ? [audit.who] : [];
      });
    expect((await write(follower.leaderInfo.leaderUrl ?? "", "t3", forged)).status).toBe(200);
    expect(whoWrote("t3")).toEqual(["127.0.0.1"]);
    const { "contiv-forwarded-by": _, ...clientOnly } = forged;
    expect((await write(base, "t4", clientOnly)).status).toBe(200);
    expect(whoWrote("t4")).toEqual(["127.0.0.1 via 127.0.0.1"]);
  });

  it("forwards once at most, and says so when the leader is away", async () => {
    const { leader, follower, base } = await pair();
    leader.leaderInfo = { ...follower.leaderInfo, leaderUrl: base };
    const request = { method: "POST", body: '{"tenantName":"t2"}' };
    const lost = await fetch(`${base}/api/v1/tenants/t2/`, request);
    expect([lost.status, ((await lost.json()) as { code: string }).code]).toEqual([503, "no-leader"]);
    follower.leaderInfo = { ...follower.leaderInfo, leaderUrl: "http://127.0.0.1:1" };
    const away = await fetch(`${base}/api/v1/tenants/t2/`, request);
    expect([away.status, ((await away.json()) as { code: string }).code]).toEqual([503, "leader-unreachable"]);
  });
});

describe("sockets", () => {
  /** Sends bytes, and returns everything that comes until the server ends the connection. */
  async function exchange(base: string, bytes: string, { isHalfClosed = false } = {}): Promise<string> {
    const socket = connect(Number(new URL(base).port), "127.0.0.1");
    let received = "";
    socket.on("data", (data) => {
      received += data.toString();
    });
    socket.on("error", () => undefined);
    await once(socket, "connect");
    socket.write(bytes);
    if (isHalfClosed) socket.end();
    await Promise.race([once(socket, "close"), new Promise((resolve) => setTimeout(resolve, 500))]);
    socket.destroy();
    return received;
  }

  it("takes garbage, a half-closed socket and a body of 10 MB, and goes on", async () => {
    const { app } = await contractWorld();
    const base = await listen(app);
    expect((app.server.address() as AddressInfo).port).toBeGreaterThan(0);
    expect(await exchange(base, "\x16\x03\x01garbage\r\n\r\n")).toContain("400 Bad Request");
    expect(await exchange(base, "GET /api/v1/tenants/ HTTP/1.1\r\nHost: x\r\n\r\n", { isHalfClosed: true })).toContain(
      '"key":"t1"',
    );
    await exchange(base, "POST /api/v1/tenants/t2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{", {
      isHalfClosed: true,
    });
    const huge = `POST /api/v1/tenants/t2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n\r\n${"x".repeat(1_000_000)}`;
    expect(await exchange(base, huge)).toMatch(/^HTTP\/1.1 500 [\s\S]*The body is larger than 1048576 bytes\n$/);
    expect((await fetch(`${base}/api/v1/tenants/t1/`)).status).toBe(200);
  });
});
