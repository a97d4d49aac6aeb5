import { isIP } from "node:net";
import { hostname } from "node:os";
import { Command, InvalidArgumentError, Option } from "commander";
import type { UplinkSpec } from "../drivers/ovs/uplinks/uplink.ts";
import { type DurationBounds, parseDurationMs } from "../state/duration.ts";
import { asNetError } from "../state/errors.ts";
import { NodeName } from "../state/names.ts";
import { isSwitchedOn } from "../state/switch-text.ts";
import { refuseUnknownVariables } from "../state/unknown-variables.ts";
import { VERSION } from "../state/version.ts";
import { PIPELINE_GENERATION } from "./desired/pipeline/pipeline.ts";
import type { TlsFiles } from "./node-client/transport.ts";
import type { LineLimits } from "./report/connection-log/line-limiter.ts";

/** Everything that can be set, by flag or by environment variable `CONTIV_NETPLUGIN_…`. */
export interface NodeSettings {
  readonly nodeName: NodeName;
  readonly netmasterUrls: readonly string[];
  readonly tls: TlsFiles | undefined;
  readonly ovsRunDirectory: string;
  readonly datapath: "auto" | "system" | "netdev";
  readonly uplinks: readonly UplinkSpec[];
  readonly allowDefaultRouteUplink: boolean;
  readonly vtepIp: string | undefined;
  readonly vxlanUdpPort: number;
  readonly cniSocketPath: string;
  readonly inspectHost: string;
  readonly inspectPort: number;
  readonly readyPorts: number;
  /** Network namespace in which the far ends of ready ports wait, one per node. */
  readonly panelNetns: string;
  readonly resyncIntervalMs: number;
  /** How many connections one pod may begin per second; 0 = any number. */
  readonly newConnectionsPerSecond: number;
  /** How many messages of ARP and neighbour discovery one pod may send per second; 0 = any number. */
  readonly neighbourMessagesPerSecond: number;
  readonly pipelineGeneration: number;
  readonly logLevel: string;
  /** How many lines log rules may write. */
  readonly connectionLog: LineLimits;
}

export interface Invocation {
  readonly command: "run" | "cleanup";
  /** Of cleanup: the NIC to give back, and nothing else. */
  readonly onlyUplink: string | undefined;
  readonly settings: NodeSettings;
}

const ENVIRONMENT_PREFIX = "CONTIV_NETPLUGIN_";
const MAX_READY_PORTS = 256;
const MAX_GENERATION = 65_535;
const MAX_LINES_PER_S = 1_000;
const DEFAULT_RESYNC_INTERVAL_MS = 60_000;
const RESYNC_BOUNDS = { minMs: 1_000, maxMs: 3_600_000 };
const DEFAULT_FOLD_MS = 5_000;
const FOLD_BOUNDS = { minMs: 0, maxMs: 60_000 };

function flag(flags: string, description: string): Option {
  const option = new Option(flags, description);
  return option.env(variableOf(option));
}

/** Commander takes any value of a flag's variable for "on", "false" included; so we read it ourselves. */
function onOff(flags: string, description: string): Option {
  const variable = variableOf(new Option(flags));
  return new Option(flags, `${description} (env: ${variable}=true)`).default(isSwitchedOn(process.env, variable));
}

/** Options that are no settings, and have no variable; commander counts --version among them. */
const DEEDS: ReadonlySet<string> = new Set(["version", "only-uplink"]);

function settingsAmong(options: readonly Option[]): readonly Option[] {
  return options.filter((option) => !DEEDS.has(option.name()));
}

function variableOf(option: Option): string {
  return ENVIRONMENT_PREFIX + option.name().toUpperCase().replaceAll("-", "_");
}

function duration(bounds: DurationBounds): (text: string) => number {
  return (text) => {
    try {
      return parseDurationMs(text, bounds);
    } catch (error) {
      throw new InvalidArgumentError(asNetError(error, "read it").message);
    }
  };
}

function integerBetween(low: number, high: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (Number.isInteger(value) && value >= low && value <= high) return value;
    throw new InvalidArgumentError(`must be a whole number from ${low} to ${high}`);
  };
}

function uplinkList(text: string, earlier: readonly UplinkSpec[] = []): readonly UplinkSpec[] {
  const specs = text.split(",").map((part) => {
    const [alias, nic, ...rest] = part.split("=");
    if (alias === undefined || alias === "" || nic === undefined || nic === "" || rest.length > 0) {
      throw new InvalidArgumentError("wants physical-network=NIC, for example default=eth1");
    }
    return { alias, nic };
  });
  return [...earlier, ...specs];
}

function urlList(text: string): readonly string[] {
  return text.split(",").map((part) => {
    const url = URL.parse(part);
    if (url !== null && (url.protocol === "http:" || url.protocol === "https:")) return part;
    throw new InvalidArgumentError(`"${part}" is not an http or https URL`);
  });
}

function netnsName(text: string): string {
  if (/^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,63}$/.test(text)) return text;
  throw new InvalidArgumentError("is not a name for a network namespace");
}

function nicName(text: string): string {
  if (/^[^\s/]{1,15}$/.test(text)) return text;
  throw new InvalidArgumentError("is not a name for a NIC");
}

function ipAddress(text: string): string {
  if (isIP(text) !== 0) return text;
  throw new InvalidArgumentError("is not an IP address");
}

function listenAddress(text: string): { readonly host: string; readonly port: number } {
  const match = /^(?:\[([0-9a-fA-F:]+)\]|([^:]+)):([0-9]{1,5})$/.exec(text);
  if (match === null) throw new InvalidArgumentError("wants host:port, for example 127.0.0.1:9090");
  return { host: match[1] ?? match[2] ?? "", port: Number(match[3]) };
}

interface Flags {
  readonly onlyUplink?: string;
  readonly nodeName: string;
  readonly netmasterUrls: readonly string[];
  readonly nodeApiCa?: string;
  readonly nodeApiCert?: string;
  readonly nodeApiKey?: string;
  readonly ovsRunDir: string;
  readonly datapath: "auto" | "system" | "netdev";
  readonly uplink?: readonly UplinkSpec[];
  readonly allowDefaultRouteUplink: boolean;
  readonly vtepIp?: string;
  readonly vxlanPort: number;
  readonly cniSocket: string;
  readonly inspectListen: { readonly host: string; readonly port: number };
  readonly readyPorts: number;
  readonly panelNetns: string;
  readonly resyncInterval?: number;
  /** Of the release before, as connectionLogFoldS. */
  readonly resyncIntervalS?: number;
  readonly newConnectionsPerSecond: number;
  readonly neighbourMessagesPerSecond: number;
  readonly pipelineGeneration: number;
  readonly logLevel: string;
  readonly connectionLogLinesPerS: number;
  readonly connectionLogRuleLinesPerS: number;
  readonly connectionLogFold?: number;
  readonly connectionLogFoldS?: number;
}

function withConnectionLog(command: Command): Command {
  return command
    .addOption(
      flag("--connection-log-lines-per-s <count>", "lines per second that log rules may write on this node")
        .argParser(integerBetween(1, MAX_LINES_PER_S))
        .default(20),
    )
    .addOption(
      flag("--connection-log-rule-lines-per-s <count>", "lines per second that one log rule may write")
        .argParser(integerBetween(1, MAX_LINES_PER_S))
        .default(5),
    )
    .addOption(
      flag(
        "--connection-log-fold <duration>",
        "a connection that is met again within this time is logged once (default: 5s)",
      ).argParser(duration(FOLD_BOUNDS)),
    )
    .addOption(flag("--connection-log-fold-s <duration>", "").argParser(duration(FOLD_BOUNDS)).hideHelp());
}

function withPodLimits(command: Command): Command {
  return command
    .addOption(
      flag(
        "--new-connections-per-second <count>",
        "connections that one pod may begin per second, where policies are (0 = any number)",
      )
        .argParser(integerBetween(0, 1_000_000))
        .default(4_000),
    )
    .addOption(
      flag(
        "--neighbour-messages-per-second <count>",
        "messages of ARP and neighbour discovery that one pod may send per second, five times as many at once (0 = any number)",
      )
        .argParser(integerBetween(0, 1_000_000))
        .default(200),
    );
}

function program(): Command {
  const command = withPodLimits(withConnectionLog(new Command("netplugin").version(VERSION)));
  return withUpkeep(
    command
      .description("The node agent of contiv-ts: programs Open vSwitch and attaches pods.")
      .argument("[command]", "run, or cleanup: remove everything of ours from this node and give the NICs back", "run")
      .addOption(
        new Option(
          "--only-uplink <NIC>",
          "with cleanup: give back this NIC, which --uplink does not name any more, and leave everything else; netplugin may run",
        ).argParser(nicName),
      )
      .addOption(flag("--node-name <name>", "name of this node").default(hostname(), "the host's name"))
      .addOption(
        flag("--netmaster-urls <urls>", "node API of the netmasters, comma separated")
          .argParser(urlList)
          .default(["http://127.0.0.1:9001"], "http://127.0.0.1:9001"),
      )
      .addOption(flag("--node-api-ca <file>", "authority that signs netmaster's certificate"))
      .addOption(flag("--node-api-cert <file>", "certificate of this node; its common name is the node's name"))
      .addOption(flag("--node-api-key <file>", "key of that certificate"))
      .addOption(flag("--ovs-run-dir <path>", "run directory of Open vSwitch").default("/var/run/openvswitch"))
      .addOption(
        flag(
          "--datapath <type>",
          "datapath: the kernel's (system), that in user space (netdev), or the kernel's where its module is loaded (auto)",
        )
          .choices(["auto", "system", "netdev"])
          .default("auto"),
      )
      .addOption(
        flag(
          "--uplink <list>",
          "NIC of a physical network, as physical-network=NIC; may be repeated or a comma list",
        ).argParser(uplinkList),
      )
      .addOption(onOff("--allow-default-route-uplink", "take a NIC over although it carries the default route"))
      .addOption(flag("--vtep-ip <address>", "tunnel endpoint address (default: the uplink's)").argParser(ipAddress))
      .addOption(flag("--vxlan-port <port>", "UDP port of VXLAN").argParser(integerBetween(1, 65_535)).default(4789))
      .addOption(flag("--cni-socket <path>", "socket for the CNI shim").default("/run/contiv/contiv-cni.sock"))
      .addOption(
        flag("--inspect-listen <host:port>", "address of health, metrics and inspection")
          .argParser(listenAddress)
          .default({ host: "127.0.0.1", port: 9090 }, "127.0.0.1:9090"),
      ),
  );
}

/** What is kept ready and compared, and what is logged. */
function withUpkeep(command: Command): Command {
  return command
    .addOption(
      flag("--ready-ports <count>", "ports kept ready for the next pods, 0-256")
        .argParser(integerBetween(0, MAX_READY_PORTS))
        .default(16),
    )
    .addOption(
      flag("--panel-netns <name>", "network namespace for ready ports").argParser(netnsName).default("contiv-panel"),
    )
    .addOption(
      flag(
        "--resync-interval <duration>",
        "how often all flows and ports are compared with what they should be, 1s-1h (default: 1m)",
      ).argParser(duration(RESYNC_BOUNDS)),
    )
    .addOption(flag("--resync-interval-s <duration>", "").argParser(duration(RESYNC_BOUNDS)).hideHelp())
    .addOption(
      flag(
        "--pipeline-generation <number>",
        "generation in the flows' cookies; another number replaces all flows at once",
      )
        .argParser(integerBetween(1, MAX_GENERATION))
        .default(PIPELINE_GENERATION),
    )
    .addOption(
      flag("--log-level <level>", "least severity of the lines that are logged")
        .choices(["trace", "debug", "info", "warn", "error"])
        .default("info"),
    );
}

/** Every flag that is a setting, for the page that lists them. */
export function netpluginOptions(): readonly Option[] {
  return settingsAmong(program().options);
}

/** What --help prints. */
export function helpText(): string {
  return program().helpInformation();
}

/** Reads command line and environment; exits with a clear message when something is wrong. */
export function parseInvocation(argv: readonly string[]): Invocation {
  const command = programOrExit();
  command.parse([...argv]);
  refuseVariables(command);
  const [name] = command.processedArgs as [string];
  if (name !== "run" && name !== "cleanup") command.error(`error: unknown command "${name}"; there are: run, cleanup`);
  const flags = command.opts<Flags>();
  if (name === "run" && flags.onlyUplink !== undefined) command.error("error: --only-uplink goes with cleanup only");
  return {
    command: name === "cleanup" ? "cleanup" : "run",
    onlyUplink: flags.onlyUplink,
    settings: settingsOf(command, flags),
  };
}

function refuseVariables(command: Command): void {
  try {
    refuseUnknownVariables(process.env, {
      prefix: ENVIRONMENT_PREFIX,
      known: settingsAmong(command.options).map(variableOf),
    });
  } catch (error) {
    command.error(`error: ${asNetError(error, "read the environment").message}`);
  }
}

function programOrExit(): Command {
  try {
    return program();
  } catch (error) {
    return new Command("netplugin").error(`error: ${asNetError(error, "read the environment").message}`);
  }
}

function settingsOf(command: Command, flags: Flags): NodeSettings {
  const nodeName = NodeName.safeParse(flags.nodeName);
  if (!nodeName.success) return command.error(`error: --node-name "${flags.nodeName}" is not a valid host name`);
  return {
    nodeName: nodeName.data,
    netmasterUrls: flags.netmasterUrls,
    tls: tlsOf(command, flags),
    ovsRunDirectory: flags.ovsRunDir,
    datapath: flags.datapath,
    uplinks: flags.uplink ?? [],
    allowDefaultRouteUplink: flags.allowDefaultRouteUplink,
    vtepIp: flags.vtepIp,
    vxlanUdpPort: flags.vxlanPort,
    cniSocketPath: flags.cniSocket,
    inspectHost: flags.inspectListen.host,
    inspectPort: flags.inspectListen.port,
    readyPorts: flags.readyPorts,
    panelNetns: flags.panelNetns,
    resyncIntervalMs: flags.resyncInterval ?? flags.resyncIntervalS ?? DEFAULT_RESYNC_INTERVAL_MS,
    newConnectionsPerSecond: flags.newConnectionsPerSecond,
    neighbourMessagesPerSecond: flags.neighbourMessagesPerSecond,
    pipelineGeneration: flags.pipelineGeneration,
    logLevel: flags.logLevel,
    connectionLog: {
      linesPerSecond: flags.connectionLogLinesPerS,
      ruleLinesPerSecond: flags.connectionLogRuleLinesPerS,
      foldMs: flags.connectionLogFold ?? flags.connectionLogFoldS ?? DEFAULT_FOLD_MS,
    },
  };
}

function tlsOf(command: Command, flags: Flags): TlsFiles | undefined {
  const { nodeApiCa: caFile, nodeApiCert: certFile, nodeApiKey: keyFile } = flags;
  const wantsTls = flags.netmasterUrls.some((url) => url.startsWith("https:"));
  if (caFile === undefined && certFile === undefined && keyFile === undefined && !wantsTls) return undefined;
  if (caFile === undefined || certFile === undefined || keyFile === undefined) {
    return command.error("error: an https netmaster needs --node-api-ca, --node-api-cert and --node-api-key");
  }
  return { caFile, certFile, keyFile };
}
