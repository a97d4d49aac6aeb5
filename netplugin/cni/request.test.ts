import { describe, expect, it } from "vitest";
import { NetError } from "../../state/errors.ts";
import { cniErrorOf } from "./errors.ts";
import { encodeFrame, parseFrame } from "./protocol.ts";
import { type CniRequest, parseRequest, versionText } from "./request.ts";

const ENV = {
  CNI_CONTAINERID: "c1",
  CNI_NETNS: "/run/netns/pod",
  CNI_IFNAME: "eth0",
  CNI_PATH: "/opt/cni/bin",
  CNI_ARGS: "",
};
const CONFIG = { cniVersion: "1.0.0", name: "contiv", type: "contiv" };
const PREV_RESULT = {
  cniVersion: "1.0.0",
  interfaces: [{ name: "eth0", sandbox: "/run/netns/pod" }],
  ips: [{ address: "10.1.1.2/24", interface: 0 }],
};

type Env = Readonly<Record<string, string | undefined>>;

function parse(command: string, env: Env = {}, config: unknown = {}): CniRequest {
  const variables = Object.entries({ ...ENV, CNI_COMMAND: command, ...env }).filter(([, value]) => value !== undefined);
  const stdin = typeof config === "string" ? config : JSON.stringify({ ...CONFIG, ...(config as object) });
  return parseRequest(parseFrame(encodeFrame(variables as [string, string][], stdin)));
}

function failure(command: string, env: Env, config: unknown): { code: number; msg: string; field: string | undefined } {
  try {
    parse(command, env, config);
  } catch (thrown) {
    const { code, msg } = cniErrorOf(thrown, { cniVersion: "1.0.0", command });
    return { code, msg, field: thrown instanceof NetError ? thrown.field : undefined };
  }
  throw new Error("was accepted");
}

function add(env: Env = {}, config: object = {}) {
  const request = parse("ADD", env, config);
  if (request.command !== "ADD") throw new Error("no ADD");
  return request;
}

describe("refusals", () => {
  const LONG_NAME = "a".repeat(257);
  it.each<[string, string, Env, unknown, number, RegExp]>([
    // variables (cni.md §2)
    ["no command", "", {}, {}, 4, /\[CNI_COMMAND\] missing; set it/],
    ["command in lower case", "add", {}, {}, 4, /CNI_COMMAND="add" is unknown; use one of ADD/],
    [
      "all missing at once",
      "ADD",
      { CNI_CONTAINERID: undefined, CNI_NETNS: "", CNI_IFNAME: undefined },
      {},
      4,
      /\[CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME\] missing/,
    ],
    ["CHECK without namespace", "CHECK", { CNI_NETNS: "" }, {}, 4, /\[CNI_NETNS\] missing/],
    ["DEL without container", "DEL", { CNI_CONTAINERID: "" }, {}, 4, /\[CNI_CONTAINERID\] missing/],
    ["DEL without interface", "DEL", { CNI_IFNAME: "" }, {}, 4, /\[CNI_IFNAME\] missing/],
    ["GC without path", "GC", { CNI_PATH: undefined }, {}, 4, /\[CNI_PATH\] missing/],
    [
      "container id with slash",
      "ADD",
      { CNI_CONTAINERID: "a/b" },
      {},
      4,
      /CNI_CONTAINERID="a\/b" is invalid; use letters/,
    ],
    ["container id that begins with a dot", "DEL", { CNI_CONTAINERID: ".." }, {}, 4, /CNI_CONTAINERID/],
    ["container id with newline", "ADD", { CNI_CONTAINERID: "a\n" }, {}, 4, /CNI_CONTAINERID/],
    ["container id too long", "ADD", { CNI_CONTAINERID: LONG_NAME }, {}, 4, /at most 256/],
    [
      "interface of 16 bytes",
      "ADD",
      { CNI_IFNAME: "a".repeat(16) },
      {},
      4,
      /CNI_IFNAME="a{16}" is invalid; use 1 to 15 bytes/,
    ],
    ["interface of 8 characters, 16 bytes", "ADD", { CNI_IFNAME: "ä".repeat(8) }, {}, 4, /CNI_IFNAME/],
    ["interface .", "ADD", { CNI_IFNAME: "." }, {}, 4, /CNI_IFNAME/],
    ["interface ..", "DEL", { CNI_IFNAME: ".." }, {}, 4, /CNI_IFNAME/],
    ["interface with slash", "ADD", { CNI_IFNAME: "a/b" }, {}, 4, /CNI_IFNAME/],
    ["interface with colon", "ADD", { CNI_IFNAME: "a:b" }, {}, 4, /CNI_IFNAME/],
    ["interface with space", "CHECK", { CNI_IFNAME: "a b" }, {}, 4, /CNI_IFNAME/],
    [
      "relative namespace",
      "ADD",
      { CNI_NETNS: "netns/pod" },
      {},
      4,
      /CNI_NETNS="netns\/pod" is invalid; use the absolute path/,
    ],
    ["args without value", "ADD", { CNI_ARGS: "A=1;B" }, {}, 4, /CNI_ARGS has "B", which is no KEY=VALUE/],
    ["unknown args", "ADD", { CNI_ARGS: "A=1;B=2" }, {}, 4, /unknown keys \[A,B\]; remove them or add IgnoreUnknown=1/],
    ["unknown args, not to be ignored", "ADD", { CNI_ARGS: "A=1;IgnoreUnknown=0" }, {}, 4, /unknown keys/],
    [
      "IgnoreUnknown that is no boolean",
      "ADD",
      { CNI_ARGS: "A=1;IgnoreUnknown=maybe" },
      {},
      4,
      /IgnoreUnknown=maybe; use 1/,
    ],
    ["args with a bad address", "ADD", { CNI_ARGS: "IP=1.2.3" }, {}, 4, /CNI_ARGS has IP=1.2.3; use/],
    ["args with two IPv4", "ADD", { CNI_ARGS: "IP=1.2.3.4,1.2.3.5" }, {}, 4, /at most one IPv4/],
    [
      "args with a bad MAC",
      "ADD",
      { CNI_ARGS: "MAC=01:00:5e:00:00:01" },
      {},
      4,
      /CNI_ARGS has MAC=01:00:5e:00:00:01; use a unicast/,
    ],
    // stdin (cni.md §2)
    ["empty stdin", "ADD", {}, "", 6, /on stdin is empty; send/],
    ["half a document", "DEL", {}, '{"name":', 6, /on stdin is no valid JSON/],
    ["a list", "ADD", {}, "[]", 6, /on stdin is no JSON object/],
    ["null", "STATUS", {}, "null", 6, /no JSON object/],
    ["no name", "ADD", {}, { name: undefined }, 7, /"name" is missing; use letters/],
    ["a number as name", "ADD", {}, { name: 5 }, 7, /"name" 5 is invalid/],
    ["a path as name", "DEL", {}, { name: "../x" }, 7, /"name" "..\/x" is invalid/],
    // versions (cni.md §3, §6-§8)
    [
      "unknown version",
      "ADD",
      {},
      { cniVersion: "1.2.0" },
      1,
      /incompatible CNI versions: "cniVersion" is "1.2.0", but ADD needs one of 0.1.0/,
    ],
    ["a number as version", "DEL", {}, { cniVersion: 1 }, 1, /incompatible CNI versions/],
    ["CHECK before 0.4.0", "CHECK", {}, { cniVersion: "0.3.1" }, 1, /CHECK needs one of 0.4.0, 1.0.0, 1.1.0/],
    ["CHECK without version", "CHECK", {}, { cniVersion: undefined }, 1, /CHECK needs/],
    ["GC before 1.1.0", "GC", {}, {}, 1, /GC needs one of 1.1.0; correct/],
    ["STATUS before 1.1.0", "STATUS", {}, {}, 1, /STATUS needs one of 1.1.0/],
    // the configuration
    ["CHECK without prevResult", "CHECK", {}, {}, 7, /"prevResult" is missing; CHECK needs/],
    ["CHECK with null as prevResult", "CHECK", {}, { prevResult: null }, 7, /"prevResult" is missing/],
    ["prevResult of the wrong type", "ADD", {}, { prevResult: "x" }, 7, /"prevResult" is invalid/],
    [
      "prevResult with a bad address",
      "ADD",
      {},
      { prevResult: { ips: [{ address: "10.1.1.2" }] } },
      7,
      /"prevResult.ips.0.address" is invalid: must be an address with prefix/,
    ],
    [
      "prevResult that names no interface",
      "ADD",
      {},
      { prevResult: { ips: [{ address: "10.1.1.2/24", interface: 0 }] } },
      7,
      /"prevResult" is invalid: an address names an interface/,
    ],
    ["GC without list", "GC", {}, { cniVersion: "1.1.0" }, 7, /"cni.dev\/valid-attachments" is missing; GC needs it/],
    [
      "GC with a bad list",
      "GC",
      {},
      { cniVersion: "1.1.0", "cni.dev/valid-attachments": {} },
      7,
      /"cni.dev\/valid-attachments" is invalid/,
    ],
    [
      "GC with a bad attachment",
      "GC",
      {},
      { cniVersion: "1.1.0", "cni.dev/valid-attachments": [{ containerID: "a" }] },
      7,
      /valid-attachments.0.ifname" is invalid/,
    ],
    ["mtu below IPv4's", "ADD", {}, { mtu: 67 }, 7, /"mtu" is invalid: must be 0 \(derive\) or 68-65535/],
    ["mtu of the wrong type", "ADD", {}, { mtu: "1500" }, 7, /"mtu" is invalid/],
    ["args of the wrong type", "ADD", {}, { args: [] }, 7, /"args" is invalid/],
    ["labels of the wrong type", "ADD", {}, { args: { labels: "x" } }, 7, /"args.labels" is invalid/],
    ["a label that is no string", "ADD", {}, { args: { labels: { a: 5 } } }, 7, /"args.labels.a" is invalid/],
    [
      "a listed label without value",
      "ADD",
      {},
      { args: { labels: [{ key: "a" }] } },
      7,
      /"args.labels.0.value" is invalid/,
    ],
    [
      "a tenant that is no name",
      "ADD",
      {},
      { args: { labels: { "io.contiv.tenant": "a_b" } } },
      7,
      /"args.labels.io.contiv.tenant" is invalid: must be at most 64/,
    ],
    [
      "a group that is too long",
      "ADD",
      {},
      { args: { labels: { "io.contiv.net-group": "a".repeat(65) } } },
      7,
      /io.contiv.net-group" is invalid/,
    ],
    [
      "an annotation that is no string",
      "ADD",
      {},
      { args: { annotations: { a: {} } } },
      7,
      /"args.annotations.a" is invalid/,
    ],
    ["a bad address in args", "ADD", {}, { args: { cni: { ips: ["x"] } } }, 7, /"args.cni.ips.0" is invalid/],
    // runtimeConfig (cni.md §12)
    ["runtimeConfig of the wrong type", "ADD", {}, { runtimeConfig: 5 }, 7, /"runtimeConfig" is invalid/],
    [
      "portMappings for us",
      "ADD",
      {},
      { runtimeConfig: { portMappings: [{ hostPort: 80 }] } },
      2,
      /"runtimeConfig.portMappings": \[\{"hostPort":80\}\] is not supported; remove/,
    ],
    [
      "ipRanges for us",
      "ADD",
      {},
      { runtimeConfig: { ipRanges: [[{ subnet: "10.0.0.0/8" }]] } },
      2,
      /runtimeConfig.ipRanges/,
    ],
    [
      "a negative rate",
      "ADD",
      {},
      { runtimeConfig: { bandwidth: { ingressRate: -1 } } },
      7,
      /"runtimeConfig.bandwidth.ingressRate" is invalid/,
    ],
    [
      "a rate as text",
      "ADD",
      {},
      { runtimeConfig: { Bandwidth: { EgressRate: "1M" } } },
      7,
      /"runtimeConfig.bandwidth.egressRate" is invalid/,
    ],
    [
      "a burst without rate",
      "ADD",
      {},
      { runtimeConfig: { bandwidth: { ingressBurst: 5 } } },
      7,
      /ingressBurst \(bits\) needs ingressRate/,
    ],
    [
      "a bad address",
      "ADD",
      {},
      { runtimeConfig: { ips: ["10.1.1.2/33"] } },
      7,
      /"runtimeConfig.ips.0" is invalid: must be an IPv4/,
    ],
    [
      "two IPv6 addresses",
      "ADD",
      {},
      { runtimeConfig: { ips: ["fd00::1", "fd00::2/64"] } },
      7,
      /at most one IPv4 and one IPv6/,
    ],
    ["a group's MAC", "ADD", {}, { runtimeConfig: { mac: "33:33:00:00:00:01" } }, 7, /"runtimeConfig.mac" is invalid/],
    [
      "a name server that is a name",
      "ADD",
      {},
      { runtimeConfig: { dns: { servers: ["ns1"] } } },
      7,
      /"runtimeConfig.dns.servers.0" is invalid/,
    ],
    [
      "an annotation list",
      "ADD",
      {},
      { runtimeConfig: { "io.kubernetes.cri.pod-annotations": ["a"] } },
      7,
      /pod-annotations" is invalid/,
    ],
  ])("%s", (_, command, env, config, code, message) => {
    const error = failure(command, env, config);
    expect(error).toMatchObject({ code, msg: expect.stringMatching(message) });
    expect(error.field).toBeDefined();
  });

  it("complain of variables before stdin, and of the name before the version", () => {
    expect(failure("ADD", { CNI_IFNAME: "" }, "garbage").code).toBe(4);
    expect(failure("ADD", {}, { name: "", cniVersion: "9" }).code).toBe(7);
  });

  it("stay short, whatever came in", () => {
    expect(failure("ADD", { CNI_IFNAME: "x".repeat(100_000) }, {}).msg.length).toBeLessThan(1_100);
    expect(failure("ADD", {}, { args: { labels: { ["k".repeat(100_000)]: 1 } } }).msg.length).toBeLessThan(1_100);
    expect(failure("ADD", {}, { runtimeConfig: { x: "y".repeat(100_000) } }).msg.length).toBeLessThan(1_100);
  });
});

describe("ADD", () => {
  it("with nothing but the necessary has defaults", () => {
    expect(add()).toEqual({
      command: "ADD",
      cniVersion: "1.0.0",
      configName: "contiv",
      containerId: "c1",
      ifName: "eth0",
      netns: "/run/netns/pod",
      mayBeOwnNetns: false,
      pod: { namespace: undefined, name: undefined, uid: undefined, infraContainerId: undefined },
      placement: { tenantName: "default", networkName: "default-net", groupName: undefined },
      labels: new Map(),
      annotations: new Map(),
      podAnnotations: new Map(),
      requestedIps: [],
      requestedMac: undefined,
      mtuBytes: undefined,
      bandwidth: { podIngress: undefined, podEgress: undefined },
      dns: undefined,
      deviceId: undefined,
      prevResult: undefined,
    });
  });

  it.each(["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"])("accepts version %s", (cniVersion) => {
    expect(add({}, { cniVersion }).cniVersion).toBe(cniVersion);
  });

  it.each([undefined, ""])("takes %o as version 0.1.0", (cniVersion) => {
    expect(add({}, { cniVersion }).cniVersion).toBe("0.1.0");
  });

  it("ignores unknown keys, args of others and capabilities", () => {
    const config = {
      foo: 1,
      "cni.dev/x": 2,
      args: { "org.other": { a: 1 } },
      capabilities: { bandwidth: true },
      ipam: {},
    };
    expect(add({}, config)).toEqual(add());
  });

  it.each<[string, object]>([
    [
      "a map",
      { labels: { "io.contiv.tenant": "t", "io.contiv.network": "n", "io.contiv.net-group": "g", app: "web" } },
    ],
    [
      "a list",
      {
        labels: [
          { key: "io.contiv.tenant", value: "t" },
          { key: "io.contiv.network", value: "n" },
          { key: "io.contiv.net-group", value: "g" },
          { key: "app", value: "web" },
        ],
      },
    ],
    [
      "args.cni, overridden by args",
      {
        labels: { "io.contiv.tenant": "t", app: "web" },
        cni: {
          labels: [
            { key: "io.contiv.network", value: "n" },
            { key: "io.contiv.net-group", value: "g" },
            { key: "app", value: "old" },
          ],
        },
      },
    ],
  ])("reads labels from %s", (_, args) => {
    const request = add({}, { args });
    expect(request.placement).toEqual({ tenantName: "t", networkName: "n", groupName: "g" });
    expect(request.labels.get("app")).toBe("web");
  });

  it("takes empty labels and null for absent", () => {
    const labels = { "io.contiv.tenant": "", "io.contiv.network": "", "io.contiv.net-group": "" };
    expect(add({}, { args: { labels } }).placement).toEqual(add().placement);
    expect(add({}, { args: { labels: null, annotations: null, cni: null } })).toEqual(add());
    expect(add({}, { args: null, runtimeConfig: null, prevResult: null, mtu: null })).toEqual(add());
  });

  it("reads the pod from CNI_ARGS in any order", () => {
    const CNI_ARGS =
      "K8S_POD_NAME=p;Other=x;K8S_POD_UID=u;K8S_POD_NAMESPACE=ns;IgnoreUnknown=1;K8S_POD_INFRA_CONTAINER_ID=i;";
    expect(add({ CNI_ARGS }).pod).toEqual({ namespace: "ns", name: "p", uid: "u", infraContainerId: "i" });
  });

  it("reads what containerd 1.6 sends: capitals, null lists, capabilities left in place", () => {
    const runtimeConfig = {
      bandwidth: {
        IngressRate: 1_000_000,
        IngressBurst: 4_294_967_295,
        EgressRate: 2_000_000,
        EgressBurst: 4_294_967_295,
      },
      portMappings: null,
      dns: { Servers: ["10.0.0.10"], Searches: ["svc.local"], Options: null },
      "io.kubernetes.cri.pod-annotations": { "k8s.v1.cni.cncf.io/x": "y" },
      ipRanges: [],
    };
    const request = add({}, { runtimeConfig, capabilities: { bandwidth: true } });
    expect(request.bandwidth).toEqual({
      podIngress: { rateBitPerSecond: 1_000_000, burstBits: 4_294_967_295 },
      podEgress: { rateBitPerSecond: 2_000_000, burstBits: 4_294_967_295 },
    });
    expect(request.dns).toEqual({ nameservers: ["10.0.0.10"], domain: undefined, search: ["svc.local"], options: [] });
    expect(request.podAnnotations).toEqual(new Map([["k8s.v1.cni.cncf.io/x", "y"]]));
  });

  it("takes rate 0 for no limit and allows a rate without burst", () => {
    const bandwidth = { ingressRate: 0, ingressBurst: 0, egressRate: 5 };
    expect(add({}, { runtimeConfig: { bandwidth } }).bandwidth).toEqual({
      podIngress: undefined,
      podEgress: { rateBitPerSecond: 5, burstBits: undefined },
    });
  });

  it("prefers ips of the capability over args over CNI_ARGS", () => {
    const env = { CNI_ARGS: "IP=10.0.0.1,fd00::1" };
    const args = { cni: { ips: ["10.0.0.2/24"] } };
    const ips = (config: object) => add(env, config).requestedIps.map((ip) => `${ip.address}/${ip.prefixLength ?? ""}`);
    expect(ips({})).toEqual(["10.0.0.1/", "fd00::1/"]);
    expect(ips({ args })).toEqual(["10.0.0.2/24"]);
    expect(ips({ args, runtimeConfig: { IPs: ["10.0.0.3", "fd00::3/64"] } })).toEqual(["10.0.0.3/", "fd00::3/64"]);
  });

  it("brings MAC addresses to one form", () => {
    expect(add({}, { runtimeConfig: { mac: "02-42-AC-11-00-02" } }).requestedMac).toBe("02:42:ac:11:00:02");
    expect(add({ CNI_ARGS: "MAC=02:42:AC:11:00:03" }).requestedMac).toBe("02:42:ac:11:00:03");
    expect(add({}, { runtimeConfig: { mac: "" } }).requestedMac).toBeUndefined();
  });

  it.each([
    [0, undefined],
    [68, 68],
    [1450, 1450],
    [65_535, 65_535],
  ])("takes mtu %i as %o", (mtu, mtuBytes) => {
    expect(add({}, { mtu }).mtuBytes).toBe(mtuBytes);
  });

  it.each([
    ["1", true],
    ["TRUE", true],
    ["0", false],
    ["", false],
  ])("reads CNI_NETNS_OVERRIDE=%s", (text, expected) => {
    expect(add({ CNI_NETNS_OVERRIDE: text }).mayBeOwnNetns).toBe(expected);
  });

  it("carries prevResult from 0.3.0 on", () => {
    expect(add({}, { prevResult: PREV_RESULT }).prevResult?.ips[0]?.address).toBe("10.1.1.2/24");
    expect(add({}, { prevResult: PREV_RESULT, cniVersion: "0.2.0" }).prevResult).toBeUndefined();
  });
});

describe("DEL", () => {
  it("needs no namespace, no prevResult, and ignores what it need not read", () => {
    const env = { CNI_NETNS: "", CNI_ARGS: "junk;K8S_POD_NAME=p" };
    const config = { prevResult: "junk", runtimeConfig: 5, args: 5, mtu: "x" };
    expect(parse("DEL", env, config)).toEqual({
      command: "DEL",
      cniVersion: "1.0.0",
      configName: "contiv",
      containerId: "c1",
      ifName: "eth0",
      netns: undefined,
      pod: { namespace: undefined, name: "p", uid: undefined, infraContainerId: undefined },
    });
  });

  it("carries a namespace that is no path", () => {
    expect(parse("DEL", { CNI_NETNS: "gone" })).toMatchObject({ netns: "gone" });
  });
});

describe("CHECK, GC, STATUS, VERSION", () => {
  it("CHECK carries prevResult", () => {
    expect(parse("CHECK", {}, { prevResult: PREV_RESULT })).toMatchObject({
      command: "CHECK",
      prevResult: { interfaces: [{ name: "eth0", sandbox: "/run/netns/pod" }] },
    });
  });

  const gc = (lists: object) => parse("GC", {}, { cniVersion: "1.1.0", ...lists });
  const item = (containerID: string) => ({ containerID, ifname: "eth0" });

  it.each([[[]], [null]])("GC takes %o as no valid attachment", (list) => {
    expect(gc({ "cni.dev/valid-attachments": list })).toMatchObject({ validAttachments: [] });
  });

  it("GC keeps what either list names", () => {
    const request = gc({ "cni.dev/valid-attachments": [item("a")], "cni.dev/attachments": [item("b")] });
    expect(request).toMatchObject({ validAttachments: [{ containerId: "a", ifName: "eth0" }, { containerId: "b" }] });
    expect(gc({ "cni.dev/attachments": [item("b")] })).toMatchObject({ validAttachments: [{ containerId: "b" }] });
  });

  it("GC and STATUS need no container", () => {
    const bare = { CNI_CONTAINERID: undefined, CNI_NETNS: undefined, CNI_IFNAME: undefined, CNI_ARGS: undefined };
    expect(parse("GC", bare, { cniVersion: "1.1.0", "cni.dev/valid-attachments": [] })).toMatchObject({
      configName: "contiv",
    });
    expect(parse("STATUS", { ...bare, CNI_PATH: undefined }, { cniVersion: "1.1.0" })).toEqual({
      command: "STATUS",
      configName: "contiv",
      cniVersion: "1.1.0",
    });
  });

  it.each([
    ["", "0.1.0"],
    ['{"cniVersion":"0.4.0"}', "0.4.0"],
    ['{"cniVersion":"7.0"}', "7.0"],
    ["junk", "0.1.0"],
  ])("VERSION of %o speaks of %s", (stdin, cniVersion) => {
    expect(parse("VERSION", { CNI_PATH: undefined }, stdin)).toEqual({ command: "VERSION", cniVersion });
  });

  it("versionText never trusts what it copies", () => {
    expect(versionText(Buffer.from('{"cniVersion":"1\\"x"}'))).toBe("0.1.0");
    expect(versionText(Buffer.from(`{"cniVersion":"${"1".repeat(33)}"}`))).toBe("0.1.0");
    expect(versionText(Buffer.from('{"cniVersion":5}'))).toBe("0.1.0");
  });
});
