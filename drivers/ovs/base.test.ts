import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { NetError } from "../../state/errors.ts";
import { type FakeOvsdb, startFakeOvsdb } from "../../test/fakes/ovsdb-server.ts";
import {
  chosenDatapath,
  ensureIntegration,
  foreignMirrors,
  type IntegrationParts,
  integrationBridge,
  integrationFaults,
  switchFault,
} from "./base.ts";
import { type BridgeRow, findBridge, openDatabase, type SwitchDatabase } from "./database.ts";
import { byColumn, insert, mutate, type Operation, update } from "./ovsdb-client/operations.ts";
import { named } from "./ovsdb-client/values.ts";
import { createPortDriver, type DatabasePorts } from "./ports.ts";
import type { PortSpec } from "./types.ts";

const POD = "cvh0123456789";
const ENDING = new AbortController();
const options = { signal: ENDING.signal };

let folder: string;
let fake: FakeOvsdb;
let database: SwitchDatabase;
let ports: DatabasePorts;
let parts: IntegrationParts;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "contiv-base-"));
  fake = await startFakeOvsdb(join(folder, "db.sock"), { vswitchd: true });
  database = await openDatabase(folder, {});
  ports = createPortDriver(database);
  parts = { database, ports, spec: integrationBridge("netdev"), vxlanUdpPort: 4789 };
  await ensureIntegration(parts, options);
  const externalIds = { "contiv-role": "pod" };
  const infra = { kind: "internal", mac: "02:00:00:00:00:01", mtuBytes: 1_400, externalIds: {} } as const;
  const put = new Map<string, PortSpec>([
    [POD, { kind: "system", externalIds }],
    ["infra1", infra],
  ]);
  expect(await ports.apply({ put, remove: new Set() })).toEqual(new Map());
});

afterEach(async () => {
  await database[Symbol.asyncDispose]();
  await fake[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

const bridge = (row: object) => [update("Bridge", byColumn("name", "contiv-int"), { ...row })];
const port = (row: object, name = POD) => [update("Port", byColumn("name", name), { ...row })];
const device = (row: object, name = POD) => [update("Interface", byColumn("name", name), { ...row })];
const secondInterface = [
  insert("Interface", { name: "aaa" }, { as: "second" }),
  mutate("Port", byColumn("name", POD), [["interfaces", "insert", [named("second")]]]),
];
const tunnelOptions = (more: object) =>
  device({ options: { remote_ip: "flow", key: "flow", dst_port: "4789", ...more } }, "contiv-vxlan");

/** What somebody changes by hand, and what is found; undefined: it is left alone. */
const CHANGES: readonly (readonly [what: string, operations: readonly Operation[], found: string | undefined])[] = [
  ["another datapath", bridge({ datapath_type: "system" }), "datapath type system of bridge contiv-int"],
  ["no datapath", bridge({ datapath_type: "" }), "datapath type system of bridge contiv-int"],
  [
    "older protocols",
    bridge({ protocols: ["OpenFlow10", "OpenFlow13"] }),
    "protocols OpenFlow10 OpenFlow13 of bridge contiv-int",
  ],
  ["protocols with ours", bridge({ protocols: ["OpenFlow10", "OpenFlow15"] }), undefined],
  ["spanning tree", bridge({ rstp_enable: true }), "RSTP of bridge contiv-int"],
  ["forwarding of BPDUs", bridge({ other_config: { "disable-in-band": "true", "forward-bpdu": "true" } }), undefined],
  ["flooded VLANs", bridge({ flood_vlans: [5] }), undefined],
  ["a pod's type", device({ type: "internal" }), `type internal of port ${POD}`],
  ["a pod's number", device({ ofport_request: 77 }), `ofport_request 77 of port ${POD}`],
  ["a pod's MTU", device({ mtu_request: 600 }), `mtu_request 600 of port ${POD}`],
  ["a pod's packet rate", device({ ingress_policing_kpkts_rate: 1 }), `ingress_policing_kpkts_rate 1 of port ${POD}`],
  ["a pod's names for others", device({ external_ids: { "iface-id": "x" } }), undefined],
  ["a pod's tag", port({ tag: 5 }), `tag 5 of port ${POD}`],
  ["a pod's trunks", port({ trunks: [5, 6] }), `trunks of port ${POD}`],
  ["a pod's VLAN mode", port({ vlan_mode: "dot1q-tunnel" }), `vlan_mode dot1q-tunnel of port ${POD}`],
  ["a pod's isolation", port({ protected: true }), `protected of port ${POD}`],
  [
    "a pod's queues",
    [insert("QoS", { type: "linux-htb" }, { as: "q" }), ...port({ qos: named("q") })],
    `qos of port ${POD}`,
  ],
  ["a bond with a pod's port", secondInterface, `more interfaces of port ${POD}`],
  ["an infra port's type", device({ type: "" }, "infra1"), "type system of port infra1"],
  ["an infra port's MTU", device({ mtu_request: 1_300 }, "infra1"), undefined],
  ["an infra port's rate", device({ ingress_policing_rate: 9 }, "infra1"), "ingress_policing_rate of port infra1"],
  ["the tunnel's type", device({ type: "gre" }, "contiv-vxlan"), "port contiv-vxlan is gone or has other options"],
  ["the tunnel's source", tunnelOptions({ local_ip: "192.0.2.1" }), "port contiv-vxlan is gone or has other options"],
  ["the tunnel's TTL", tunnelOptions({ ttl: "3" }), undefined],
];

describe("what somebody changes in the switch's database", () => {
  it.each(CHANGES)("%s", async (_what, operations, found) => {
    expect(integrationFaults(parts)).toEqual([]);
    await database.transact([...operations]);
    expect(integrationFaults(parts)).toEqual(found === undefined ? [] : [found]);
    const rows = () => JSON.stringify(["Bridge", "Port", "Interface"].map((table) => [...fake.rows(table)]));
    const before = rows();
    await ensureIntegration(parts, options);
    expect(integrationFaults(parts)).toEqual([]);
    expect(rows() === before).toBe(found === undefined);
    expect(ports.read().get(POD)?.ofport).toBeGreaterThan(0);
  });

  it("extends protocols by ours", async () => {
    await database.transact([...bridge({ protocols: ["OpenFlow13"] })]);
    await ensureIntegration(parts, options);
    expect(findBridge(database, "contiv-int")?.protocols).toEqual(["OpenFlow13", "OpenFlow15"]);
  });

  it("names settings of many ports in few words", async () => {
    const names = Array.from({ length: 9 }, (_, index) => `cvh000000000${index}`);
    const put = new Map(names.map((name) => [name, { kind: "system", externalIds: {} } as const]));
    await ports.apply({ put, remove: new Set() });
    await database.transact(names.flatMap((name) => port({ tag: 5 }, name)));
    expect(integrationFaults(parts)).toHaveLength(7);
    expect(integrationFaults(parts).at(-1)).toBe("3 more settings of ports");
  });

  it("names mirrors", async () => {
    await database.transact([insert("Mirror", { name: "m1" }, { as: "m" }), ...bridge({ mirrors: [named("m")] })]);
    expect(integrationFaults(parts)).toEqual([]);
    expect(foreignMirrors(database, ["eth0"])).toEqual(["mirror m1 of bridge contiv-int"]);
  });
});

describe("the datapath", () => {
  const made = (datapath_type: string, remembered?: string) =>
    ({
      datapath_type,
      external_ids: new Map(remembered === undefined ? [] : [["contiv-datapath", remembered]]),
    }) as unknown as BridgeRow;
  it.each([
    ["netdev", made("system", "system"), "system", "netdev"],
    ["system", made("netdev", "netdev"), "netdev", "system"],
    ["auto", undefined, "system", "system"],
    ["auto", undefined, "netdev", "netdev"],
    ["auto", made("netdev"), "system", "netdev"],
    ["auto", made(""), "system", "system"],
    ["auto", made("netdev", "system"), "system", "system"],
    ["auto", made("system", "netdev"), "system", "netdev"],
    ["auto", made("system", "system"), "netdev", "netdev"],
  ] as const)("%s, with bridge %o in a kernel for %s: %s", (wanted, bridge, detected, chosen) => {
    expect(chosenDatapath(wanted, { bridge, detected })).toBe(chosen);
  });
});

describe("why the switch cannot be told anything", () => {
  const failure = new NetError("UNAVAILABLE", "Cannot connect: connect ENOENT");
  it.each([
    [false, false, [], /see that ovsdb-server runs/],
    [true, false, [], /bridge contiv-int: Cannot connect: connect ENOENT; see that ovs-vswitchd runs/],
    [true, false, ["protocols OpenFlow10"], /ENOENT; found and being repaired: protocols OpenFlow10/],
  ] as const)("database %s, flows %s, found %j", (inDatabase, inFlows, found, text) => {
    const flowConnection = { connected: inFlows, failure };
    const parts = { database: { connected: inDatabase }, flowConnection, faults: () => found, held: () => undefined };
    expect(switchFault(parts)).toMatch(text);
  });

  it("nothing when it can", () => {
    const flowConnection = { connected: true, failure: undefined };
    const parts = { database: { connected: true }, flowConnection, faults: () => ["x"] };
    expect(switchFault({ ...parts, held: () => undefined })).toBeUndefined();
    expect(switchFault({ ...parts, held: () => "it is held" })).toBe("it is held");
  });
});
