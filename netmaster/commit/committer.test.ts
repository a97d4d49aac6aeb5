import { randomUUID } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { NetError } from "../../state/errors.ts";
import type { NetworkId } from "../../state/ids.ts";
import { addressClaimKey, CLAIMS, LEADER_KEY, objectKey } from "../../state/keys.ts";
import type { EndpointRecord } from "../../state/kinds/endpoint.ts";
import { Network } from "../../state/kinds/network.ts";
import { NodeName } from "../../state/names.ts";
import { EndpointRequest } from "../../state/node-api.ts";
import { MAX_COMMIT_OPERATIONS } from "../../state/store/store.ts";
import { createEndpoint, releaseEndpoint } from "../intents/endpoint.ts";
import { upsertNetwork } from "../intents/network.ts";
import { registerNode } from "../intents/node.ts";
import { upsertTenant } from "../intents/tenant.ts";
import { startTestEngine, type TestEngine, type TestEngineOptions } from "../leader/testing.ts";
import { worldObjects } from "../view/testing.ts";

const N1 = NodeName.parse("n1");

async function leader(options: TestEngineOptions = {}): Promise<TestEngine> {
  const engine = startTestEngine(options);
  await engine.leading();
  return engine;
}

async function withNetwork(engine: TestEngine, subnet = "10.1.0.0/24"): Promise<void> {
  const [node] = worldObjects("node n1");
  if (node?.kind !== "node") throw new Error("no node");
  await engine.committer.submit(registerNode, node.record.registration);
  await engine.committer.submit(upsertNetwork, network("net1", subnet));
}

function network(networkName: string, subnet: string): Network {
  const ipv6Subnet = "2001:db8::/64";
  return Network.parse({ networkName, tenantName: "default", encap: "vxlan", subnet, ipv6Subnet });
}

async function create(engine: TestEngine, containerId: string): Promise<EndpointRecord> {
  const names = { containerId, ifName: "eth0", tenantName: "default", networkName: "net1" };
  const { reply } = await engine.committer.submit(createEndpoint, { ...EndpointRequest.parse(names), nodeName: N1 });
  return reply;
}

async function release(engine: TestEngine, { key, epoch }: EndpointRecord): Promise<boolean> {
  return (await engine.committer.submit(releaseEndpoint, { key, epoch, nodeName: N1 })).reply.released;
}

/** Claims of the store, and those that its endpoints should have. */
function claims(engine: TestEngine): { readonly stored: string[]; readonly owed: string[] } {
  const { values } = engine.store.backend.list(`${CLAIMS}ip/`);
  const owed = Array.from(engine.cache.view().records("endpoint").entries(), ([, { networkId, ipv4, ipv6 }]) =>
    [ipv4, ipv6 ?? ""].map((ip) => addressClaimKey(networkId, ip)),
  );
  return { stored: values.map(({ key }) => key).sort(), owed: owed.flat().sort() };
}

describe("group commit", () => {
  it("gives every caller an address of its own and keeps claims equal to endpoints, under any interleaving", async () => {
    const action = fc.record({ container: fc.nat(14), isRelease: fc.boolean(), turns: fc.nat(3) });
    await fc.assert(
      fc.asyncProperty(fc.array(action, { minLength: 1, maxLength: 60 }), async (actions) => {
        await using engine = await leader();
        await withNetwork(engine, "10.1.0.0/28");
        const last = new Map<number, EndpointRecord>();
        const running = actions.map(async ({ container, isRelease, turns }) => {
          for (let turn = 0; turn < turns; turn += 1) await Promise.resolve();
          const held = last.get(container);
          if (isRelease && held !== undefined) await release(engine, held);
          else last.set(container, await create(engine, `c${container}`));
        });
        await Promise.all(running);
        const ips = Array.from(engine.cache.view().records("endpoint").entries(), ([, { ipv4 }]) => ipv4);
        expect(new Set(ips).size).toBe(ips.length);
        const { stored, owed } = claims(engine);
        expect(stored).toEqual(owed);
        expect(engine.anomalies).toEqual([]);
      }),
      { numRuns: 30 },
    );
  });

  it("hands out exactly as many addresses as there are, in few transactions of legal size", async () => {
    await using engine = await leader();
    await withNetwork(engine);
    const before = engine.commits.length;
    const results = await Promise.allSettled(Array.from({ length: 300 }, (_, index) => create(engine, `c${index}`)));
    const made = results.flatMap((result) => (result.status === "fulfilled" ? [result.value.ipv4] : []));
    const refused = results.flatMap((result) => (result.status === "rejected" ? [result.reason.code] : []));
    expect(new Set(made).size).toBe(254);
    expect(refused).toEqual(Array(46).fill("EXHAUSTED"));
    const commits = engine.commits.slice(before);
    expect(commits.length).toBeLessThan(20);
    for (const { guards, puts, deletes } of commits) {
      expect(Math.max(guards.length, puts.length + deletes.length)).toBeLessThanOrEqual(MAX_COMMIT_OPERATIONS);
      expect(guards[0]?.is).toBe("created-at");
    }
    const endpoints = Array.from(engine.cache.view().records("endpoint").entries(), ([, record]) => record);
    await Promise.all(endpoints.map((record) => release(engine, record)));
    expect(claims(engine)).toEqual({ stored: [], owed: [] });
  });

  it("lets a request that fails its checks fail alone", async () => {
    await using engine = await leader();
    const names = ["a", "default", "b", "default", "c"];
    const results = await Promise.allSettled(
      names.map((tenantName) => engine.committer.submit(upsertTenant, { tenantName, defaultNetwork: "" })),
    );
    expect(results.map(({ status }) => status)).toEqual([
      "fulfilled",
      "rejected",
      "fulfilled",
      "rejected",
      "fulfilled",
    ]);
    expect(engine.cache.view().records("tenant").size).toBe(4);
  });

  it("lets exactly one of 30 overlapping networks win that are asked for at once", async () => {
    await using engine = await leader();
    const asked = Array.from({ length: 30 }, (_, index) => network(`net${index}`, `10.0.${index}.0/8`));
    const results = await Promise.allSettled(asked.map((each) => engine.committer.submit(upsertNetwork, each)));
    expect(results.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    expect(engine.cache.view().records("network").size).toBe(1);
  });

  it("shows the caller its own write, and answers a repetition with the same lease", async () => {
    await using engine = await leader();
    await withNetwork(engine);
    const [first, again] = await Promise.all([create(engine, "c1"), create(engine, "c1")]);
    expect(engine.cache.view().records("endpoint").get(first.key)).toEqual(first);
    expect(again).toEqual(first);
    expect(await release(engine, first)).toBe(true);
    expect(await release(engine, first)).toBe(false);
  });

  it("plans a dry run and changes nothing", async () => {
    await using engine = await leader();
    const asked = { tenantName: "a", defaultNetwork: "" };
    const sent = engine.commits.length;
    const { reply, view } = await engine.committer.submit(upsertTenant, asked, { dryRun: true });
    expect(reply.key).toBe("a");
    expect(view.records("tenant").has("a")).toBe(true);
    expect(engine.cache.view().records("tenant").has("a")).toBe(false);
    expect(engine.commits).toHaveLength(sent);
  });
});

describe("limits", () => {
  it("refuses more requests than may wait, and says that nothing was started", async () => {
    let open: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    let isShut = false;
    await using engine = await leader({
      queueLimit: 2,
      interfere: async (commit, real) => {
        if (isShut) await gate;
        return await real(commit);
      },
    });
    isShut = true;
    const tenant = (tenantName: string, timeoutMs = 5_000) =>
      engine.committer.submit(upsertTenant, { tenantName, defaultNetwork: "" }, { timeoutMs });
    const sent = expect(tenant("sent", 60)).rejects.toMatchObject({ code: "TIMEOUT" });
    await new Promise((resolve) => setTimeout(resolve, 10));
    const late = expect(tenant("late", 60)).rejects.toMatchObject({ code: "UNAVAILABLE" });
    const waiting = tenant("waiting");
    await expect(tenant("surplus")).rejects.toMatchObject({ code: "UNAVAILABLE", reason: "overloaded" });
    await Promise.all([sent, late]);
    open();
    await waiting;
    expect(engine.cache.view().records("tenant").has("late")).toBe(false);
    expect(engine.cache.view().records("tenant").has("sent")).toBe(true);
  });

  it("refuses everything while it does not lead", async () => {
    await using first = await leader();
    await using second = startTestEngine({ name: "m2", backend: first.store.backend });
    await second.cache.synced;
    const asked = second.committer.submit(upsertTenant, { tenantName: "a", defaultNetwork: "" });
    await expect(asked).rejects.toMatchObject({ code: "UNAVAILABLE", reason: "not-leader" });
  });
});

describe("fault", () => {
  it("leadership lost in mid-flight: the fence holds, the caller is told, the next leader goes on", async () => {
    let usurp = false;
    await using engine = await leader({
      interfere: async (commit, real) => {
        if (usurp) {
          usurp = false;
          const other = { key: LEADER_KEY, value: "somebody else" };
          engine.store.backend.commit({ requestId: randomUUID(), guards: [], puts: [], deletes: [LEADER_KEY] });
          engine.store.backend.commit({ requestId: randomUUID(), guards: [], puts: [other], deletes: [] });
        }
        return await real(commit);
      },
    });
    usurp = true;
    const asked = engine.committer.submit(upsertTenant, { tenantName: "a", defaultNetwork: "" });
    await expect(asked).rejects.toMatchObject({ code: "UNAVAILABLE" });
    expect(engine.committer.isLeading()).toBe(false);
    expect(engine.cache.view().records("tenant").has("a")).toBe(false);
    engine.store.backend.commit({ requestId: randomUUID(), guards: [], puts: [], deletes: [LEADER_KEY] });
    await engine.leading();
    await engine.committer.submit(upsertTenant, { tenantName: "a", defaultNetwork: "" });
    expect(engine.cache.view().records("tenant").has("a")).toBe(true);
  });

  it.each<[string, () => Error | undefined]>([
    ["refuses it", () => undefined],
    ["does not say what became of it", () => new NetError("TIMEOUT", "the answer was lost")],
  ])(
    "a commit of the leadership before, answered after the next was won: the store %s, and the new one goes on",
    async (_, failure) => {
      let answer: () => void = () => undefined;
      const gate = new Promise<void>((resolve) => {
        answer = resolve;
      });
      let isHeld = false;
      await using engine = await leader({
        interfere: async (commit, real) => {
          if (!isHeld) return await real(commit);
          isHeld = false;
          await gate;
          const error = failure();
          if (error !== undefined) throw error;
          return await real(commit);
        },
      });
      const submit = (tenantName: string) => engine.committer.submit(upsertTenant, { tenantName, defaultNetwork: "" });
      isHeld = true;
      const old = expect(submit("old")).rejects.toMatchObject({ code: expect.stringMatching(/UNAVAILABLE|TIMEOUT/) });
      await expect.poll(() => isHeld).toBe(false);
      engine.store.backend.commit({ requestId: randomUUID(), guards: [], puts: [], deletes: [LEADER_KEY] });
      await expect.poll(() => engine.events.filter(({ is }) => is === "leading").length).toBe(2);
      answer();
      await old;
      await submit("new");
      expect(engine.committer.isLeading()).toBe(true);
      expect(engine.events.filter(({ is }) => is === "leading")).toHaveLength(2);
    },
  );

  it("unknown outcome: a new epoch makes sure that the lost commit is seen, or never happens", async () => {
    for (const happens of [true, false]) {
      let isCut = false;
      await using engine = await leader({
        interfere: async (commit, real) => {
          if (!isCut) return await real(commit);
          isCut = false;
          const late = happens ? await real(commit) : undefined;
          if (late === undefined) setTimeout(() => void real(commit).catch(() => undefined), 300); // arrives after all
          throw new NetError("TIMEOUT", "the answer was lost");
        },
      });
      const [epoch] = engine.events.flatMap((event) => (event.is === "leading" ? [event.epoch] : []));
      isCut = true;
      const asked = engine.committer.submit(upsertNetwork, network("net1", "10.0.0.0/8"));
      await expect(asked).rejects.toMatchObject({ code: "TIMEOUT" });
      await engine.leading();
      expect(engine.events.at(-1)).not.toMatchObject({ epoch });
      const second = engine.committer.submit(upsertNetwork, network("net2", "10.0.0.0/8"));
      if (happens) await expect(second).rejects.toMatchObject({ code: "CONFLICT" });
      else await second;
      await new Promise((resolve) => setTimeout(resolve, 400));
      expect(engine.cache.view().records("network").size).toBe(1);
    }
  });

  it("a claim without owner is deleted, and the request succeeds", async () => {
    await using engine = await leader();
    await withNetwork(engine);
    const orphan = { key: addressClaimKey(1 as NetworkId, "10.1.0.1"), value: "endpoint/gone:eth0" };
    engine.store.backend.commit({ requestId: randomUUID(), guards: [], puts: [orphan], deletes: [] });
    expect((await create(engine, "c1")).ipv4).toBe("10.1.0.1");
    expect(engine.anomalies.join("\n")).toContain("deleted claim");
    expect(claims(engine).stored).toEqual(claims(engine).owed);
  });

  it("a damaged value is written anew by its key, and what its object claims is never handed out meanwhile", async () => {
    await using engine = await leader();
    await withNetwork(engine, "10.1.0.0/29");
    const first = await create(engine, "c1");
    const key = objectKey("endpoint", first.key);
    const put = (value: string) =>
      engine.store.backend.commit({ requestId: randomUUID(), guards: [], puts: [{ key, value }], deletes: [] });
    put("{damaged");
    await expect.poll(() => engine.cache.quarantined().length).toBe(1);
    const others = await Promise.allSettled(["c2", "c3", "c4", "c5", "c6", "c7"].map((name) => create(engine, name)));
    const given = others.flatMap((each) => (each.status === "fulfilled" ? [each.value.ipv4] : []));
    expect(given.sort()).toEqual(["10.1.0.2", "10.1.0.3", "10.1.0.4", "10.1.0.5", "10.1.0.6"]);
    expect(engine.anomalies.join("\n")).toMatch(/kept claim .*10\.1\.0\.1": the value of its owner .*cannot be read/);
    expect((await create(engine, "c1")).ipv4).toBe(first.ipv4);
    expect(engine.cache.quarantined()).toEqual([]);
    expect(claims(engine).stored).toEqual(expect.arrayContaining(claims(engine).owed));
  });

  it("an unreachable store: nothing is done, the leader stays, the next request goes through", async () => {
    let isAway = false;
    await using engine = await leader({
      interfere: async (commit, real) => {
        if (isAway) throw new NetError("UNAVAILABLE", "no store");
        return await real(commit);
      },
    });
    isAway = true;
    const asked = engine.committer.submit(upsertTenant, { tenantName: "a", defaultNetwork: "" });
    await expect(asked).rejects.toMatchObject({ code: "UNAVAILABLE" });
    isAway = false;
    await engine.committer.submit(upsertTenant, { tenantName: "b", defaultNetwork: "" });
    expect(engine.committer.isLeading()).toBe(true);
  });
});

describe("leadership", () => {
  it("passes on when the leader ends, and the new leader plans on all that the old one wrote", async () => {
    const first = await leader();
    await using second = startTestEngine({ name: "m2", backend: first.store.backend });
    await first.committer.submit(upsertNetwork, network("net1", "10.0.0.0/8"));
    await first[Symbol.asyncDispose]();
    await second.leading();
    const overlapping = second.committer.submit(upsertNetwork, network("net2", "10.1.0.0/16"));
    await expect(overlapping).rejects.toMatchObject({ code: "CONFLICT" });
  });

  it("stores settings and the default tenant once", async () => {
    await using engine = await leader();
    expect(engine.cache.view().records("global").get("global")?.config.fwdMode).toBe("bridge");
    expect(engine.cache.view().records("tenant").get("default")?.tenantId).toBe(1);
  });
});
