import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Registry } from "prom-client";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Certificates } from "./certificates.ts";

const DAY_MS = 86_400_000;

let directory: string;
let madeMs: number;
let rest: { purpose: string; file: string };
let nodesCa: { purpose: string; file: string };

function make(name: string, days: number): { purpose: string; file: string } {
  const file = join(directory, `${name}.crt`);
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", join(directory, "key")];
  execFileSync("openssl", ["req", "-x509", ...key, "-days", String(days), "-subj", "/CN=x", "-out", file], {
    stdio: "pipe",
  });
  return { purpose: name, file };
}

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "certificates-"));
  madeMs = Date.now();
  rest = make("rest", 100);
  nodesCa = make("nodes-ca", 1_000);
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

function at(days: number, files = [rest, nodesCa]) {
  return new Certificates(files, { daemon: "netmaster", now: () => madeMs + days * DAY_MS });
}

describe("certificates", () => {
  it("are no matter while they are valid for two weeks and more", () => {
    expect(at(85.9).fault()).toBeUndefined();
    expect(at(0, []).fault()).toBeUndefined();
  });

  it.each([
    [86.1, /^certificate rest \(.*rest\.crt\) ends on \d{4}-\d\d-\d\dT\d\d:\d\dZ; make new ones .*restart netmaster$/],
    [100.1, /^certificate rest \(.*\) has ended on .*Z; make/],
    [1_000.1, /^certificate rest \(.*\) has ended on .*Z, and 1 more \(nodes-ca\); make/],
    [-1, /^certificate rest \(.*\) is valid from .*Z on; compare this machine's clock, and 1 more/],
  ])("are told with file, date and next step after %d days", (days, text) => {
    expect(at(days).fault()).toMatch(text);
  });

  it("in one file end with the first of them", () => {
    const bundle = join(directory, "bundle.crt");
    writeFileSync(bundle, readFileSync(nodesCa.file, "utf8") + readFileSync(rest.file, "utf8"));
    expect(at(90, [{ purpose: "nodes-ca", file: bundle }]).fault()).toMatch(/^certificate nodes-ca \(.*\) ends on/);
  });

  it("that cannot be read are refused with file and purpose", () => {
    const empty = join(directory, "empty.crt");
    writeFileSync(empty, "");
    const open = (file: string) => () => at(0, [{ purpose: "etcd-ca", file }]);
    expect(open(empty)).toThrow(/^Certificate etcd-ca \(.*empty\.crt\) cannot be used: it holds no certificate$/);
    expect(open(join(directory, "none.crt"))).toThrow(/ENOENT/);
  });

  it("are a metric in Unix time", async () => {
    const registry = new Registry();
    at(0).register(registry, "contiv_x_");
    const [metric] = await registry.getMetricsAsJSON();
    const values = (metric?.values ?? []).map(({ labels, value }) => [
      labels.purpose,
      Math.round((value - madeMs / 1_000) / 86_400),
    ]);
    expect(values).toEqual([
      ["rest", 100],
      ["nodes-ca", 1_000],
    ]);
  });
});
