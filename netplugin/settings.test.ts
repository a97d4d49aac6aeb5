import { readFileSync } from "node:fs";
import { afterEach, describe, expect, it, vi } from "vitest";
import { optionsOf } from "../test/fakes/help-options.ts";
import { helpText, parseInvocation } from "./settings.ts";

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
      ...{ caFile: "/etc/contiv/nodes-ca.crt", certFile: "/etc/contiv/node.crt", keyFile: "/etc/contiv/node.key" },
    };
    const { settings } = parseInvocation(["node", "netplugin"]);
    expect(settings).toMatchObject({ nodeName: "node-1", tls });
    expect(settings.netmasterUrls).toHaveLength(3);
    expect(settings.uplinks).toEqual([{ alias: "default", nic: "eth1" }]);
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

describe("--help", () => {
  it("tells each default once", () => {
    const options = optionsOf(helpText());
    expect(options.length).toBeGreaterThan(20);
    for (const option of options) {
      const isFree = /<file>|--uplink|--only-uplink|--version|--help/.test(option);
      expect([option, option.match(/default:/g)?.length ?? 0]).toEqual([option, isFree ? 0 : 1]);
    }
  });
});

describe("durations", () => {
  it.each<[string[], Record<string, string>, number]>([
    [[], {}, 60_000],
    [["--resync-interval", "2m"], {}, 120_000],
    [["--resync-interval", "90"], {}, 90_000],
    [["--resync-interval-s", "30"], {}, 30_000],
    [["--resync-interval-s", "15s"], {}, 15_000],
    [["--resync-interval", "1h", "--resync-interval-s", "30"], {}, 3_600_000],
    [[], { CONTIV_NETPLUGIN_RESYNC_INTERVAL: "15s" }, 15_000],
    [[], { CONTIV_NETPLUGIN_RESYNC_INTERVAL_S: "20" }, 20_000],
  ])("%j %j: %i ms between comparisons", (argv, variables, resyncIntervalMs) => {
    for (const [name, value] of Object.entries(variables)) vi.stubEnv(name, value);
    expect(parse(...argv).settings.resyncIntervalMs).toBe(resyncIntervalMs);
  });

  it("say for how long connections of the log are folded; 0 is not at all", () => {
    const foldMs = (...argv: string[]) => parse(...argv).settings.connectionLog.foldMs;
    expect([foldMs(), foldMs("--connection-log-fold", "500ms"), foldMs("--connection-log-fold-s", "0")]).toEqual([
      5_000, 500, 0,
    ]);
  });
});

describe("what is wrong on the command line or in the environment", () => {
  /** What the process says before it ends. */
  function complaint(...argv: string[]): string {
    const said: string[] = [];
    vi.spyOn(process, "exit").mockImplementation(() => {
      throw new Error("ended");
    });
    vi.spyOn(process.stderr, "write").mockImplementation((text) => said.push(String(text)) > 0);
    expect(() => parse(...argv)).toThrow("ended");
    vi.restoreAllMocks();
    return said.join("");
  }

  it.each([
    [["--uplnk", "a=b"], "error: unknown option '--uplnk'\n(Did you mean --uplink?)"],
    [["--only-uplink", "eth1"], "error: --only-uplink goes with cleanup only"],
    [["cleanup", "--only-uplink", "eth 1"], "is not a name for a NIC"],
    [["clenup"], 'error: unknown command "clenup"; there are: run, cleanup'],
    [["--resync-interval", "0"], '"0" is not a duration such as 500ms, 15s, 10m or 1h'],
    [["--resync-interval", "2h"], '"2h" is not within 1s to 1h'],
  ])("%j", (argv, text) => expect(complaint(...argv)).toContain(text));

  it.each([
    ["CONTIV_NETPLUGIN_UPLNK", "did you mean CONTIV_NETPLUGIN_UPLINK?"],
    ["CONTIV_NETPLUGINN_UPLINK", "did you mean CONTIV_NETPLUGIN_UPLINK?"],
    ["CONTIV_UPLINK", "did you mean CONTIV_NETPLUGIN_UPLINK?"],
    ["CONTIV_NETPLUGIN_ALLOW_DEFAULTROUTE_UPLINK", "did you mean CONTIV_NETPLUGIN_ALLOW_DEFAULT_ROUTE_UPLINK?"],
    ["CONTIV_NETPLUGIN_ONLY_UPLINK", "--help lists"],
    ["CONTIV_NETPLUGIN_COLOUR", "--help lists those that there are"],
  ])("%s in the environment", (name, hint) => {
    vi.stubEnv(name, "default=eth1");
    expect(complaint()).toContain(`error: environment variable ${name} is unknown; ${hint}`);
  });
});
