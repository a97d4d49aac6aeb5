import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { podNetns } from "../../deploy/cluster/underlay.ts";
import { monotonicNs, type Target } from "../fakes/prober.ts";
import { openStream, type Streams, serveStreams } from "../fakes/stream.ts";
import { type PolicyAdmin, policyAdmin, type RuleSpec } from "./policy-admin.ts";
import { startTestCluster, type TestCluster } from "./test-cluster.ts";
import { openTruthTable, type TruthTable } from "./truth-table.ts";
import { type CellSpec, type Turn, type WatchedCells, watchCells } from "./watched-cells.ts";

/**
 * Scenarios 13 to 16 of the acceptance list, as an admin does them, over VXLAN (`vx`) and VLAN (`vl`) at once, IPv4 and IPv6: group
 * web on node 1, groups client and common on node 2, and one more client beside the server. Packets of every kind go all the while;
 * how long a change takes is measured from the answer of REST. Then what lasts: connections that live through changes and restarts.
 */
const TENANT = "t1";
const NETS = ["vx", "vl"] as const;
const GROUPS = ["web", "client", "common"] as const;
const PORTS = [8000, 8001];
const STREAM_PORT = 8002;
const HOMES = { web1: 1, client1: 1, client2: 2, common2: 2 };

let world: TestCluster;
let admin: PolicyAdmin;
let pods: TruthTable;
let added: RuleSpec[] = [];
const turns: Turn[] = [];

beforeAll(async () => {
  world = await startTestCluster({ nodes: 2 });
  const { rest } = world;
  await rest.post(`/api/v1/tenants/${TENANT}/`, { tenantName: TENANT });
  for (const [networkName, encap, third] of [
    ["vx", "vxlan", 1],
    ["vl", "vlan", 2],
    ["other", "vxlan", 3],
  ] as const) {
    const network = { encap, subnet: `10.1.${third}.0/24`, ipv6Subnet: `fd0${third}::/64` };
    await rest.post(`/api/v1/networks/${TENANT}:${networkName}/`, { tenantName: TENANT, networkName, ...network });
  }
  const groups = NETS.flatMap((net) => GROUPS.map((group) => [`${net}-${group}`, net] as const));
  admin = policyAdmin(rest, TENANT, Object.fromEntries(groups));
  for (const net of NETS) for (const name of ["p", "q"]) await admin.policy(`${net}-${name}`);
  for (const [group] of groups) await admin.attach(group, []);
  const specs = NETS.flatMap((net) =>
    Object.entries(HOMES).map(([name, node]) => {
      return { name: `${net}-${name}`, node, tenant: TENANT, network: net, group: `${net}-${name.slice(0, -1)}` };
    }),
  );
  pods = await openTruthTable(world, { pods: specs, ports: PORTS });
  await attachEverywhere("web", ["p"]);
});

afterAll(async () => {
  await pods?.[Symbol.asyncDispose]();
  await world?.[Symbol.asyncDispose]();
});

afterEach(async () => {
  await remove(...added);
  await admin.untilEnforced();
});

async function attachEverywhere(group: string, policies: readonly string[]): Promise<void> {
  for (const net of NETS) {
    await admin.attach(
      `${net}-${group}`,
      policies.map((name) => `${net}-${name}`),
    );
  }
}

/** Each rule in both networks' policies. */
type RuleIn = (net: (typeof NETS)[number]) => RuleSpec;

function rule(direction: "in" | "out", action: "allow" | "deny", fields: Partial<RuleSpec> = {}): RuleIn {
  return (net) => {
    const named = Object.entries(fields).map(([field, value]) => {
      return [field, /Group|Network|policyName/.test(field) && value !== "other" ? `${net}-${value}` : value];
    });
    return { policyName: `${net}-p`, direction, action, ...Object.fromEntries(named) };
  };
}

const everywhere = (...rules: readonly RuleIn[]) => rules.flatMap((each) => NETS.map((net) => each(net)));

async function add(...rules: readonly RuleSpec[]): Promise<void> {
  for (const each of rules) await admin.add(each);
  added.push(...rules);
}

async function remove(...rules: readonly RuleSpec[]): Promise<void> {
  for (const each of rules) await admin.remove(each);
  added = added.filter((each) => !rules.includes(each));
}

/** `client2 web1 tcp 8000`, in both networks. */
function cell(text: string): readonly CellSpec[] {
  const [from, to, protocol, port = "0"] = text.split(" ");
  return NETS.map((net) => ({
    ...{ from: pod(`${net}-${from}`), to: pod(`${net}-${to}`) },
    ...{ protocol: protocol as Target["protocol"], port: Number(port) },
  }));
}

function pod(name: string) {
  const found = pods.pods.get(name);
  if (found === undefined) throw new Error(`There is no pod ${name}`);
  return found;
}

async function watching(cells: readonly string[], act: (watched: WatchedCells) => Promise<void>): Promise<void> {
  using watched = watchCells(Object.fromEntries(cells.map((text) => [text, cell(text)])));
  await watched.expectAfter(async () => {}, Object.fromEntries(cells.map((text) => [text, true])));
  await act(watched);
  turns.push(...watched.turns);
  const sorted = watched.turns.map(({ effectMs }) => effectMs).sort((left, right) => left - right);
  const [median, worst] = [sorted[sorted.length >> 1], sorted.at(-1)].map((ms) => Math.round(ms ?? Number.NaN));
  console.log(`${sorted.length} turns after the answer of REST: median ${median} ms, worst ${worst} ms`);
  expect(sorted.length).toBeGreaterThan(0);
}

const closed = rule("in", "deny", { protocol: "tcp", priority: 1 });
const open = (port: number) => rule("in", "allow", { protocol: "tcp", port, priority: 100 });

describe("scenarios", () => {
  it("13: a port is open, the others are not; 14: another one opens and closes again and again", async () => {
    const [at8000, at8001] = ["client2 web1 tcp 8000", "client2 web1 tcp 8001"];
    const beside = "client1 web1 tcp 8001";
    await watching([at8000, at8001, beside], async ({ expectAfter }) => {
      await expectAfter(() => add(...everywhere(closed)), { [at8000]: false, [at8001]: false, [beside]: false });
      await expectAfter(() => add(...everywhere(open(8000))), { [at8000]: true });
      const more = everywhere(open(8001));
      for (let round = 0; round < 4; round += 1) {
        await expectAfter(() => add(...more), { [at8001]: true, [beside]: true });
        await expectAfter(() => remove(...more), { [at8001]: false, [beside]: false });
      }
    });
  });

  it("15: a port is open to a group alone", async () => {
    const [stranger, beside, friend] = ["client2 web1 tcp 8001", "client1 web1 tcp 8001", "common2 web1 tcp 8001"];
    await watching([stranger, beside, friend], async ({ expectAfter }) => {
      await expectAfter(() => add(...everywhere(closed)), { [stranger]: false, [beside]: false, [friend]: false });
      const fromCommon = rule("in", "allow", {
        protocol: "tcp",
        port: 8001,
        priority: 50,
        fromEndpointGroup: "common",
      });
      const rules = everywhere(fromCommon);
      await expectAfter(() => add(...rules), { [friend]: true });
      await expectAfter(() => remove(...rules), { [friend]: false });
    });
  });

  it.each(["in", "out"] as const)("16: each feature of %s-rules", { timeout: 240_000 }, async (direction) => {
    const ends = (peer: string) => (direction === "in" ? `${peer} web1` : `web1 ${peer}`);
    const names = ["tcp 8000", "tcp 8001", "udp 8000", "icmp"].map((what) => `${ends("client2")} ${what}`);
    const [http, other, udp, icmp] = names as [string, string, string, string];
    const common = `${ends("common2")} tcp 8000`;
    const side = direction === "in" ? "from" : "to";
    const none = { [http]: false, [other]: false, [udp]: false, [icmp]: false, [common]: false };
    const steps: readonly (readonly [Partial<RuleSpec>, readonly string[]])[] = [
      [{}, [http, other, udp, icmp, common]],
      [{ protocol: "tcp", port: 8000 }, [http, common]],
      [{ protocol: "tcp", [`${side}EndpointGroup`]: "common" }, [common]],
      [{ protocol: "udp" }, [udp]],
      [{ protocol: "icmp" }, [icmp]],
    ];
    await watching([...names, common], async ({ expectAfter }) => {
      await expectAfter(() => add(...everywhere(rule(direction, "deny"))), none);
      for (const [fields, passing] of steps) {
        const rules = everywhere(rule(direction, "allow", { ...fields, priority: 10 }));
        await expectAfter(() => add(...rules), Object.fromEntries(passing.map((name) => [name, true])));
        await expectAfter(() => remove(...rules), none);
      }
      const byNetwork = NETS.map((net) => {
        return { ...rule(direction, "allow", { priority: 10 })(net), [`${side}Network`]: net };
      });
      const all = { [http]: true, [other]: true, [udp]: true, [icmp]: true, [common]: true };
      await expectAfter(() => add(...byNetwork), all);
      const unrelated = everywhere(rule(direction, "deny", { [`${side}Network`]: "other", priority: 90 }));
      await expectAfter(() => add(...unrelated), {});
      await expectAfter(() => remove(...byNetwork), none);
      const byAddress = NETS.flatMap((net) => {
        const { ipv4, ipv6 } = pod(`${net}-common2`);
        const allow = rule(direction, "allow", { priority: 10, protocol: "tcp" })(net);
        return [ipv4, ipv6].map((address) => ({ ...allow, [`${side}IpAddress`]: address }));
      });
      await expectAfter(() => add(...byAddress), { [common]: true });
      await expectAfter(() => remove(...byAddress), { [common]: false });
      const icmpDenied = everywhere(rule(direction, "deny", { protocol: "icmp", priority: 20 }));
      const allAllowed = everywhere(rule(direction, "allow", { priority: 10 }));
      await expectAfter(() => add(...icmpDenied, ...allAllowed), { ...all, [icmp]: false });
      await expectAfter(() => remove(...icmpDenied), { [icmp]: true });
    });
  });

  it("16: two policies on two groups", async () => {
    const [toWeb, toClient] = ["client2 web1 tcp 8000", "web1 client2 tcp 8000"];
    await watching([toWeb, toClient], async ({ expectAfter }) => {
      await expectAfter(() => add(...everywhere(rule("in", "deny", { policyName: "q", protocol: "tcp" }))), {});
      await expectAfter(() => attachEverywhere("client", ["q"]), { [toClient]: false });
      await expectAfter(() => add(...everywhere(closed)), { [toWeb]: false });
      await expectAfter(() => attachEverywhere("web", []), { [toWeb]: true });
      await expectAfter(() => attachEverywhere("client", []), { [toClient]: true });
      await expectAfter(() => attachEverywhere("web", ["p"]), { [toWeb]: false });
    });
  });
});

/** Writes that have nothing to do with the connections; each one changes the flows of both nodes or of one. */
const UNRELATED_CHANGES = 500;
const GONE_MAX_MS = 1_000;

/** A connection from client2 to web1, seen from both ends. */
interface Talk {
  readonly name: string;
  readonly client: Streams;
  readonly server: Streams;
  /** Where to find it at either end. */
  readonly serverAddress: string;
  readonly clientAddress: string;
}

const endsOf = ({ client, server, serverAddress, clientAddress }: Talk) => [
  client.ends.get(serverAddress),
  server.ends.get(clientAddress),
];

function countsOf(talks: readonly Talk[]): readonly number[] {
  return talks.flatMap((talk) => endsOf(talk).map((each) => each?.received ?? 0));
}

async function untilAllHaveMore(talks: readonly Talk[], what: string): Promise<void> {
  const before = countsOf(talks);
  const deadlineMs = performance.now() + 15_000;
  while (!countsOf(talks).every((count, index) => count > (before[index] ?? 0) + 50)) {
    if (performance.now() > deadlineMs) {
      throw new Error(`${what}: ${JSON.stringify(talks.map((talk) => [talk.name, endsOf(talk)]))}`);
    }
    await sleep(20);
  }
}

describe("connections", () => {
  it("live through what does not concern them, and end with their rule", { timeout: 300_000 }, async () => {
    const opened: Streams[] = [];
    const { underlay } = world.cluster.layout;
    const rules = everywhere(closed, open(STREAM_PORT));
    await add(...rules);
    await admin.untilEnforced();
    const talks: Talk[] = [];
    try {
      for (const net of NETS) {
        const [web, client] = [pod(`${net}-web1`), pod(`${net}-client2`)];
        const server = await serveStreams(podNetns(underlay, web.name), STREAM_PORT);
        opened.push(server);
        for (const family of ["ipv4", "ipv6"] as const) {
          const stream = await openStream(podNetns(underlay, client.name), web[family], STREAM_PORT);
          opened.push(stream);
          const addresses = { serverAddress: web[family], clientAddress: client[family] };
          talks.push({ name: `${net} ${family}`, client: stream, server, ...addresses });
        }
      }
      await untilAllHaveMore(talks, "at first");
      await unrelatedChanges(talks);
      expectWhole(talks);
      await expectEnd(talks);
    } finally {
      for (const each of opened) await each[Symbol.asyncDispose]();
    }
  });

  async function unrelatedChanges(talks: readonly Talk[]): Promise<void> {
    const startMs = performance.now();
    const restarts = new Map([
      [100, () => world.restartNetplugin(1, "SIGTERM")],
      [200, () => world.restartNetplugin(2, "SIGKILL")],
      [300, () => world.restartNetplugin(1, "SIGKILL")],
      [400, () => world.restartNetplugin(2, "SIGTERM")],
    ]);
    let restarted: Promise<void> = Promise.resolve();
    const present: RuleSpec[] = [];
    for (let count = 0; count < UNRELATED_CHANGES; count += 1) {
      const restart = restarts.get(count);
      if (restart !== undefined) restarted = restarted.then(restart);
      const oldest = present.length > 20 ? present.shift() : undefined;
      if (oldest === undefined) present.push(await addUnrelated(count));
      else await remove(oldest);
      if (count % 50 === 49) await admin.untilEnforced();
    }
    await restarted;
    await admin.untilEnforced();
    await untilAllHaveMore(talks, "after the changes");
    await remove(...present);
    console.log(`${UNRELATED_CHANGES} changes and 4 restarts in ${Math.round(performance.now() - startMs)} ms`);
  }

  /** In the connections' own policies, about other ports, peers and directions. */
  async function addUnrelated(count: number): Promise<RuleSpec> {
    const net = NETS[count % 2] ?? "vx";
    const priority = 1 + (count % 100);
    const port = 9_000 + count;
    const choices = [
      rule("in", count % 4 < 2 ? "deny" : "allow", { protocol: "tcp", port, portEnd: port + 7, priority }),
      rule("in", "deny", { fromEndpointGroup: "common", protocol: "tcp", port, priority }),
      rule("out", "deny", { protocol: "udp", port, toEndpointGroup: "client", priority }),
      rule("in", "deny", { protocol: "udp", port, priority }),
    ];
    const chosen = choices[(count >> 1) % choices.length] ?? closed;
    await add(chosen(net));
    return added.at(-1) ?? chosen(net);
  }

  /** Not a byte is lost or wrong, and nobody has ended. */
  function expectWhole(talks: readonly Talk[]): void {
    for (const talk of talks) {
      for (const end of endsOf(talk)) expect(end, talk.name).toMatchObject({ wrong: 0, ended: null });
    }
  }

  async function expectEnd(talks: readonly Talk[]): Promise<void> {
    await untilAllHaveMore(talks, "before the end");
    await remove(...added.filter(({ port }) => port === STREAM_PORT));
    const answeredNs = monotonicNs();
    await sleep(3 * GONE_MAX_MS);
    for (const talk of talks) {
      for (const end of endsOf(talk)) {
        const lastMs = ((end?.lastNs ?? Number.NaN) - answeredNs) / 1e6;
        expect(lastMs, `${talk.name}: the last byte, after the answer`).toBeLessThan(GONE_MAX_MS);
      }
    }
    const before = countsOf(talks);
    await sleep(500);
    expect(countsOf(talks)).toEqual(before);
  }
});
