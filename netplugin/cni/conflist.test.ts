import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { encodeFrame, parseFrame } from "./protocol.ts";
import { parseRequest } from "./request.ts";

const Conflist = z.object({
  cniVersion: z.string(),
  name: z.string(),
  plugins: z.array(z.looseObject({ type: z.string(), capabilities: z.record(z.string(), z.boolean()) })),
});

const conflist = Conflist.parse(
  JSON.parse(readFileSync(join(import.meta.dirname, "../../deploy/cni/10-contiv.conflist"), "utf8")),
);

describe("default conflist", () => {
  it("is a version that every runtime accepts, with portmap behind us", () => {
    expect(conflist).toMatchObject({ cniVersion: "1.0.0", name: "contiv" });
    expect(conflist.plugins.map((plugin) => plugin.type)).toEqual(["contiv", "portmap"]);
  });

  it("declares for us only what a call may then carry", () => {
    const values: Record<string, unknown> = {
      ips: ["10.1.1.5"],
      bandwidth: { ingressRate: 1_000_000 },
      "io.kubernetes.cri.pod-annotations": { a: "b" },
    };
    const [own] = conflist.plugins;
    const runtimeConfig = Object.fromEntries(Object.keys(own?.capabilities ?? {}).map((name) => [name, values[name]]));
    const config = { ...own, cniVersion: conflist.cniVersion, name: conflist.name, runtimeConfig };
    const env = { CNI_COMMAND: "ADD", CNI_CONTAINERID: "c1", CNI_NETNS: "/run/netns/pod", CNI_IFNAME: "eth0" };
    const request = parseRequest(parseFrame(encodeFrame(Object.entries(env), JSON.stringify(config))));
    expect(request).toMatchObject({ requestedIps: [{ address: "10.1.1.5" }], podAnnotations: new Map([["a", "b"]]) });
    expect(request).toMatchObject({ bandwidth: { podIngress: { rateBitPerSecond: 1_000_000 } } });
  });
});
