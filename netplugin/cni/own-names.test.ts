import { describe, expect, it } from "vitest";
import { add, failure, parse } from "./testing/calls.ts";

const ANNOTATIONS = "io.kubernetes.cri.pod-annotations";
const labels = (label: string) => ({ args: { labels: { [label]: "front" } } });

describe("a label that is almost ours", () => {
  it.each([
    ["io.contiv.netgroup", "io.contiv.net-group"],
    ["io.contiv.net-gruop", "io.contiv.net-group"],
    ["io.contiv.group", undefined],
    ["IO.contiv.tenant", "io.contiv.tenant"],
    ["io.contiv.tennant", "io.contiv.tenant"],
    ["io.contiv/tenant", "io.contiv.tenant"],
    ["io.contv.network", "io.contiv.network"],
    ["io-contiv.net-group", "io.contiv.net-group"],
    ["io.contiv.colour", undefined],
    ["io.contiv.", undefined],
  ])("%j is refused; meant: %j", (label, near) => {
    const hint = near === undefined ? "; there are: io.contiv.tenant, " : `; did you mean ${near}?`;
    for (const value of ["front", ""]) {
      const forms = [{ labels: { [label]: value } }, { labels: [{ key: label, value }] }];
      for (const command of ["ADD", "CHECK"]) {
        const rest = { prevResult: { cniVersion: "1.0.0" } };
        for (const args of forms) {
          const { code, msg } = failure(command, {}, { ...rest, args });
          expect([code, msg]).toEqual([7, expect.stringContaining(`args.labels: label "${label}" is unknown${hint}`)]);
          const inner = failure(command, {}, { ...rest, args: { cni: args } });
          expect(inner.msg).toContain(`args.cni.labels: label "${label}" is unknown${hint}`);
        }
      }
    }
  });

  it("is no reason for DEL to fail", () => {
    expect(parse("DEL", { CNI_ARGS: "io.contiv.tenant=t" }, labels("io.contiv.netgroup"))).toMatchObject({
      command: "DEL",
    });
  });

  it.each([["app"], ["tenant"], ["group"], ["network"], ["app.kubernetes.io/name"], ["io.cilium.k8s.policy.cluster"]])(
    "%j is somebody else's",
    (label) => expect(add({}, labels(label)).placement.groupName).toBeUndefined(),
  );
});

describe("a label of ours where nobody reads it", () => {
  const label = { "io.contiv.net-group": "front" };
  it.each<[string, object]>([
    ["io.contiv.net-group", label],
    ["args.io.contiv.net-group", { args: label }],
    ["args.cni.io.contiv.net-group", { args: { cni: label } }],
    ["args.annotations.io.contiv.net-group", { args: { annotations: label } }],
    [
      "runtimeConfig.io.kubernetes.cri.pod-annotations.io.contiv.net-group",
      { runtimeConfig: { [ANNOTATIONS]: label } },
    ],
  ])("%s: is refused, and where it belongs is said", (field, config) => {
    expect(failure("ADD", {}, config)).toMatchObject({
      code: 7,
      msg: `Network configuration: "${field}" is not read there; move it to args.labels`,
    });
  });

  it.each(["io.contiv.net-group", "io.contiv.netgroup", "IO.Contiv.Tenant"])(
    "%s in CNI_ARGS, whatever is to be ignored",
    (key) => {
      const { code, msg } = failure("ADD", { CNI_ARGS: `IgnoreUnknown=1;${key}=front` }, {});
      expect([code, msg]).toEqual([4, expect.stringMatching(/which is unknown; labels are read from args\.labels/)]);
    },
  );

  it.each(["labels", "annotations"])("%s beside args instead of in it", (name) => {
    expect(failure("ADD", {}, { [name]: label }).msg).toMatch(
      new RegExp(`"${name}" is not read there; move it to args\\.${name}`),
    );
  });
});

describe("members that are almost ours", () => {
  it.each<[object, string, string]>([
    [{ MTU: 1_400 }, "MTU", "mtu"],
    [{ mtuu: 1_400 }, "mtuu", "mtu"],
    [{ arg: { labels: {} } }, "arg", "args"],
    [{ args: { lables: { a: "b" } } }, "args.lables", "args.labels"],
    [{ args: { label: { a: "b" } } }, "args.label", "args.labels"],
    [{ args: { anotations: { a: "b" } } }, "args.anotations", "args.annotations"],
    [{ args: { CNI: { ips: ["10.0.0.2"] } } }, "args.CNI", "args.cni"],
    [{ args: { cni: { ip: ["10.0.0.2"] } } }, "args.cni.ip", "args.cni.ips"],
    [{ capabilities: { bandwith: true } }, "capabilities.bandwith", "capabilities.bandwidth"],
    [
      { runtimeConfig: { bandwidth: { ingresRate: 1_000 } } },
      "runtimeConfig.bandwidth.ingresRate",
      "runtimeConfig.bandwidth.ingressRate",
    ],
    [
      { args: { annotations: { "kubernetes.io/ingress-bandwith": "1M" } } },
      "args.annotations.kubernetes.io/ingress-bandwith",
      "args.annotations.kubernetes.io/ingress-bandwidth",
    ],
    [
      { runtimeConfig: { [ANNOTATIONS]: { "kubernetes.io/egress_bandwidth": "1M" } } },
      `runtimeConfig.${ANNOTATIONS}.kubernetes.io/egress_bandwidth`,
      `runtimeConfig.${ANNOTATIONS}.kubernetes.io/egress-bandwidth`,
    ],
  ])("%j is refused", (config, field, near) => {
    const { code, msg } = failure("ADD", {}, config);
    expect([code, msg]).toEqual([7, `Network configuration: "${field}" is unknown; did you mean ${near}?`]);
  });

  it.each([
    ["IPS=10.0.0.1", "IP"],
    ["ip=10.0.0.1", "IP"],
    ["MACC=02:00:00:00:00:01", "MAC"],
    ["Ignoreunknow=1", "IgnoreUnknown"],
  ])("CNI_ARGS %s", (text, near) => {
    const { code, msg } = failure("ADD", { CNI_ARGS: `${text};IgnoreUnknown=1` }, {});
    expect([code, msg]).toEqual([4, expect.stringMatching(new RegExp(`is unknown; did you mean ${near}\\?`))]);
  });

  it("leaves alone what others read, and what the runtime writes in its own way", () => {
    const config = {
      ...{ dns: {}, ipam: { type: "x" }, ipMasq: false, plugins: [], disableCheck: true, "cni.dev/attachments": [] },
      args: {
        "org.example": { mtu: 5 },
        cni: { mac: "x", ips: [] },
        annotations: { "kubernetes.io/ingress.class": "a" },
      },
      capabilities: { portMappings: true, mac: true, deviceID: true, ips: true },
      runtimeConfig: {
        bandwidth: { IngressRate: 1_000, UnshapedSubnets: ["10.0.0.0/8"] },
        [ANNOTATIONS]: { "kubernetes.io/config.seen": "x", "k8s.v1.cni.cncf.io/networks": "y" },
      },
    };
    const CNI_ARGS = "IgnoreUnknown=1;K8S_POD_IP=10.0.0.1;K8S_POD_NAME=p;Other=x";
    expect(add({ CNI_ARGS }, config).bandwidth.podIngress).toMatchObject({ rateBitPerSecond: 1_000 });
  });
});
