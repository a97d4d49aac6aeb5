import { objectKey } from "../../state/keys.ts";
import { GLOBAL_DEFAULTS, type Global } from "../../state/kinds/global.ts";
import { type Kind, RECORDS, type RecordOf } from "../../state/records.ts";
import { applyChanges, emptyView, type FrozenView } from "./cluster-view.ts";
import type { ObjectChange } from "./types.ts";

/** One object of a test's world. */
export type WorldObject = { [K in Kind]: { readonly kind: K; readonly record: RecordOf<K> } }[Kind];

const CREATED_AT = "2026-01-01T00:00:00.000Z";

function object<K extends Kind>(kind: K, record: unknown): WorldObject {
  return { kind, record: RECORDS[kind].parse(record) } as WorldObject;
}

type Words = readonly string[];

/** How the lines of a world are read, by their first word. */
const READERS: Readonly<Record<string, (words: Words, index: number) => WorldObject>> = {
  global: ([fwdMode]) =>
    object("global", { key: "global", config: { ...GLOBAL_DEFAULTS, fwdMode: fwdMode as Global["fwdMode"] } }),
  tenant: ([name], index) => object("tenant", { key: name, tenantId: index + 1, config: { tenantName: name } }),
  network: ([key = "", subnet], index) => {
    const [tenantName, networkName] = key.split(":");
    const config = { networkName, tenantName, encap: "vxlan", subnet: subnet ?? `10.${index}.0.0/16` };
    return object("network", { key, networkId: networkIdOf(key), tenantId: 1, tag: networkIdOf(key), config });
  },
  group: ([key = "", networkName, ...more], index) => {
    const [tenantName, groupName] = key.split(":");
    const policies = more.filter((word) => word.startsWith("policy=")).map((word) => word.slice(7));
    const netProfile = more.find((word) => word.startsWith("profile="))?.slice(8) ?? "";
    const ipPool = more.find((word) => word.startsWith("pool="))?.slice(5) ?? "";
    const config = { groupName, tenantName, networkName, policies, netProfile, ipPool };
    return object("endpointGroup", { key, groupId: index + 1, config });
  },
  policy: ([key = ""]) => {
    const [tenantName, policyName] = key.split(":");
    return object("policy", { key, config: { tenantName, policyName } });
  },
  rule: ([key = "", ...more]) => {
    const [tenantName, policyName, ruleId] = key.split(":");
    const from = more.find((word) => word.startsWith("from="))?.slice(5) ?? "";
    const network = more.find((word) => word.startsWith("network="))?.slice(8) ?? "";
    const what = { direction: "in", action: "allow", fromEndpointGroup: from, fromNetwork: network };
    return object("rule", { key, config: { tenantName, policyName, ruleId, ...what } });
  },
  profile: ([key = ""]) => {
    const [tenantName, profileName] = key.split(":");
    return object("netprofile", { key, config: { tenantName, profileName } });
  },
  node: ([name], index) =>
    object("node", { key: name, state: "ready", stateSince: CREATED_AT, registration: registrationOf(name, index) }),
  endpoint: ([id = "", networkKey = "", nodeName, groupName = ""], index) => {
    const [tenantName, networkName] = networkKey.split(":");
    const host = `${(index >> 8) & 255}.${index & 255}`;
    const names = { key: id, epoch: `e-${id}`, endpointId: id, containerId: id, ifName: "eth0", nodeName };
    const place = {
      tenantName,
      networkName,
      groupName,
      networkId: networkIdOf(networkKey),
      ipv4: `10.0.${host}`,
      mac: "02:02:0a:00:00:01",
    };
    return object("endpoint", { ...names, ...place, createdAt: CREATED_AT });
  },
};

/** `t:a` is 1, `t:b` 2, `u:a` 11: one number for each network of the tests. */
function networkIdOf(key: string): number {
  const [tenantName = "", networkName = ""] = key.split(":");
  return (tenantName.charCodeAt(0) - "t".charCodeAt(0)) * 10 + networkName.charCodeAt(0) - "a".charCodeAt(0) + 1;
}

function registrationOf(name: string | undefined, index: number) {
  const capabilities = {
    ...{ datapathType: "netdev", ovsVersion: "3.1", kernelRelease: "6.1", ingressPolicing: true },
    ...{ tbf: true, ifbRedirect: true, meters: true, conntrack: true },
  };
  const vtepIp = `192.168.${index >> 8}.${(index & 255) + 1}`;
  const routerMac = `02:03:00:00:${(index >> 8).toString(16).padStart(2, "0")}:${(index & 255).toString(16).padStart(2, "0")}`;
  return { name, vtepIp, underlayMtuBytes: 1500, routerMac, bootId: `boot-${name}`, version: "1", capabilities };
}

/** Reads a world from lines such as `endpoint c1 t:net1 n1 web`; what a word means stands in READERS. */
export function worldObjects(text: string): readonly WorldObject[] {
  const lines = text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
  return lines.map((line, index) => {
    const [what = "", ...words] = line.split(/\s+/);
    const reader = READERS[what];
    if (reader === undefined) throw new Error(`cannot read "${line}"`);
    return reader(words, index);
  });
}

/** The view that shows a world. */
export function worldView(text: string): FrozenView {
  return worldObjects(text).reduce((view, object) => put(view, object), emptyView());
}

/** The view after one object was written, at the next revision. */
export function put(view: FrozenView, { kind, record }: WorldObject): FrozenView {
  return applyChanges(view, [changeTo(view, kind, record.key, record)], view.revision + 1n);
}

/** The view after one object was deleted, at the next revision. */
export function remove(view: FrozenView, kind: Kind, key: string): FrozenView {
  return applyChanges(view, [changeTo(view, kind, key, undefined)], view.revision + 1n);
}

export function changeTo(view: FrozenView, kind: Kind, key: string, record: RecordOf<Kind> | undefined): ObjectChange {
  return { kind, key, record, previous: view.records(kind).get(key), modRevision: view.revision + 1n } as ObjectChange;
}

/** The store key and value of an object. */
export function storedObject({ kind, record }: WorldObject): { readonly key: string; readonly value: string } {
  return { key: objectKey(kind, record.key), value: JSON.stringify(record) };
}
