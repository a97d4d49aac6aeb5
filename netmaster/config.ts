import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { Command, InvalidArgumentError, Option } from "commander";
import type { CertificateFile } from "../state/certificates.ts";
import { parseDurationMs } from "../state/duration.ts";
import { asNetError, NetError } from "../state/errors.ts";
import type { Global } from "../state/kinds/global.ts";
import type { EtcdOptions, EtcdTlsOptions } from "../state/store/etcd/options.ts";
import { DEFAULT_LEADER_TTL_S } from "../state/store/store.ts";
import { isSwitchedOn } from "../state/switch-text.ts";
import { refuseUnknownVariables } from "../state/unknown-variables.ts";
import { formatListenAddress, isLoopback, type ListenAddress, parseListenAddress } from "./http/listen-address.ts";
import { readTlsFiles, type TlsFiles } from "./http/tls-files.ts";

/** What netmaster was asked to be, checked; files are read. */
export interface NetmasterConfig {
  readonly name: string;
  readonly listen: readonly ListenAddress[];
  readonly advertiseUrl: string;
  readonly tls: TlsFiles | undefined;
  /** Authority of the other netmasters' REST certificates, for forwarding. */
  readonly peerCa: Buffer | undefined;
  readonly nodeApi: {
    readonly listen: ListenAddress;
    readonly advertiseUrl: string;
    readonly tls: TlsFiles | undefined;
  };
  readonly etcd: Pick<EtcdOptions, "endpoints" | "tls" | "auth">;
  /** Every certificate that it reads. */
  readonly certificates: readonly CertificateFile[];
  readonly fwdMode: Global["fwdMode"];
  readonly clusterMode: string;
  readonly leaderTtlMs: number | undefined;
  readonly nodeTimeoutMs: number;
  readonly reclaimAfterMs: number | undefined;
  readonly heartbeatIntervalMs: number;
  readonly logLevel: string;
}

interface Flags {
  readonly name: string;
  readonly listen: ListenAddress[];
  readonly advertiseUrl?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly tlsClientCa?: string;
  readonly tlsPeerCa?: string;
  readonly nodeApiListen: ListenAddress;
  readonly nodeApiAdvertiseUrl?: string;
  readonly nodeApiCert?: string;
  readonly nodeApiKey?: string;
  readonly nodeApiCa?: string;
  readonly nodeApiInsecure: boolean;
  readonly etcdEndpoints: string[];
  readonly etcdCa?: string;
  readonly etcdCert?: string;
  readonly etcdKey?: string;
  readonly etcdServerName?: string;
  readonly etcdUsername?: string;
  readonly etcdPasswordFile?: string;
  readonly fwdMode: Global["fwdMode"];
  readonly clusterMode: string;
  readonly leaderTtl?: number;
  readonly nodeTimeout: number;
  readonly nodeReclaimAfter?: number;
  readonly heartbeatInterval: number;
  readonly logLevel: string;
}

const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "fatal"];
const ENVIRONMENT_PREFIX = "CONTIV_NETMASTER_";
const DEFAULT_LISTEN = "127.0.0.1:9999";

/** Reads flags and `CONTIV_NETMASTER_*` variables (flags win); throws INVALID for what does not fit together. */
export function parseConfig(argv: readonly string[], version: string): NetmasterConfig {
  const program = command(version).parse([...argv], { from: "user" });
  refuseUnknownVariables(process.env, { prefix: ENVIRONMENT_PREFIX, known: variablesOf(program) });
  const flags = program.opts<Flags>();
  const listen = flags.listen.length === 0 ? [parseListenAddress(DEFAULT_LISTEN)] : flags.listen;
  const tls = tlsOf({ cert: flags.tlsCert, key: flags.tlsKey, ca: flags.tlsClientCa }, "--tls");
  return {
    name: flags.name,
    listen,
    advertiseUrl: flags.advertiseUrl ?? defaultUrl(listen, tls !== undefined, "--advertise-url"),
    tls,
    peerCa: flags.tlsPeerCa === undefined ? undefined : Buffer.from(readText(flags.tlsPeerCa, "--tls-peer-ca")),
    nodeApi: nodeApiOf(flags),
    etcd: etcdOf(flags),
    certificates: certificatesOf(flags),
    fwdMode: flags.fwdMode,
    clusterMode: flags.clusterMode,
    leaderTtlMs: flags.leaderTtl,
    nodeTimeoutMs: flags.nodeTimeout,
    reclaimAfterMs: flags.nodeReclaimAfter,
    heartbeatIntervalMs: flags.heartbeatInterval,
    logLevel: flags.logLevel,
  };
}

/** Every flag, for the page that lists them. */
export function netmasterOptions(): readonly Option[] {
  return command("").options;
}

/** What --help prints. */
export function helpText(): string {
  return command("").helpInformation();
}

function command(version: string): Command {
  const url = checked(checkUrl);
  const duration = checked((text) => parseDurationMs(text));
  const address = checked(parseListenAddress);
  const options = [
    flag("--name <name>", "name of this netmaster in logs").default(hostname(), "the host's name"),
    flag("--listen <address>", "REST address: host:port or fd:N; may be repeated")
      .argParser((text: string, previous: ListenAddress[]) => [...previous, ...text.split(",").map(address)])
      .default([], DEFAULT_LISTEN),
    flag("--advertise-url <url>", "how other netmasters reach this one's REST API (default: from --listen)").argParser(
      url,
    ),
    flag("--tls-cert <file>", "serve REST over TLS with this certificate"),
    flag("--tls-key <file>", "key of --tls-cert"),
    flag("--tls-client-ca <file>", "demand client certificates of this authority"),
    flag("--tls-peer-ca <file>", "authority of the other netmasters' REST certificates"),
    flag("--node-api-listen <address>", "address of the node API, host:port")
      .argParser(address)
      .default(parseListenAddress("127.0.0.1:9001"), "127.0.0.1:9001"),
    flag(
      "--node-api-advertise-url <url>",
      "how other netmasters reach this one's node API (default: from --node-api-listen)",
    ).argParser(url),
    flag("--node-api-cert <file>", "certificate of the node API, server and client side"),
    flag("--node-api-key <file>", "key of --node-api-cert"),
    flag("--node-api-ca <file>", "authority of the nodes' certificates"),
    onOff("--node-api-insecure", "allow the node API without TLS beyond the loopback"),
    flag("--etcd-endpoints <urls>", "etcd's members, a comma list of http(s)://host:port")
      .argParser((text: string) =>
        text
          .split(",")
          .map((each) => each.trim())
          .filter((each) => each !== ""),
      )
      .default(["http://127.0.0.1:2379"], "http://127.0.0.1:2379"),
    flag("--etcd-ca <file>", "authority of etcd's certificates"),
    flag("--etcd-cert <file>", "client certificate for etcd"),
    flag("--etcd-key <file>", "key of --etcd-cert"),
    flag("--etcd-server-name <name>", "name to expect in etcd's certificates"),
    flag("--etcd-username <name>", "name of the etcd user, with --etcd-password-file"),
    flag("--etcd-password-file <file>", "file with the etcd user's password"),
    flag("--fwd-mode <mode>", "forwarding mode of a new cluster").choices(["bridge", "routing"]).default("bridge"),
    flag("--cluster-mode <mode>", "text that inspect of globals shows as clusterMode").default("kubernetes"),
    flag(
      "--leader-ttl <duration>",
      `lease of the leader: a killed one is replaced after this time (default: ${DEFAULT_LEADER_TTL_S}s)`,
    ).argParser(duration),
    flag("--node-timeout <duration>", "silence after which a node is unreachable")
      .argParser(duration)
      .default(15_000, "15s"),
    flag(
      "--node-reclaim-after <duration>",
      "reclaim endpoints of nodes unreachable for so long (default: never)",
    ).argParser(duration),
    flag("--heartbeat-interval <duration>", "how often each node reports").argParser(duration).default(3_000, "3s"),
    flag("--log-level <level>", "least severity of the lines that are logged").choices(LOG_LEVELS).default("info"),
  ];
  const built = new Command("netmaster").description("The control plane of contiv-ts").version(version);
  for (const option of options) built.addOption(option);
  return built;
}

/** An option with its variable: `--node-timeout` is `CONTIV_NETMASTER_NODE_TIMEOUT`. */
function flag(flags: string, description: string): Option {
  const option = new Option(flags, description);
  return option.env(variableOf(option));
}

/** Commander takes any value of a flag's variable for "on", "false" included; so we read it ourselves. */
function onOff(flags: string, description: string): Option {
  const variable = variableOf(new Option(flags));
  return new Option(flags, `${description} (env: ${variable}=true)`).default(isSwitchedOn(process.env, variable));
}

/** Commander counts --version among the options; it has no variable. */
function variablesOf(command: Command): readonly string[] {
  return command.options.filter((option) => option.name() !== "version").map(variableOf);
}

function variableOf(option: Option): string {
  return `${ENVIRONMENT_PREFIX}${option.name().replaceAll("-", "_").toUpperCase()}`;
}

function checked<T>(parse: (text: string) => T): (text: string) => T {
  return (text) => {
    try {
      return parse(text);
    } catch (error) {
      throw new InvalidArgumentError(asNetError(error, "read it").message);
    }
  };
}

function checkUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.pathname !== "/") {
    throw new NetError("INVALID", `"${text}" is not http(s)://host:port`);
  }
  return url.origin;
}

function nodeApiOf(flags: Flags): NetmasterConfig["nodeApi"] {
  const listen = flags.nodeApiListen;
  const tls = tlsOf({ cert: flags.nodeApiCert, key: flags.nodeApiKey, ca: flags.nodeApiCa }, "--node-api");
  if (tls !== undefined && tls.ca === undefined) {
    throw new NetError("INVALID", "--node-api-ca is missing: without it no node's certificate could be verified");
  }
  if (tls === undefined && !isLoopback(listen) && !flags.nodeApiInsecure) {
    const where = formatListenAddress(listen);
    const message = `--node-api-listen ${where} can be reached from other machines: give --node-api-cert, -key and -ca, or --node-api-insecure`;
    throw new NetError("INVALID", message);
  }
  const url = flags.nodeApiAdvertiseUrl ?? defaultUrl([listen], tls !== undefined, "--node-api-advertise-url");
  return { listen, advertiseUrl: url, tls };
}

interface TlsFlags {
  readonly cert: string | undefined;
  readonly key: string | undefined;
  readonly ca: string | undefined;
}

function tlsOf({ cert, key, ca }: TlsFlags, flags: string): TlsFiles | undefined {
  if (cert === undefined && key === undefined && ca === undefined) return undefined;
  if (cert === undefined || key === undefined) {
    throw new NetError("INVALID", `${flags}-cert and ${flags}-key must be given together`);
  }
  const paths = { certFile: cert, keyFile: key };
  return readTlsFiles(ca === undefined ? paths : { ...paths, caFile: ca }, flags);
}

/** The address that others can use, when it can be told from where we listen. */
function defaultUrl(listen: readonly ListenAddress[], isTls: boolean, flagName: string): string {
  const tcp = listen.find((address) => address.is === "tcp");
  if (tcp === undefined) throw new NetError("INVALID", `${flagName} is needed where every socket is inherited`);
  const isWildcard = tcp.host === "::" || tcp.host === "0.0.0.0";
  const reachable = isWildcard ? { ...tcp, host: hostname() } : tcp;
  return `${isTls ? "https" : "http"}://${formatListenAddress(reachable)}`;
}

function certificatesOf(flags: Flags): readonly CertificateFile[] {
  const { tlsCert, tlsClientCa, tlsPeerCa, nodeApiCert, nodeApiCa, etcdCa, etcdCert } = flags;
  const all = {
    ...{ rest: tlsCert, "rest-ca": tlsClientCa, "rest-peer-ca": tlsPeerCa, "node-api": nodeApiCert },
    ...{ "nodes-ca": nodeApiCa, "etcd-ca": etcdCa, "etcd-client": etcdCert },
  };
  return Object.entries(all).flatMap(([purpose, file]) => (file === undefined ? [] : [{ purpose, file }]));
}

function etcdOf(flags: Flags): NetmasterConfig["etcd"] {
  const { etcdEndpoints: endpoints, etcdCa, etcdCert, etcdKey, etcdServerName, etcdUsername, etcdPasswordFile } = flags;
  if (etcdCa === undefined && (etcdCert ?? etcdKey ?? etcdServerName) !== undefined) {
    throw new NetError("INVALID", "--etcd-ca is missing: TLS to etcd needs the authority of its certificates");
  }
  if ((etcdUsername === undefined) !== (etcdPasswordFile === undefined)) {
    throw new NetError("INVALID", "--etcd-username and --etcd-password-file must be given together");
  }
  const tls = etcdCa === undefined ? {} : { tls: etcdTls(etcdCa, { etcdCert, etcdKey, etcdServerName }) };
  if (etcdUsername === undefined || etcdPasswordFile === undefined) return { endpoints, ...tls };
  const password = readText(etcdPasswordFile, "--etcd-password-file").trimEnd();
  return { endpoints, ...tls, auth: { username: etcdUsername, password } };
}

interface EtcdTlsFlags {
  readonly etcdCert: string | undefined;
  readonly etcdKey: string | undefined;
  readonly etcdServerName: string | undefined;
}

function etcdTls(caFile: string, { etcdCert, etcdKey, etcdServerName }: EtcdTlsFlags): EtcdTlsOptions {
  return {
    caFile,
    ...(etcdCert === undefined ? {} : { certFile: etcdCert }),
    ...(etcdKey === undefined ? {} : { keyFile: etcdKey }),
    ...(etcdServerName === undefined ? {} : { serverName: etcdServerName }),
  };
}

function readText(file: string, flagName: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw asNetError(error, `read ${flagName}`, "INVALID");
  }
}
