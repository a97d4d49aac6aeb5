import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openReportedStore, type ReportedStore, sleep } from "../../../test/fakes/etcd-ground.ts";
import { type EtcdServer, startEtcd } from "../../../test/fakes/etcd-server.ts";
import { etcdctl } from "../../../test/fakes/etcdctl.ts";
import type { TestCertificates } from "../../../test/fakes/test-certificates.ts";
import { eventually, newCommit, newRecorder } from "../contract.ts";
import type { EtcdTlsOptions } from "./options.ts";
import { openEtcdStore } from "./store.ts";

const run = promisify(execFile);

describe("mutual TLS", () => {
  let server: EtcdServer;
  let files: TestCertificates;
  let right: EtcdTlsOptions;
  beforeAll(async () => {
    server = await startEtcd({ tls: true });
    if (server.certificates === undefined) throw new Error("no certificates");
    files = server.certificates;
    right = { caFile: files.caFile, ...files.client };
  });
  afterAll(async () => await server[Symbol.asyncDispose]());

  /** Opens with these files and expects a clear refusal, soon. */
  async function refusal(tls: EtcdTlsOptions): Promise<string> {
    const startedMs = performance.now();
    const error = await openEtcdStore({ endpoints: server.endpoints, tls }).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(performance.now() - startedMs).toBeLessThan(4_000);
    expect(error).toMatchObject({ code: "INVALID" });
    return String(error);
  }

  test("the right certificate works: read, write, watch, lease", async () => {
    await using store = await openEtcdStore({ endpoints: server.endpoints, tls: right });
    const seen = newRecorder();
    await using watch = store.watch("/tls/", seen.consumer);
    await watch.synced;
    await using lease = await store.lease({ ttlS: 5 });
    await store.commit(newCommit({ puts: [{ key: "/tls/a", value: "1", lease: lease.id }] }));
    await eventually(() => seen.state.get("/tls/a") === "1");
  });

  test("by IP address with a server name", async () => {
    const endpoints = server.endpoints.map((endpoint) => endpoint.replace("localhost", "127.0.0.1"));
    await using store = await openEtcdStore({ endpoints, tls: { ...right, serverName: "localhost" } });
    expect(await store.get("/tls/none")).toBeUndefined();
  });

  test("a missing client certificate is named", async () => {
    expect(await refusal({ caFile: files.caFile })).toMatch(/demands a client certificate/);
  });

  test("a client certificate of another CA is named", async () => {
    expect(await refusal({ caFile: files.caFile, ...files.strangerClient })).toMatch(/refused our client certificate/);
  });

  test("an expired client certificate is named before anything is sent", async () => {
    expect(await refusal({ caFile: files.caFile, ...files.expiredClient })).toMatch(/expired\.pem expired on .*2021/);
  });

  test("a server that we do not trust, or of another name, is named", async () => {
    const strangers = { caFile: files.strangerClient.certFile, ...files.client };
    expect(await refusal(strangers)).toMatch(/not accepted by us/);
    expect(await refusal({ ...right, serverName: "etcd.example" })).toMatch(/not accepted by us/);
  });

  test("files that are missing, mixed up or no PEM are named", async () => {
    expect(await refusal({ ...right, caFile: "/does/not/exist" })).toMatch(/CA certificate.*ENOENT/);
    expect(await refusal({ ...right, keyFile: files.server.keyFile })).toMatch(/does not belong/);
    expect(await refusal({ ...right, certFile: files.client.keyFile })).toMatch(/as a certificate/);
    expect(await refusal({ ...right, keyFile: files.client.certFile })).toMatch(/as a key/);
    expect(await refusal({ caFile: files.caFile, certFile: files.client.certFile })).toMatch(/given together/);
  });

  test("endpoints that do not fit are refused", async () => {
    const open = (endpoint: string) => openEtcdStore({ endpoints: [endpoint], tls: right });
    for (const endpoint of ["http://localhost:1", "localhost:1", "https://localhost", "https://a b:1"]) {
      await expect(open(endpoint)).rejects.toMatchObject({ code: "INVALID" });
    }
    await expect(openEtcdStore({ endpoints: [] })).rejects.toMatchObject({ code: "INVALID" });
  });
});

describe("users and tokens (JWT of 2 s)", () => {
  let server: EtcdServer;
  let directory: string;
  const asRoot = (...argv: string[]) => etcdctl(server, "--user=root:secret", ...argv);
  const auth = { username: "netmaster", password: "secret" };

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "etcd-jwt-"));
    const [privateKey, publicKey] = [join(directory, "jwt.pem"), join(directory, "jwt.pub")];
    await run("openssl", ["genrsa", "-out", privateKey, "2048"]);
    await run("openssl", ["rsa", "-in", privateKey, "-pubout", "-out", publicKey]);
    const token = `jwt,pub-key=${publicKey},priv-key=${privateKey},sign-method=RS256,ttl=2s`;
    server = await startEtcd({ flags: [`--auth-token=${token}`, "--bcrypt-cost=4"] });
    await etcdctl(server, "user", "add", "root:secret");
    await etcdctl(server, "user", "grant-role", "root", "root");
    await etcdctl(server, "user", "add", "netmaster:secret");
    await etcdctl(server, "role", "add", "netmaster");
    await etcdctl(server, "role", "grant-permission", "netmaster", "--prefix=true", "readwrite", "/contiv-ts/");
    await etcdctl(server, "user", "grant-role", "netmaster", "netmaster");
    await etcdctl(server, "auth", "enable");
  });
  afterAll(async () => {
    await server[Symbol.asyncDispose]();
    await rm(directory, { recursive: true, force: true });
  });

  test("a wrong password, and no password, are FORBIDDEN or refused at the start", async () => {
    const open = (password: string) => openEtcdStore({ endpoints: server.endpoints, auth: { ...auth, password } });
    await expect(open("wrong")).rejects.toMatchObject({ code: "FORBIDDEN" });
    await expect(openEtcdStore({ endpoints: server.endpoints })).rejects.toMatchObject({ code: "FORBIDDEN" });
  });

  test("tokens expire and the auth store changes under reads, commits and watches: all go on", async () => {
    await using opened = await openReportedStore({ endpoints: server.endpoints, auth });
    const { store } = opened;
    const seen = newRecorder();
    await using watch = store.watch("/contiv-ts/token/", seen.consumer);
    await watch.synced;
    for (let round = 0; round < 4; round += 1) {
      await sleep(700);
      if (round === 2) await asRoot("user", "add", "somebody:else");
      const commit = newCommit({ puts: [{ key: `/contiv-ts/token/${round}`, value: "x" }] });
      expect(await store.commit(commit)).toMatchObject({ committed: true });
      expect((await store.get(`/contiv-ts/token/${round}`))?.version).toBe(1);
    }
    await eventually(() => seen.state.size === 4);
  });

  test("permission denied on one prefix: FORBIDDEN there, and other watches are not disturbed", async () => {
    await using opened = await openReportedStore({ endpoints: server.endpoints, auth });
    const { store } = opened;
    const seen = newRecorder();
    await using allowed = store.watch("/contiv-ts/fine/", seen.consumer);
    await allowed.synced;
    await using denied = store.watch("/elsewhere/", () => undefined);
    await expect(store.get("/elsewhere/x")).rejects.toMatchObject({ code: "FORBIDDEN" });
    const foreign = store.commit(newCommit({ puts: [{ key: "/elsewhere/x", value: "1" }] }));
    await expect(foreign).rejects.toMatchObject({ code: "FORBIDDEN" });
    await sleep(1_000);
    await store.commit(newCommit({ puts: [{ key: "/contiv-ts/fine/a", value: "1" }] }));
    await eventually(() => seen.state.size === 1);
    const downs = opened.reports.filter((report) => report.kind === "watch-down");
    expect(downs.filter((report) => "prefix" in report && report.prefix === "/contiv-ts/fine/")).toEqual([]);
    expect(downs.length).toBeGreaterThan(0);
    expect(downs.length).toBeLessThan(15);
    void denied;
  });

  test("members cannot be compared without the role root: told once, and nothing else changes; with it they are", async () => {
    const endpoints = [...server.endpoints, ...server.endpoints.map((url) => url.replace("127.0.0.1", "localhost"))];
    const timings = { compareEveryMs: 1_000 };
    const told = (opened: ReportedStore) => opened.reports.filter(({ kind }) => kind.startsWith("member"));
    await using opened = await openReportedStore({ endpoints, auth }, timings);
    await sleep(7_000);
    expect(told(opened)).toMatchObject([{ kind: "members-not-compared" }]);
    const failed = opened.reports.filter(
      (report) => report.kind === "call-failed" && report.call !== "learn the cluster",
    );
    expect(failed).toEqual([]);
    await opened.store.commit(newCommit({ puts: [{ key: "/contiv-ts/two/a", value: "1" }] }));
    await using root = await openReportedStore({ endpoints, auth: { ...auth, username: "root" } }, timings);
    expect(told(root)).toMatchObject(endpoints.map((endpoint) => ({ kind: "member-agrees", endpoint })));
  });
});
