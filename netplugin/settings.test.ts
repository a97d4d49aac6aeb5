import { readFileSync } from "node:fs";
import { afterEach, describe, expect, it, vi } from "vitest";
import { parseInvocation } from "./settings.ts";

const parse = (...argv: string[]) => parseInvocation(["node", "netplugin", "--node-name", "n1", ...argv]);

afterEach(() => vi.unstubAllEnvs());

describe("settings", () => {
  it("reads flags and variables; flags win", () => {
    vi.stubEnv("CONTIV_NETPLUGIN_UPLINK", "default=eth1,storage=eth2");
    vi.stubEnv("CONTIV_NETPLUGIN_READY_PORTS", "3");
    const { command, settings } = parse("--ready-ports", "5");
    expect(command).toBe("run");
    expect(settings).toMatchObject({
      readyPorts: 5,
      uplinks: [
        { alias: "default", nic: "eth1" },
        { alias: "storage", nic: "eth2" },
      ],
      ...{ inspectHost: "127.0.0.1", inspectPort: 9090, allowDefaultRouteUplink: false, tls: undefined },
    });
  });

  it("knows every variable of the sample for systemd", () => {
    const sample = readFileSync(new URL("../deploy/systemd/netplugin.env", import.meta.url), "utf8");
    for (const [, name, value] of sample.matchAll(/^(CONTIV_\w+)=(.*)$/gm)) vi.stubEnv(name ?? "", value);
    const tls = {
      ...{ caFile: "/etc/contiv/nodes-ca.crt", certFile: "/etc/contiv/node-7.crt", keyFile: "/etc/contiv/node-7.key" },
    };
    const { settings } = parseInvocation(["node", "netplugin"]);
    expect(settings).toMatchObject({ nodeName: "node-7", tls });
    expect(settings.netmasterUrls).toHaveLength(3);
    expect(settings.uplinks).toHaveLength(2);
  });

  it("limits what pods begin, unless told otherwise", () => {
    expect(parse().settings.newConnectionsPerSecond).toBe(4_000);
    expect(parse("--new-connections-per-second", "0").settings.newConnectionsPerSecond).toBe(0);
    expect(parse().settings.neighbourMessagesPerSecond).toBe(200);
    expect(parse("--neighbour-messages-per-second", "0").settings.neighbourMessagesPerSecond).toBe(0);
  });

  it.each([
    ["false", false],
    ["0", false],
    ["true", true],
  ])("a NIC with the default route is taken when the variable says %j: %j", (text, isAllowed) => {
    vi.stubEnv("CONTIV_NETPLUGIN_ALLOW_DEFAULT_ROUTE_UPLINK", text);
    expect(parse().settings.allowDefaultRouteUplink).toBe(isAllowed);
    expect(parse("--allow-default-route-uplink", "cleanup")).toMatchObject({
      command: "cleanup",
      settings: { allowDefaultRouteUplink: true },
    });
  });
});
