import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it, vi } from "vitest";
import { optionsOf } from "../test/fakes/help-options.ts";
import { helpText, parseConfig } from "./config.ts";
import { isLoopback, parseListenAddress } from "./http/listen-address.ts";

const directory = mkdtempSync(join(tmpdir(), "config-"));
const cert = join(directory, "cert.pem");
const key = join(directory, "key.pem");
const otherKey = join(directory, "other.pem");
const garbage = join(directory, "garbage.pem");
writeFileSync(garbage, "no PEM");
const openssl = (...argv: string[]) => execFileSync("openssl", argv, { stdio: "ignore" });
openssl(
  "req",
  "-x509",
  "-newkey",
  "ec",
  "-pkeyopt",
  "ec_paramgen_curve:prime256v1",
  "-nodes",
  "-keyout",
  key,
  "-out",
  cert,
  "-subj",
  "/CN=netmaster",
);
openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", otherKey);

afterEach(() => vi.unstubAllEnvs());

const parse = (...argv: string[]) => parseConfig(argv, "1.0");

describe("configuration", () => {
  it("has defaults that are safe on one machine", () => {
    const config = parse("--name", "m1");
    expect(config.listen).toEqual([{ is: "tcp", host: "127.0.0.1", port: 9999 }]);
    expect(config.advertiseUrl).toBe("http://127.0.0.1:9999");
    expect(config.nodeApi).toMatchObject({ advertiseUrl: "http://127.0.0.1:9001", tls: undefined });
    expect(config).toMatchObject({ fwdMode: "bridge", nodeTimeoutMs: 15_000, reclaimAfterMs: undefined });
    expect(config.etcd).toEqual({ endpoints: ["http://127.0.0.1:2379"] });
  });

  it("takes several addresses, an inherited socket, and variables; flags win", () => {
    vi.stubEnv("CONTIV_NETMASTER_NODE_TIMEOUT", "30s");
    vi.stubEnv("CONTIV_NETMASTER_FWD_MODE", "routing");
    const config = parse("--listen", "fd:3", "--listen", "[::1]:8000", "--fwd-mode", "bridge");
    expect(config.listen).toEqual([
      { is: "inherited", fd: 3 },
      { is: "tcp", host: "::1", port: 8000 },
    ]);
    expect(config).toMatchObject({ advertiseUrl: "http://[::1]:8000", nodeTimeoutMs: 30_000, fwdMode: "bridge" });
  });

  it("knows every variable of the sample for systemd", () => {
    const sample = readFileSync(new URL("../deploy/systemd/netmaster.env", import.meta.url), "utf8");
    for (const [, name, value] of sample.matchAll(/^(CONTIV_\w+)=(.*)$/gm)) {
      vi.stubEnv(name ?? "", value?.replace(/^\/.*\.crt$/, cert).replace(/^\/.*\.key$/, key));
    }
    const config = parse();
    expect(config).toMatchObject({
      listen: [{ is: "tcp", host: "0.0.0.0", port: 9999 }],
      advertiseUrl: "https://master-1:9999",
      nodeApi: { listen: { port: 9001 }, advertiseUrl: "https://master-1:9001" },
    });
    expect(config.etcd.endpoints).toHaveLength(3);
    for (const files of [config.tls, config.nodeApi.tls, config.etcd.tls])
      expect(Object.keys(files ?? {})).toHaveLength(3);
    expect(config.peerCa).toBeDefined();
  });

  it.each([
    ["false", false],
    ["0", false],
    ["", false],
    ["true", true],
    ["1", true],
  ])("a switch's variable may say %j", (text, isOn) => {
    vi.stubEnv("CONTIV_NETMASTER_NODE_API_INSECURE", text);
    const start = () => parse("--node-api-listen", "0.0.0.0:9001");
    if (isOn) expect(start().nodeApi.listen).toMatchObject({ host: "0.0.0.0" });
    else expect(start).toThrow("--node-api-insecure");
  });

  it("a switch's variable that says neither is refused", () => {
    vi.stubEnv("CONTIV_NETMASTER_NODE_API_INSECURE", "maybe");
    expect(() => parse()).toThrow('CONTIV_NETMASTER_NODE_API_INSECURE must be true or false, not "maybe"');
  });

  it("reads the password of etcd from its file only", () => {
    const file = join(directory, "password");
    writeFileSync(file, "secret\n");
    const config = parse("--etcd-username", "root", "--etcd-password-file", file);
    expect(config.etcd.auth).toEqual({ username: "root", password: "secret" });
  });

  it("opens the node API beyond the loopback with TLS, or when it is told to", () => {
    expect(parse("--node-api-listen", "10.0.0.1:9001", "--node-api-insecure").nodeApi.tls).toBeUndefined();
    const tls = ["--node-api-cert", cert, "--node-api-key", key, "--node-api-ca", cert];
    expect(parse("--node-api-listen", "10.0.0.1:9001", ...tls).nodeApi.advertiseUrl).toBe("https://10.0.0.1:9001");
  });
});

const REFUSED: readonly { readonly argv: readonly string[]; readonly says: RegExp }[] = [
  { argv: ["--node-api-listen", "0.0.0.0:9001"], says: /can be reached from other machines.*--node-api-insecure/ },
  { argv: ["--node-api-listen", ":9001"], says: /can be reached from other machines/ },
  { argv: ["--node-api-cert", cert, "--node-api-key", key], says: /--node-api-ca is missing/ },
  { argv: ["--node-api-cert", cert], says: /--node-api-cert and --node-api-key must be given together/ },
  {
    argv: ["--node-api-cert", "/none", "--node-api-key", key, "--node-api-ca", cert],
    says: /read --node-api-cert.*ENOENT/,
  },
  { argv: ["--node-api-cert", cert, "--node-api-key", otherKey, "--node-api-ca", cert], says: /does not belong to/ },
  {
    argv: ["--node-api-cert", garbage, "--node-api-key", key, "--node-api-ca", cert],
    says: /--node-api-cert .* is not PEM/,
  },
  { argv: ["--tls-cert", cert], says: /--tls-cert and --tls-key must be given together/ },
  { argv: ["--listen", "fd:3"], says: /--advertise-url is needed/ },
  { argv: ["--etcd-cert", cert], says: /--etcd-ca is missing/ },
  { argv: ["--etcd-username", "root"], says: /must be given together/ },
  { argv: ["--etcd-username", "root", "--etcd-password-file", "/none"], says: /read --etcd-password-file/ },
];

describe("a configuration that cannot work is refused", () => {
  it.each(REFUSED)("$argv", ({ argv, says }) => {
    expect(() => parse(...argv)).toThrow(says);
  });
});

describe("addresses", () => {
  it.each(["9999", "host:", "[10.0.0.1]:1", "h:99999", "a:b:1", "fd:", "fd:x"])("refuses to listen on %s", (text) => {
    expect(() => parseListenAddress(text)).toThrow(/is not an address/);
  });

  it("tells what only this machine can reach", () => {
    expect(
      ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "localhost:1"].map((text) => isLoopback(parseListenAddress(text))),
    ).not.toContain(false);
    expect(
      ["0.0.0.0:1", ":1", "10.0.0.1:1", "host:1", "127.evil.example:1"].map((text) =>
        isLoopback(parseListenAddress(text)),
      ),
    ).not.toContain(true);
  });
});

describe("--help", () => {
  it("tells each default once", () => {
    const options = optionsOf(helpText());
    expect(options.length).toBeGreaterThan(20);
    for (const option of options) {
      const isFree = /<file>|--etcd-(server-name|username)|--version|--help/.test(option);
      expect([option, option.match(/default:/g)?.length ?? 0]).toEqual([option, isFree ? 0 : 1]);
    }
  });
});

describe("variables", () => {
  it.each([
    ["CONTIV_NETMASTER_NODE_TIMOUT", "did you mean CONTIV_NETMASTER_NODE_TIMEOUT?"],
    ["CONTIV_NODE_TIMEOUT", "did you mean CONTIV_NETMASTER_NODE_TIMEOUT?"],
    ["CONTIV_NETMASTER_NODEAPI_INSECURE", "did you mean CONTIV_NETMASTER_NODE_API_INSECURE?"],
    ["CONTIV_NETMASTER_VERSION", "--help lists those that there are"],
  ])("%s is refused", (name, hint) => {
    vi.stubEnv(name, "30s");
    expect(() => parse()).toThrow(`environment variable ${name} is unknown; ${hint}`);
  });
});
