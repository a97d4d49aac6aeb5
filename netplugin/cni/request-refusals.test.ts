import { describe, expect, it } from "vitest";
import { type Env, failure } from "./testing/calls.ts";

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
