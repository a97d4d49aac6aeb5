import { NO_MEANS } from "../../netplugin/machine/limit-means.ts";
import type { Machine } from "../../netplugin/machine/machine.ts";
import { applyBatch } from "../../netplugin/view/apply.ts";
import { parseMessage } from "../../netplugin/view/messages.ts";
import { emptyView, type NodeView } from "../../netplugin/view/node-view.ts";
import type { Mac } from "../../state/ids.ts";
import { GLOBAL_DEFAULTS } from "../../state/kinds/global.ts";
import type { NodeName } from "../../state/names.ts";

/**
 * A cluster as text, one object a line, for tests of what a node makes of it:
 *
 *   mode routing flood
 *   node n1 192.0.2.1
 *   network t1:blue vxlan 100 10.1.1.0/24 gateway 10.1.1.254 ipv6 2001:db8:1::/64 gateway6 2001:db8:1::ff physical lab type infra
 *   endpoint a t1:blue n1 10.1.1.1 2001:db8:1::1 group 7
 *   group t1:g7 t1:blue web,common ingressCeiling 10mbps netProfile gold
 *   tenant t1 egressCeiling 1gbps
 *   netprofile t1:gold bandwidth 8m egressMode shape DSCP 6
 *   policy t1:web
 *   rule t1:web:r1 in deny protocol tcp ports 80,443 priority 10 fromEndpointGroup g8
 *
 * Tenants and networks are numbered in the order of their first mention: tenants from 1, networks from 11. A group's number is
 * in its name: `group 7` of an endpoint is the group `g7`.
 */
export function worldView(text: string): NodeView {
  return applyBatch(emptyView(), [...worldMessages(text), { type: "synced" as const, revision: 1000n }]).view;
}

export function worldMessages(text: string) {
  const numbers: Numbers = { tenants: new Map(), networks: new Map() };
  const lines = text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"));
  return lines.map((line, index) => parseMessage(putOf(line.split(/\s+/), index + 1, numbers)));
}

/** What an object of a world looks like on the watch stream. */
export interface WorldPut {
  readonly type: "put";
  readonly kind: string;
  readonly key: string;
  readonly modRevision: string;
  readonly object: object;
}

interface Numbers {
  readonly tenants: Map<string, number>;
  readonly networks: Map<string, number>;
}

const FIRST_NETWORK_ID = 11;

function putOf(words: readonly string[], modRevision: number, numbers: Numbers): WorldPut {
  const [kind = "", ...rest] = words;
  const objects = {
    tenant: tenantOf,
    network: networkOf,
    endpoint: endpointOf,
    group: groupOf,
    policy: policyOf,
    rule: ruleOf,
    netprofile: profileOf,
  };
  const make = { mode: modeOf, node: nodeOf, ...objects }[kind];
  if (make === undefined) throw new Error(`World: "${words.join(" ")}" begins with no known word`);
  const { kind: objectKind, object } = make(rest, numbers);
  return { type: "put", kind: objectKind, key: object.key, modRevision: String(modRevision), object };
}

interface Made {
  readonly kind: string;
  readonly object: { readonly key: string };
}

function modeOf([fwdMode, arpMode]: readonly string[]): Made {
  return {
    kind: "global",
    object: { key: "global", config: { ...GLOBAL_DEFAULTS, fwdMode, arpMode } } as Made["object"],
  };
}

const CAPABILITIES = {
  datapathType: "netdev",
  ovsVersion: "3.1.0",
  kernelRelease: "6.1",
  ingressPolicing: false,
  tbf: true,
  ifbRedirect: true,
  meters: true,
  conntrack: true,
};

function nodeOf([key = "", vtepIp]: readonly string[]): Made {
  const registration = {
    name: key,
    vtepIp,
    underlayMtuBytes: 1500,
    routerMac: routerMacOf(key),
    bootId: "b",
    version: "1",
    capabilities: CAPABILITIES,
  };
  const object = { key, state: "ready", stateSince: "2026-01-01T00:00:00Z", registration };
  return { kind: "node", object };
}

/** Each node's own, told apart by the number in its name. */
export function routerMacOf(nodeName: string): Mac {
  return `02:ee:00:00:00:${Number(/\d+/.exec(nodeName)?.[0] ?? 0)
    .toString(16)
    .padStart(2, "0")}` as Mac;
}

function networkOf([key = "", encap, tag, subnet, ...options]: readonly string[], numbers: Numbers): Made {
  const [tenantName = "", networkName = ""] = key.split(":");
  const named = optionsOf(options);
  const config = {
    networkName,
    tenantName,
    nwType: named.get("type") ?? "data",
    encap,
    subnet,
    gateway: named.get("gateway") ?? "",
    ipv6Subnet: named.get("ipv6") ?? "",
    ipv6Gateway: named.get("gateway6") ?? "",
    physicalNetwork: named.get("physical") ?? "",
  };
  const networkId = numberOf(numbers.networks, key, FIRST_NETWORK_ID);
  const tenantId = numberOf(numbers.tenants, tenantName, 1);
  return { kind: "network", object: { key, networkId, tenantId, tag: Number(tag), config } as Made["object"] };
}

function endpointOf(words: readonly string[], numbers: Numbers): Made {
  const [key = "", networkKey = "", nodeName, ipv4 = "", ...more] = words;
  const ipv6 = more[0]?.includes(":") ? more[0] : undefined;
  const named = optionsOf(ipv6 === undefined ? more : more.slice(1));
  const [tenantName, networkName] = networkKey.split(":");
  const group = named.get("group");
  const object = {
    key,
    epoch: named.get("epoch") ?? "e1",
    endpointId: key,
    containerId: key,
    ifName: "eth0",
    nodeName,
    tenantName,
    networkName,
    groupName: group === undefined ? "" : `g${group}`,
    networkId: numberOf(numbers.networks, networkKey, FIRST_NETWORK_ID),
    groupId: group === undefined ? undefined : Number(group),
    ipv4,
    ipv6,
    mac: macOf(ipv4),
    createdAt: "2026-01-01T00:00:00Z",
  };
  return { kind: "endpoint", object };
}

/** Policies end where options begin: with an even number of words behind them. */
function groupOf([key = "", networkKey = "", ...more]: readonly string[]): Made {
  const [tenantName, groupName = ""] = key.split(":");
  const [policies = "", options] = more.length % 2 === 0 ? ["", more] : [more[0], more.slice(1)];
  const config = {
    ...{ tenantName, groupName, networkName: networkKey.split(":")[1] },
    policies: policies.split(",").filter((name) => name !== ""),
    ...ceilingsOf(options),
  };
  return { kind: "endpointGroup", object: { key, groupId: Number(groupName.slice(1)), config } as Made["object"] };
}

function tenantOf([key = "", ...options]: readonly string[], numbers: Numbers): Made {
  const config = { tenantName: key, ...ceilingsOf(options) };
  return { kind: "tenant", object: { key, tenantId: numberOf(numbers.tenants, key, 1), config } as Made["object"] };
}

function ceilingsOf(options: readonly string[] | undefined): object {
  const members = [...optionsOf(options ?? [])];
  return Object.fromEntries(members.map(([name, text]) => [name, name.endsWith("Burst") ? Number(text) : text]));
}

function policyOf([key = ""]: readonly string[]): Made {
  const [tenantName, policyName] = key.split(":");
  return { kind: "policy", object: { key, config: { tenantName, policyName } } as Made["object"] };
}

function profileOf([key = "", ...options]: readonly string[]): Made {
  const [tenantName, profileName] = key.split(":");
  const fields = [...optionsOf(options)].map(([name, text]) => [name, name === "DSCP" ? Number(text) : text]);
  const config = { tenantName, profileName, ...Object.fromEntries(fields) };
  return { kind: "netprofile", object: { key, config } as Made["object"] };
}

const RULE_NUMBERS = ["port", "portEnd", "priority"];

function ruleOf([key = "", direction, action, ...options]: readonly string[]): Made {
  const [tenantName, policyName, ruleId] = key.split(":");
  const fields = [...optionsOf(options)].map(([name, text]) => {
    if (name === "ports") return [name, text.split(",").map(Number)];
    return [name, RULE_NUMBERS.includes(name) ? Number(text) : text];
  });
  const config = { tenantName, policyName, ruleId, direction, action, ...Object.fromEntries(fields) };
  return { kind: "rule", object: { key, config } as Made["object"] };
}

/** Contiv's MAC of an address: `02:02:` and its four octets. */
export function macOf(ipv4: string): Mac {
  const octets = ipv4.split(".").map((octet) => Number(octet).toString(16).padStart(2, "0"));
  return `02:02:${octets.join(":")}` as Mac;
}

function optionsOf(words: readonly string[]): Map<string, string> {
  const options = new Map<string, string>();
  for (let index = 0; index + 1 < words.length; index += 2) options.set(words[index] ?? "", words[index + 1] ?? "");
  return options;
}

function numberOf(numbers: Map<string, number>, name: string, first: number): number {
  const number = numbers.get(name) ?? first + numbers.size;
  numbers.set(name, number);
  return number;
}

/** A machine with meters, a tunnel (port 1), the default uplink (port 2) and the given endpoints plugged in. */
export function machineOf(
  nodeName: string,
  ports: Readonly<Record<string, number>>,
  more: Partial<Machine> = {},
): Machine {
  return {
    nodeName: nodeName as NodeName,
    routerMac: routerMacOf(nodeName),
    vtepIp: "192.0.2.1",
    tunnelOfport: 1,
    uplinks: new Map([["default", 2]]),
    ports: new Map(Object.entries(ports)),
    limitMeans: { ...NO_MEANS, meters: true },
    ...more,
  };
}
