import { pino } from "pino";
import { beforeEach, describe, expect, it } from "vitest";
import type { SwitchPort } from "../../../drivers/ovs/types.ts";
import { NetError } from "../../../state/errors.ts";
import type { EndpointReply } from "../../../state/node-api.ts";
import { worldMessages } from "../../../test/fakes/world.ts";
import { compareLeases } from "../../desired/leases.ts";
import { type Attachment, attachmentMarks, INFRA_ROLE, POD_ROLE } from "../../machine/attachment.ts";
import { markedLease, markOf } from "../../machine/lease-mark.ts";
import { attachmentsOf } from "../../machine/testing.ts";
import type { PutMessage } from "../../view/messages.ts";
import { createViewHolder, type ViewHolder } from "../../view/view-holder.ts";
import { KnownLeases } from "./known-leases.ts";
import { LeaseMarks } from "./lease-marks.ts";
import { LeaseOffers } from "./lease-offers.ts";

/** The switch's database, which outlives the agent. */
let ports: Map<string, SwitchPort>;
/** How many ports each transaction marks. */
let written: number[];
let closing: Set<string>;
let offered: string[];
let logged: Record<string, unknown>[];
let onWrite: () => Promise<unknown>;
let agent: ReturnType<typeof startAgent>;
const GIVEN = { ipv4: { address: "10.1.1.1/24" as const, gateway: "10.1.1.254" }, mtuBytes: 1400 };
const log = pino({}, { write: (line: string) => void logged.push(JSON.parse(line)) });
const signal = () => AbortSignal.timeout(10_000);

beforeEach(() => {
  [ports, written, closing, offered, logged] = [new Map(), [], new Set(), [], []];
  onWrite = async () => undefined;
  agent = startAgent();
});

/** What an agent has in memory, as it is when it has just been started. */
function startAgent() {
  const holder = createViewHolder();
  const known = new KnownLeases({ nodeName: "n1", holder, marksOf: (name) => ports.get(name)?.externalIds ?? {} });
  const attachments = () => attachmentsOf(new Map([...ports].filter(([name]) => !closing.has(name))));
  const marks = new LeaseMarks({ ports: () => ports, known, attachments, write, log });
  const client = {
    offerEndpoint: async ({ endpoint }: { endpoint: { key: string } }) => {
      offered.push(endpoint.key);
      throw new NetError("UNAVAILABLE", "netmaster is away");
    },
  };
  const offers = new LeaseOffers({ holder, client, known, log: pino({ level: "silent" }) });
  return { holder, known, marks, offers, attachments };
}

async function write(marks: ReadonlyMap<string, Readonly<Record<string, string>>>) {
  await onWrite();
  written.push(marks.size);
  for (const [name, externalIds] of marks) ports.set(name, { ...(ports.get(name) as SwitchPort), externalIds });
  return new Map();
}

function puts(keys: readonly string[], revision: bigint): readonly PutMessage[] {
  const lines = keys.map(
    (key) => `endpoint ${key} t:a n1 10.1.${1 + (Number(key) >> 7)}.${1 + (Number(key) & 127)} epoch x`,
  );
  return worldMessages(["network t:a vxlan 1 10.1.0.0/16", ...lines].join("\n")).flatMap((message) =>
    message.type === "put" ? [{ ...message, modRevision: revision }] : [],
  );
}

/** The store of that epoch shows these leases, and no others. */
function list(holder: ViewHolder, epoch: string | undefined, keys: readonly string[], revision = 10n): void {
  holder.beginStream(epoch);
  holder.applyMessages([...puts(keys, revision), { type: "synced", revision }]);
}

/** A port as an ADD in that epoch has marked it; with none, one that was plugged in again. */
function plug(key: string, storeEpoch?: string, role: Attachment["role"] = POD_ROLE): void {
  const names = { containerId: key, ifName: "eth0", configName: "", netnsPath: "" };
  const endpoint = puts([key], 1n).at(-1)?.record as EndpointReply["endpoint"];
  const lease = storeEpoch === undefined ? {} : markOf({ storeEpoch, endpoint, given: GIVEN });
  const externalIds = {
    ...attachmentMarks({ endpointKey: key, epoch: "x", role, ...names }),
    mine: "not ours",
    ...lease,
  };
  const rest = { ofport: 1, error: undefined, policing: undefined };
  ports.set(`port-${key}`, { name: `port-${key}`, externalIds, ...rest });
}

function markedEpoch(key: string): string | undefined {
  return markedLease(ports.get(`port-${key}`)?.externalIds ?? {})?.storeEpoch;
}

/** The keys of those whose leases have ended on purpose; the others are offered. */
async function compare({ holder, offers, attachments }: typeof agent): Promise<readonly string[]> {
  const differences = compareLeases({
    ...{ view: holder.view(), nodeName: "n1" },
    ...{ attachments: attachments(), pending: new Set<string>() },
  });
  return (await offers.settle(differences, signal())).map(({ endpointKey }) => endpointKey);
}

const many = (count: number) => Array.from({ length: count }, (_, index) => String(index));

describe("marks of ports", () => {
  it("follow the epoch of a store that has their leases; what it lacks keeps its own, and all else that stands there stays", async () => {
    for (const key of ["1", "2"]) plug(key, "1-a");
    list(agent.holder, "2-b", ["1"]);
    await agent.marks.follow(signal());
    expect([markedEpoch("1"), markedEpoch("2"), written]).toEqual(["2-b", "1-a", [1]]);
    const { externalIds = {} } = ports.get("port-1") ?? {};
    expect(externalIds).toMatchObject({ mine: "not ours", "contiv-endpoint": "1", "contiv-epoch": "x" });
    expect(markedLease(externalIds)).toMatchObject({ endpoint: { key: "1", networkName: "a" }, given: GIVEN });
    await agent.marks.follow(signal());
    expect(written).toEqual([1]);
  });

  it("are written for ports that were plugged in again without, and once the store has taken a lease back", async () => {
    plug("1");
    plug("2", "1-a");
    list(agent.holder, "2-b", ["1"]);
    agent.holder.applyMessages([...puts(["2"], 11n), { type: "bookmark", revision: 11n }]);
    await agent.marks.follow(signal());
    expect([markedEpoch("1"), markedEpoch("2")]).toEqual(["2-b", "2-b"]);
  });

  it("stay where the port is being closed, is another's, or the node's own, and where the store names no epoch", async () => {
    plug("1", "1-a");
    plug("2", "1-a", INFRA_ROLE);
    plug("3", "1-a");
    closing.add("port-1");
    list(agent.holder, undefined, ["1", "2", "3"]);
    await agent.marks.follow(signal());
    const others = attachmentsOf(new Map([...ports].map(([name, port]) => [name, { ...port }])));
    list(agent.holder, "2-b", ["1", "2", "3"], 20n);
    const { externalIds, ...rest } = ports.get("port-3") as SwitchPort;
    ports.set("port-3", { ...rest, externalIds: { ...externalIds, "contiv-epoch": "y" } });
    const attachments = () => new Map([...others].filter(([key]) => key !== "1"));
    await new LeaseMarks({ ports: () => ports, known: agent.known, attachments, write, log }).follow(signal());
    expect(written).toEqual([]);
  });

  it("are written in batches, from what is there when a batch's turn comes", async () => {
    for (const key of many(250)) plug(key, "1-a");
    list(agent.holder, "2-b", many(250));
    onWrite = async () => {
      for (const key of ["150", "151"]) closing.add(`port-${key}`);
    };
    await agent.marks.follow(signal());
    expect([written, markedEpoch("150"), markedEpoch("249")]).toEqual([[100, 98, 50], "1-a", "2-b"]);
  });

  it("that the switch refuses are told, and are written with the next call", async () => {
    for (const key of many(150)) plug(key, "1-a");
    list(agent.holder, "2-b", many(150));
    onWrite = async () => {
      if (written.length === 1) throw new NetError("UNAVAILABLE", "no switch");
    };
    await agent.marks.follow(signal());
    expect([written, logged]).toMatchObject([[100], [{ level: 40, error: "no switch" }]]);
    onWrite = async () => undefined;
    await agent.marks.follow(signal());
    expect([written, logged.length]).toEqual([[100, 50], 1]);
  });

  it("are not waited for when the switch does not answer, and are not written twice when it does", async () => {
    plug("1", "1-a");
    list(agent.holder, "2-b", ["1"]);
    let answer = () => {};
    const answered = new Promise<void>((resolve) => {
      answer = resolve;
    });
    onWrite = () => answered;
    await agent.marks.follow(signal());
    await expect(agent.marks.follow(AbortSignal.abort(new Error("ends")))).rejects.toThrow();
    answer();
    await agent.marks.follow(signal());
    expect([written, markedEpoch("1")]).toEqual([[1], "2-b"]);
  });
});

describe("a lease that the store lacks when the agent is started", () => {
  it("was ended on purpose where the epoch has been settled before, though the pod is of an earlier one", async () => {
    plug("1", "1-a");
    list(agent.holder, "2-b", ["1"]);
    await agent.marks.follow(signal());
    agent = startAgent();
    list(agent.holder, "2-b", []);
    expect([await compare(agent), offered]).toEqual([["1"], []]);
  });

  it("is offered where the agent was killed before it had marked the port, or the epoch has changed once more", async () => {
    plug("1", "1-a");
    list(agent.holder, "2-b", ["1"]);
    agent = startAgent();
    list(agent.holder, "2-b", []);
    expect([await compare(agent), offered]).toEqual([[], ["1"]]);
    list(agent.holder, "2-b", ["1"], 20n);
    await agent.marks.follow(signal());
    agent = startAgent();
    list(agent.holder, "3-c", []);
    expect([await compare(agent), offered]).toEqual([[], ["1", "1"]]);
  });

  it("is offered again after each start where it has been refused in this epoch", async () => {
    plug("1", "1-a");
    for (let start = 0; start < 2; start += 1) {
      agent = startAgent();
      list(agent.holder, "2-b", []);
      expect(await compare(agent)).toEqual([]);
      await agent.marks.follow(signal());
    }
    expect([offered, written]).toEqual([["1", "1"], []]);
  });
});
