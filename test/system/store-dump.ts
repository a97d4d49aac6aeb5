import { type ClusterLayout, etcdName } from "../../deploy/cluster/components.ts";
import { daemonPid } from "../../deploy/cluster/daemon.ts";
import { inNetns, run } from "../../deploy/cluster/exec.ts";
import { controlNetns } from "../../deploy/cluster/underlay.ts";
import { formatAddress } from "../../state/address.ts";
import {
  addressClaimKey,
  CLAIMS,
  LEADER_KEY,
  MARK_KEY,
  NETMASTERS,
  numberClaimKey,
  parseObjectKey,
  ROOT,
} from "../../state/keys.ts";
import type { NetworkRecord } from "../../state/kinds/network.ts";
import { networkRanges } from "../../state/network-ranges.ts";
import { KINDS, type Kind, RECORDS, type RecordOf } from "../../state/records.ts";

/** What etcd holds of a cluster, read past netmaster with etcdctl. */
export interface StoreDump {
  records<K extends Kind>(kind: K): readonly RecordOf<K>[];
  /** Store key of a claim → its owner. */
  readonly claims: ReadonlyMap<string, string>;
  /** Keys below our prefix that nothing explains, and values that no schema takes. */
  readonly oddities: readonly string[];
}

/** Keys that are neither objects nor claims: election, who runs, barrier, marks of commits in flight. */
const BOOKKEEPING = [LEADER_KEY, NETMASTERS, MARK_KEY, `${ROOT}requests/`];

export async function dumpStore(layout: ClusterLayout): Promise<StoreDump> {
  const tables = new Map<Kind, RecordOf<Kind>[]>(KINDS.map((kind) => [kind, []]));
  const claims = new Map<string, string>();
  const oddities: string[] = [];
  for (const { key, value } of await readAll(layout)) {
    if (key.startsWith(CLAIMS)) claims.set(key, value);
    else if (!BOOKKEEPING.some((prefix) => key.startsWith(prefix))) readObject(tables, oddities, { key, value });
  }
  return { claims, oddities, records: <K extends Kind>(kind: K) => (tables.get(kind) ?? []) as RecordOf<K>[] };
}

interface Pair {
  readonly key: string;
  readonly value: string;
}

function readObject(tables: Map<Kind, RecordOf<Kind>[]>, oddities: string[], { key, value }: Pair): void {
  try {
    const place = parseObjectKey(key);
    const record = RECORDS[place.kind].parse(JSON.parse(value)) as RecordOf<Kind>;
    if (record.key !== place.key) oddities.push(`${key} holds the record of ${record.key}`);
    tables.get(place.kind)?.push(record);
  } catch (error) {
    oddities.push(`${key}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

async function readAll(layout: ClusterLayout): Promise<readonly Pair[]> {
  const urls = Array.from({ length: layout.etcdMembers }, (_, index) => index + 1)
    .filter((member) => daemonPid(layout.home, etcdName(member)) !== undefined)
    .map((member) => `http://127.0.0.1:${2379 + (member - 1) * 10}`);
  const argv = ["etcdctl", "--endpoints", urls.join(","), "get", ROOT, "--prefix", "-w", "json"];
  const env = { ...process.env, ETCDCTL_API: "3" };
  const { stdout } = await run(inNetns(controlNetns(layout.underlay), argv), { env });
  const { kvs = [] } = JSON.parse(stdout) as { kvs?: { key: string; value?: string }[] };
  const text = (base64 = "") => Buffer.from(base64, "base64").toString("utf8");
  return kvs.map(({ key, value }) => ({ key: text(key), value: text(value) }));
}

/** The claims that the objects of a dump should have: store key → owner. */
export function expectedClaims(dump: StoreDump): ReadonlyMap<string, string> {
  const expected = new Map<string, string>();
  for (const tenant of dump.records("tenant")) {
    expected.set(numberClaimKey("tenant-id", tenant.tenantId), `tenant/${tenant.key}`);
  }
  for (const group of dump.records("endpointGroup")) {
    expected.set(numberClaimKey("group-id", group.groupId), `endpointGroup/${group.key}`);
  }
  for (const network of dump.records("network")) {
    for (const key of networkClaims(network)) expected.set(key, `network/${network.key}`);
  }
  for (const { key, networkId, ipv4, ipv6 } of dump.records("endpoint")) {
    for (const ip of [ipv4, ipv6])
      if (ip !== undefined) expected.set(addressClaimKey(networkId, ip), `endpoint/${key}`);
  }
  for (const { key, networkId, ip } of dump.records("address")) {
    expected.set(addressClaimKey(networkId, ip), `address/${key}`);
  }
  return expected;
}

function networkClaims({ networkId, tag, config }: NetworkRecord): readonly string[] {
  const { ipv4, ipv6 } = networkRanges(config);
  const gateways = [ipv4, ipv6].flatMap((ranges) =>
    ranges?.gateway === undefined ? [] : [formatAddress(ranges.subnet.family, ranges.gateway)],
  );
  return [
    numberClaimKey("network-id", networkId),
    numberClaimKey(config.encap === "vlan" ? "vlan" : "vni", tag),
    ...gateways.map((ip) => addressClaimKey(networkId, ip)),
  ];
}
