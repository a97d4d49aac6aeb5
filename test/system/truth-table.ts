import { setTimeout as sleep } from "node:timers/promises";
import { inNetns, run } from "../../deploy/cluster/exec.ts";
import { podNetns } from "../../deploy/cluster/underlay.ts";
import { IpProtocol } from "../../state/policy/protocol.ts";
import { verdict } from "../../state/policy/verdict.ts";
import type { PolicyWorld } from "../../state/policy/world.ts";
import { worldOfRecords } from "../fakes/policy-world.ts";
import { type Prober, startProber } from "../fakes/prober.ts";
import { dumpStore } from "./store-dump.ts";
import { eventually, type TestCluster } from "./test-cluster.ts";

/** A pod of a truth table, with the process in it that asks and answers. */
export interface TablePod {
  readonly name: string;
  readonly group: string;
  readonly networkKey: string;
  readonly ipv4: string;
  readonly ipv6: string;
  readonly prober: Prober;
}

/** What one pod may ask of another, in one family, on one port. */
interface Cell {
  readonly from: TablePod;
  readonly to: TablePod;
  readonly family: 4 | 6;
  readonly protocol: "tcp" | "udp";
  readonly port: number;
}

export interface TruthTable extends AsyncDisposable {
  readonly pods: ReadonlyMap<string, TablePod>;
  readonly cellCount: number;
  /** Cells, with real packets, against the evaluator on what the store holds; each one that differs is a sentence. */
  differences(choice?: Choice): Promise<readonly string[]>;
}

export interface Choice {
  /** "kept": UDP from the same port as ever, which the switch may take for a connection that it knows. */
  readonly source?: "fresh" | "kept";
  /** Only cells to this group. */
  readonly toGroup?: string;
}

export interface TruthTableOptions {
  readonly pods: readonly PodSpec[];
  readonly ports: readonly number[];
}

export interface PodSpec {
  readonly name: string;
  readonly node: number;
  readonly tenant: string;
  readonly network: string;
  readonly group: string;
}

/** A probe whose answer is expected is sent again after so long: the first packets of a connection may be lost to a busy switch. */
const RETRY_MS = 250;
/** An answer that is expected and has not come by then will not come. */
const PATIENCE_MS = 10_000;
/** What is denied is waited for as long again as what is allowed took, within these bounds. */
const SILENCE_MIN_MS = 60;
const SILENCE_MAX_MS = 300;

export async function openTruthTable(world: TestCluster, options: TruthTableOptions): Promise<TruthTable> {
  const pods = await addPods(world, options);
  const cells = cellsOf([...pods.values()], options.ports);
  const denied = new Set<string>();
  let round = 0;
  return {
    pods,
    cellCount: cells.length,
    differences: async ({ source = "fresh", toGroup } = {}) => {
      round += 1;
      const chosen = cells.filter(({ to }) => toGroup === undefined || to.group === toGroup);
      const meaning = await storedWorld(world);
      const table = new Map(chosen.map((cell, index) => [`${round}.${index}`, cell]));
      const wanted = new Set([...table].filter(([, cell]) => isAllowed(meaning, cell)).map(([id]) => id));
      const measured = await measure([...pods.values()], { table, wanted, source });
      const late = [...measured.heard]
        .filter((id) => denied.has(id))
        .map((id) => `${id} of an earlier table came late`);
      for (const id of table.keys()) if (!wanted.has(id)) denied.add(id);
      return [...late, ...compare(table, wanted, measured)];
    },
    [Symbol.asyncDispose]: async () => {
      for (const { prober } of pods.values()) await prober[Symbol.asyncDispose]();
    },
  };
}

async function addPods(world: TestCluster, { pods, ports }: TruthTableOptions): Promise<Map<string, TablePod>> {
  const { underlay } = world.cluster.layout;
  const table = new Map<string, TablePod>();
  for (const { name, node, ...placement } of pods) {
    const { ips } = await world.addPod(name, node, placement);
    const [ipv4 = "", ipv6 = ""] = ips.map(({ address }) => address.split("/")[0] ?? "");
    const prober = await startProber(podNetns(underlay, name), ports);
    table.set(name, {
      name,
      group: placement.group,
      networkKey: `${placement.tenant}:${placement.network}`,
      ipv4,
      ipv6,
      prober,
    });
  }
  for (const name of table.keys()) {
    const tentative = inNetns(podNetns(underlay, name), ["ip", "-6", "address", "show", "tentative"]);
    const isSettled = ({ stdout }: { stdout: string }) => !stdout.includes("inet6");
    await eventually(`addresses of ${name}`, () => run(tentative), isSettled);
  }
  return table;
}

function cellsOf(pods: readonly TablePod[], ports: readonly number[]): readonly Cell[] {
  const pairs = pods.flatMap((from) => pods.filter((to) => to !== from).map((to) => ({ from, to })));
  return pairs.flatMap((pair) =>
    ports.flatMap((port) =>
      ([4, 6] as const).flatMap((family) =>
        (["tcp", "udp"] as const).map((protocol) => ({ ...pair, family, protocol, port })),
      ),
    ),
  );
}

/** What etcd holds, as the evaluator asks for it. */
async function storedWorld({ cluster: { layout } }: TestCluster): Promise<PolicyWorld> {
  const store = await dumpStore(layout);
  return worldOfRecords({
    isRouting: store.records("global")[0]?.config.fwdMode === "routing",
    networks: store.records("network"),
    groups: store.records("endpointGroup"),
    endpoints: store.records("endpoint"),
    rules: store.records("rule"),
  });
}

const hostOf = (pod: TablePod, family: 4 | 6) => (family === 4 ? pod.ipv4 : pod.ipv6);

function isAllowed(meaning: PolicyWorld, { from, to, family, protocol, port }: Cell): boolean {
  const [source, destination] = [hostOf(from, family), hostOf(to, family)];
  const packet = { networkKey: from.networkKey, family, source, destination, protocol: IpProtocol[protocol], port };
  return verdict(meaning, packet).allowed;
}

interface Measurement {
  readonly table: ReadonlyMap<string, Cell>;
  /** Cells whose answers are waited for. */
  readonly wanted: ReadonlySet<string>;
  readonly source: "fresh" | "kept";
}

interface Measured {
  readonly answered: ReadonlySet<string>;
  /** What has arrived, answered or not. */
  readonly heard: ReadonlySet<string>;
}

async function measure(pods: readonly TablePod[], { table, wanted, source }: Measurement): Promise<Measured> {
  const startMs = performance.now();
  const isAnswered = (id: string) => table.get(id)?.from.prober.answered.has(id) === true;
  let missing: readonly string[] = [...table.keys()];
  for (let attempt = 0; missing.length > 0 && performance.now() < startMs + PATIENCE_MS; attempt += 1) {
    for (const pod of pods) pod.prober.ask(probesOf(pod, missing, table), attempt === 0 ? source : "fresh");
    missing = [...wanted];
    const retryMs = performance.now() + RETRY_MS;
    while (missing.length > 0 && performance.now() < retryMs) {
      await sleep(5);
      missing = missing.filter((id) => !isAnswered(id));
    }
  }
  await sleep(Math.min(Math.max(performance.now() - startMs, SILENCE_MIN_MS), SILENCE_MAX_MS));
  const answered = new Set([...table.keys()].filter(isAnswered));
  const heard = new Set((await Promise.all(pods.map(({ prober }) => prober.end()))).flat());
  return { answered, heard };
}

function probesOf(pod: TablePod, ids: readonly string[], table: Measurement["table"]) {
  return ids.flatMap((id) => {
    const cell = table.get(id);
    if (cell?.from !== pod) return [];
    return { id, protocol: cell.protocol, host: hostOf(cell.to, cell.family), port: cell.port };
  });
}

function compare(
  table: Measurement["table"],
  wanted: ReadonlySet<string>,
  { answered, heard }: Measured,
): readonly string[] {
  const found: string[] = [];
  for (const [id, { from, to, family, protocol, port }] of table) {
    const what = `${from.name} → ${to.name} ${protocol} ${port} IPv${family}`;
    const got = answered.has(id) ? "allowed" : heard.has(id) ? "arrived, without an answer" : "denied";
    const expected = wanted.has(id) ? "allowed" : "denied";
    if (got !== expected) found.push(`${what}: expected ${expected}, got ${got}`);
  }
  return found;
}
