import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { Agent, request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { run } from "../../deploy/cluster/exec.ts";
import { createAuthority, type Identity, issue } from "../../deploy/cluster/pki.ts";
import { type EtcdServer, startEtcd } from "../fakes/etcd-server.ts";
import { type NetmasterProcess, startNetmasterProcess } from "./netmaster-process.ts";
import { registration } from "./node-registration.ts";

let directory: string;
let etcd: EtcdServer;
let running: NetmasterProcess[] = [];
const identities = new Map<string, Identity>();

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "netmaster-tls-"));
  await createAuthority(join(directory, "pki"));
  for (const name of ["netmaster", "n1", "n2"]) {
    identities.set(name, await issue(join(directory, "pki"), name, ["127.0.0.1"]));
  }
  etcd = await startEtcd();
  running = [await start("m1"), await start("m2")];
});

afterAll(async () => {
  await Promise.all(running.map((each) => each.kill()));
  await etcd[Symbol.asyncDispose]();
  await rm(directory, { recursive: true, force: true });
});

function identity(name: string): Identity {
  const found = identities.get(name);
  if (found === undefined) throw new Error(`no certificate of ${name}`);
  return found;
}

function start(name: string): Promise<NetmasterProcess> {
  const { caFile, certFile, keyFile } = identity("netmaster");
  const flags = ["--node-api-cert", certFile, "--node-api-key", keyFile, "--node-api-ca", caFile];
  return startNetmasterProcess({ name, etcdEndpoints: etcd.endpoints, flags });
}

/** Another certificate for netmaster's key. */
async function endingIn(days: number): Promise<string> {
  const pki = (file: string) => join(directory, "pki", file);
  const out = pki(`ends-in-${days}.crt`);
  await run([
    ...["openssl", "x509", "-req", "-in", pki("netmaster.csr"), "-days", String(days), "-set_serial", "77"],
    ...["-extfile", pki("netmaster.ext"), "-CA", pki("ca.crt"), "-CAkey", pki("ca.key"), "-out", out],
  ]);
  return out;
}

interface Asked {
  readonly as: string | undefined;
  readonly path: string;
  readonly body: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

function post(
  target: NetmasterProcess | undefined,
  { as, path, body, headers = {} }: Asked,
): Promise<{ status: number; body: unknown }> {
  const { port } = new URL(target?.nodeApiUrl ?? "");
  const ca = readFileSync(identity("n1").caFile);
  const own =
    as === undefined ? {} : { cert: readFileSync(identity(as).certFile), key: readFileSync(identity(as).keyFile) };
  const agent = new Agent({ ca, ...own });
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        agent,
        host: "127.0.0.1",
        port,
        path,
        method: "POST",
        headers: { "content-type": "application/json", ...headers },
      },
      (reply) => {
        let text = "";
        reply.setEncoding("utf8");
        reply.on("data", (chunk: string) => (text += chunk));
        reply.on("error", reject);
        reply.on("end", () => {
          agent.destroy();
          resolve({ status: reply.statusCode ?? 0, body: JSON.parse(text) });
        });
      },
    );
    sent.on("error", reject);
    sent.end(JSON.stringify(body));
  });
}

describe("node API with mutual TLS", () => {
  const path = "/node/v1/nodes/n1/register";
  const body = registration("n1", "192.168.1.1");

  it("takes a node at its certificate's name, through the leader and through a follower", async () => {
    for (const each of running) expect((await post(each, { as: "n1", path, body })).status).toBe(200);
  });

  it("refuses the certificate of another node, on every replica", async () => {
    for (const each of running) {
      const reply = await post(each, { as: "n2", path, body });
      expect(reply).toMatchObject({ status: 403, body: { code: "FORBIDDEN", reason: "wrong-certificate" } });
      const pretended = await post(each, { as: "n2", path, body, headers: { "contiv-forwarded-by": "m1" } });
      expect(pretended.status).toBe(403);
    }
  });

  it("refuses a netmaster's certificate unless it forwards", async () => {
    for (const each of running) expect((await post(each, { as: "netmaster", path, body })).status).toBe(403);
  });

  it("does not talk to a peer without certificate", async () => {
    await expect(post(running[0], { as: undefined, path, body })).rejects.toThrow();
  });

  it("tells of a certificate that ends soon: state, reason, condition and metric", async () => {
    const { caFile, keyFile } = identity("netmaster");
    const certFile = await endingIn(5);
    const flags = ["--node-api-cert", certFile, "--node-api-key", keyFile, "--node-api-ca", caFile];
    const ending = await startNetmasterProcess({ name: "m4", etcdEndpoints: etcd.endpoints, flags });
    running = [...running, ending]; // ends with the others
    const text = async (path: string) => (await fetch(`${ending.restUrl}${path}`)).text();
    const fault = `certificate node-api (${certFile}) ends on `;
    await expect.poll(() => text("/readyz")).toContain(`certificates: ${fault}`);
    expect(await text("/readyz")).toMatch(/^degraded\n/);
    const { conditions } = JSON.parse(await text("/info")) as { conditions: { name: string; message: string }[] };
    expect(conditions).toMatchObject([{ name: "certificates", message: expect.stringContaining(fault) }]);
    const metric = /^contiv_netmaster_certificate_expiration_timestamp_seconds\{purpose="node-api"\} (\d+)$/m;
    const endsS = Number(metric.exec(await text("/metrics"))?.[1]);
    expect(Math.round((endsS - Date.now() / 1_000) / 86_400)).toBe(5);
  });

  it("refuses to start with a key that does not belong to the certificate", async () => {
    const { caFile, certFile } = identity("netmaster");
    const flags = ["--node-api-cert", certFile, "--node-api-key", identity("n1").keyFile, "--node-api-ca", caFile];
    const started = startNetmasterProcess({ name: "m3", etcdEndpoints: etcd.endpoints, flags });
    await expect(started).rejects.toThrow(/does not belong to --node-api-cert/);
  });
});
