import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { type CniResult, NO_DNS, renderResult } from "./result.ts";
import type { CniVersion } from "./versions.ts";

/** Debian's containernetworking-plugins: with no port to map, portmap decodes prevResult with libcni and prints it again. */
const PORTMAP = "/usr/lib/cni/portmap";

const RESULT: CniResult = {
  interfaces: [
    { name: "cvp1", mac: "02:00:00:00:00:01", mtuBytes: 1450, sandbox: undefined },
    { name: "eth0", mac: "02:02:0a:01:01:02", mtuBytes: 1450, sandbox: "/run/netns/pod" },
  ],
  ips: [
    { address: "10.1.1.2/24", gateway: "10.1.1.1", interfaceIndex: 1 },
    { address: "fd00::2/64", gateway: "fd00::1", interfaceIndex: 1 },
  ],
  routes: [
    { destination: "0.0.0.0/0", gateway: "10.1.1.1" },
    { destination: "::/0", gateway: "fd00::1" },
  ],
  dns: { ...NO_DNS, nameservers: ["10.1.1.1"] },
};

describe.skipIf(!existsSync(PORTMAP))("renderResult", () => {
  it.each<CniVersion>(["0.3.0", "0.3.1", "0.4.0", "1.0.0"])("is read by libcni without loss (%s)", (cniVersion) => {
    const prevResult = renderResult(RESULT, cniVersion);
    const { stdout, stderr } = spawnSync(PORTMAP, {
      input: JSON.stringify({ cniVersion, name: "contiv", type: "portmap", prevResult }),
      env: {
        CNI_COMMAND: "ADD",
        CNI_CONTAINERID: "c1",
        CNI_NETNS: "/run/netns/pod",
        CNI_IFNAME: "eth0",
        CNI_PATH: "/usr/lib/cni",
      },
    });
    expect(stderr.toString()).toBe("");
    expect(JSON.parse(stdout.toString())).toEqual(prevResult);
  });
});
