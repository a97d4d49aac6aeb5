import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { listConnections, type TrackedConnection } from "../../../drivers/ovs/conntrack.ts";
import { connectSwitch } from "../../../drivers/ovs/openflow/connection.ts";
import { connectUnixctl } from "../../../drivers/ovs/unixctl.ts";
import { atOnce } from "../../../state/policy/steps.ts";
import { type FlowLab, startFlowLab } from "../../../test/fakes/flow-lab.ts";
import { ask, keepTalking, type LongTalk, serveEchoes } from "../../../test/fakes/talk.ts";
import { machineOf, worldView } from "../../../test/fakes/world.ts";
import { connectionJudge } from "../connections/judge.ts";

/**
 * Real packets through the policy flows of two nodes: clients c (n1) and c2 (n2), servers s (n1) and s2 (n2), and f (n1) without
 * group. Clients take no connections; servers take TCP 80, UDP 53 and pings.
 */
const RULES = `
  rule t1:client:closed in deny
  rule t1:server:closed in deny
  rule t1:server:web in allow protocol tcp port 80 priority 10
  rule t1:server:dns in allow protocol udp ports 53,55 priority 10
  rule t1:server:ping in allow protocol icmp priority 10
`;
const WITHOUT_WEB = RULES.replace(/.*server:web.*\n/, "");
const PORTS = [80, 81, 53, 54];

function world(encap: string, rules = RULES): string {
  return `
    mode bridge proxy
    node n1 192.168.50.1
    node n2 192.168.50.2
    network t1:blue ${encap} 100 10.1.1.0/24 ipv6 2001:db8:1::/64
    group t1:g7 t1:blue client
    group t1:g8 t1:blue server
    policy t1:client
    policy t1:server
    endpoint c t1:blue n1 10.1.1.1 2001:db8:1::1 group 7
    endpoint s t1:blue n1 10.1.1.2 2001:db8:1::2 group 8
    endpoint f t1:blue n1 10.1.1.3 2001:db8:1::3
    endpoint c2 t1:blue n2 10.1.1.11 2001:db8:1::11 group 7
    endpoint s2 t1:blue n2 10.1.1.12 2001:db8:1::12 group 8
    ${rules}
  `;
}

const ADDRESSES: Readonly<Record<string, readonly string[]>> = {
  c: ["10.1.1.1", "2001:db8:1::1"],
  s: ["10.1.1.2", "2001:db8:1::2"],
  s2: ["10.1.1.12", "2001:db8:1::12"],
};
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe.each(["vxlan", "vlan"])("%s", (encap) => {
  let lab: FlowLab;
  const servers: AsyncDisposable[] = [];

  beforeAll(async () => {
    lab = await startFlowLab(world(encap));
    await lab.load(world(encap));
    for (const pod of ["c", "s", "s2", "f", "c2"]) await settled(pod);
    for (const pod of ["c", "s", "s2", "f"]) servers.push(await serveEchoes(lab.netnsOf(pod), PORTS));
    expect(await lab.reaches("f", "10.1.1.12")).toBe(true);
  });

  afterAll(async () => {
    for (const server of servers) await server[Symbol.asyncDispose]();
    await lab?.[Symbol.asyncDispose]();
  });

  beforeEach(() => lab.load(world(encap)));

  /** Until duplicate address detection is over, a pod speaks from its link-local address only. */
  async function settled(pod: string): Promise<void> {
    const until = performance.now() + 10_000;
    while ((await lab.exec(pod, "ip", "-6", "address", "show", "tentative")).stdout.includes("inet6")) {
      if (performance.now() > until) throw new Error(`The addresses of ${pod} stay tentative`);
      await pause(50);
    }
  }

  async function asked(from: string, to: string, what: string): Promise<string[]> {
    const [protocol, port, size] = what.split(" ");
    const questions = (ADDRESSES[to] ?? []).map((host) => {
      return { protocol: protocol as "tcp" | "udp", host, port: Number(port), sizeBytes: Number(size ?? 5) };
    });
    return Promise.all(questions.map((question) => ask(lab.netnsOf(from), question)));
  }

  it.each(["s", "s2"])("allows to %s what its rules allow, in both families, and nothing else", async (server) => {
    expect(await asked("c", server, "tcp 80")).toEqual(["echo", "echo"]);
    expect(await asked("f", server, "udp 53")).toEqual(["echo", "echo"]);
    expect(await asked("c", server, "tcp 81")).toEqual(["silent", "silent"]);
    expect(await asked("f", server, "udp 54")).toEqual(["silent", "silent"]);
    expect(await asked(server, "c", "tcp 80")).toEqual(["silent", "silent"]);
    for (const address of ADDRESSES[server] ?? []) expect(await lab.reaches("c", address)).toBe(true);
    const home = server === "s" ? "n1" : "n2";
    expect(await lab.node(home).appctl("dpctl/dump-conntrack")).not.toMatch(/dport=(81|54)\b/);
  });

  it.each(["s", "s2"])("carries fragments to %s where all that they may be is allowed", async (server) => {
    expect(await asked("f", server, "udp 53 6000")).toEqual(["silent", "silent"]);
    await lab.load(world(encap, `${RULES}rule t1:server:udp in allow protocol udp priority 20`));
    expect(await asked("f", server, "udp 53 6000")).toEqual(["echo", "silent"]);
    expect(await asked("c", server, "udp 53 6000")).toEqual(["silent", "silent"]); // its own rules deny the answer's
    const open = `${RULES}rule t1:server:udp in allow protocol udp priority 20\nrule t1:server:frag in allow protocol 44 priority 20`;
    await lab.load(world(encap, open));
    expect(await asked("f", server, "udp 53 6000")).toEqual(["echo", "echo"]);
    const home = lab.node(server === "s" ? "n1" : "n2");
    expect(await home.appctl("dpctl/ipf-get-status")).toMatch(/v4 frags accepted: 0\b.*v6 frags accepted: 0\b/s);
  });

  it.each(["s", "s2"])("lets the ICMP errors of an allowed connection to %s back in", async (server) => {
    expect(await asked("c", server, "udp 55")).toEqual(["refused", "refused"]);
  });

  it.each(["s", "s2"])(
    "ends a connection to %s when its rule goes, and lets it go on when it is back",
    async (server) => {
      const talks = await Promise.all((ADDRESSES[server] ?? []).map((host) => keepTalking(lab.netnsOf("c"), host, 80)));
      await pause(300);
      await lab.load(world(encap, WITHOUT_WEB));
      await pause(300);
      const stoppedAt = talks.map(({ numbers }) => numbers.length);
      await pause(1_000);
      expect(talks.map(({ numbers }) => numbers.length)).toEqual(stoppedAt);
      await lab.load(world(encap));
      for (const [index, talk] of talks.entries()) await goesOn(talk, stoppedAt[index] ?? 0);
      for (const talk of talks) await talk[Symbol.asyncDispose]();
    },
  );

  /** Everything that was held up arrives, in order. */
  async function goesOn({ numbers }: LongTalk, from: number): Promise<void> {
    const until = performance.now() + 10_000;
    while (numbers.length < from + 100 && performance.now() < until) await pause(50);
    expect(numbers.length).toBeGreaterThanOrEqual(from + 100);
    expect(numbers).toEqual(numbers.map((_, index) => index + 1));
  }

  it("carries on through rule changes beside it", async () => {
    await using talk = await keepTalking(lab.netnsOf("c"), "10.1.1.12", 80);
    for (let round = 0; round < 10; round += 1) {
      const other = `rule t1:server:other in allow protocol tcp port ${1_000 + round} priority ${1 + round}`;
      await lab.load(world(encap, round % 2 === 0 ? `${RULES}${other}` : RULES));
    }
    await goesOn(talk, talk.numbers.length);
  });

  it("finds and forgets what a silent sender began and the rules deny by now", async () => {
    const [node, view] = [lab.node("n1"), worldView(world(encap, RULES.replace(/.*server:dns.*\n/, "")))];
    await using control = await connectUnixctl(join(node.runDirectory, "vswitchd.ctl"));
    await using connection = await connectSwitch(join(node.runDirectory, "contiv-int.mgmt"));
    await connection.ctFlush({}); // what earlier tests began
    expect(await asked("c", "s", "udp 53")).toEqual(["echo", "echo"]);
    const dns = (all: readonly TrackedConnection[]) => all.filter(({ orig }) => orig.dstPort === 53);
    const before = await listConnections(control, { zone: 11 });
    const none = { moved: new Set<string>(), departed: new Set<string>(), causes: new Set<string>() };
    const selector = { all: true, rules: [], ...none, isUrgent: true };
    const judge = connectionJudge({ view, machine: machineOf("n1", {}) }, selector);
    const denied = atOnce(judge.judge(before)).map(({ filter }) => filter);
    expect(denied.map(({ orig }) => orig)).toEqual(dns(before).map(({ orig }) => orig));
    await connection.ctFlush(denied);
    const after = await listConnections(control, { zone: 11 });
    expect(dns(after)).toEqual([]);
    expect(after.filter(({ ipProto }) => ipProto === 6).length).toBe(
      before.filter(({ ipProto }) => ipProto === 6).length,
    );
  });

  it("judges a connection that is older than the policies in both directions", async () => {
    const before = world(encap, RULES).replace("t1:blue server", "t1:blue").replace("t1:blue client", "t1:blue");
    await lab.load(before);
    await using talk = await keepTalking(lab.netnsOf("f"), "10.1.1.12", 80);
    await using doomed = await keepTalking(lab.netnsOf("f"), "10.1.1.12", 81);
    await lab.load(world(encap));
    await pause(300);
    const stoppedAt = doomed.numbers.length;
    await goesOn(talk, talk.numbers.length);
    expect(doomed.numbers.length).toBe(stoppedAt);
  });
});
