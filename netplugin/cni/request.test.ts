import { describe, expect, it } from "vitest";
import { versionText } from "./request.ts";
import { add, PREV_RESULT, parse } from "./testing/calls.ts";

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

  it("GC takes an empty list as no valid attachment", () => {
    expect(gc({ "cni.dev/valid-attachments": [] })).toMatchObject({ validAttachments: [] });
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
